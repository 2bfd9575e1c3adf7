import Inventory
import JSON
import StorageMessages

/// Reads what npm installs, and its lock files.
enum NPMPackages {
  /// `package.json` of a module. One without a name or version was not installed from a registry.
  static func listModule(_ json: JSONDocument, into collector: inout PackageCollector) {
    guard let name = json.member("name", of: 0), let version = json.member("version", of: 0) else { return }
    add(json.storedText(name), json.storedText(version), &collector)
  }

  private static func add(_ name: String?, _ version: String?, _ collector: inout PackageCollector) {
    guard let name, let version else { return collector.addMalformed() }
    var found = FoundPackages("npm")
    found.add(name, version, into: &collector)
  }

  /// `package-lock.json` of all three versions. Of what does not come from a registry nothing is listed.
  static func listLock(_ json: JSONDocument, into collector: inout PackageCollector) {
    var found = FoundPackages("npm")
    // Version 2 has both; what npm 7 and later go by is `packages`.
    if let packages = json.member("packages", of: 0) {
      listPackages(json, packages, &found, &collector)
    } else if let dependencies = json.member("dependencies", of: 0) {
      listDependencies(json, dependencies, &found, &collector)
    }
  }

  /// By the directories that modules are put in.
  private static func listPackages(
    _ json: JSONDocument, _ packages: Int, _ found: inout FoundPackages, _ collector: inout PackageCollector
  ) {
    json.forEachObject(of: packages) { directory, package in
      guard let name = json.member("name", of: package).flatMap(json.storedText) ?? moduleName(directory),
        let version = json.member("version", of: package).flatMap(json.storedText),
        directory.contains("node_modules/"), json.member("link", of: package) == nil
      else { return }
      if isPublished(version) { found.add(name, version, into: &collector) }
    }
  }

  private static func moduleName(_ directory: String) -> String? {
    let parts = directory.split(separator: "/", omittingEmptySubsequences: false)
    guard let last = parts.lastIndex(of: "node_modules"), last + 1 < parts.count else { return nil }
    return parts[(last + 1)...].joined(separator: "/")
  }

  /// Nested as the modules are; no deeper than the document may be.
  private static func listDependencies(
    _ json: JSONDocument, _ dependencies: Int, _ found: inout FoundPackages, _ collector: inout PackageCollector
  ) {
    json.forEachObject(of: dependencies) { name, package in
      if let version = json.member("version", of: package).flatMap(json.storedText) {
        if version.hasPrefix("npm:"), let at = version.lastIndex(of: "@") {
          // Installed under another name.
          found.add(
            String(version[..<at].dropFirst(4)), String(version[version.index(after: at)...]), into: &collector)
        } else if isPublished(version) {
          found.add(name, version, into: &collector)
        }
      }
      if let inner = json.member("dependencies", of: package) { listDependencies(json, inner, &found, &collector) }
    }
  }

  /// Not `file:…`, `git+ssh://…` or the like.
  private static func isPublished(_ version: String) -> Bool { version.utf8.first.map(isDigit) ?? false }

  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

  /// yarn.lock of Yarn 1 and of its successors: blocks that begin with the ranges that one version satisfies.
  static func listYarnLock(_ bytes: UnsafeRawBufferPointer, into collector: inout PackageCollector) {
    var found = FoundPackages("npm")
    var lines = Lines(bytes)
    var name: String?
    while let line = lines.next() {
      let text = line.trimmed
      guard let first = text.first, first != UInt8(ascii: "#") else { continue }
      let isIndented = line[0] == UInt8(ascii: " ")
      if !isIndented {
        name = text.last == UInt8(ascii: ":") ? moduleName(ranges: text) : nil
      } else if let module = name, text.starts(with: "version".utf8) {
        let version = storedText(unquoted(UnsafeRawBufferPointer(rebasing: text[7...]), also: UInt8(ascii: ":")))
        if isPublished(version) { found.add(module, version, into: &collector) }
        name = nil
      }
    }
  }

  /// Of `"@a/b@^1.0", "@a/b@^1.1":`, `a@npm:^1.0:` and `a@npm:b@1.0`; nil for what lies in a directory.
  private static func moduleName(ranges: UnsafeRawBufferPointer) -> String? {
    let range = unquoted(
      UnsafeRawBufferPointer(rebasing: ranges.prefix { $0 != UInt8(ascii: ",") }), also: UInt8(ascii: ":"))
    let at = UInt8(ascii: "@")
    guard let end = range.dropFirst().firstIndex(of: at) else { return nil }
    let wanted = range[(end + 1)...]
    if ["workspace:", "patch:", "file:", "link:", "portal:"].contains(where: { wanted.starts(with: $0.utf8) }) {
      return nil
    }
    if wanted.starts(with: "npm:".utf8), let second = wanted.dropFirst(5).lastIndex(of: at) {
      return storedText(range[(end + 5)..<second])
    }
    return storedText(range[..<end])
  }

  /// Without quotes, blanks and `also` at both ends.
  private static func unquoted(_ text: UnsafeRawBufferPointer, also: UInt8) -> UnsafeRawBufferPointer {
    let isLeftOut = { (byte: UInt8) in byte == UInt8(ascii: "\"") || byte == UInt8(ascii: " ") || byte == also }
    guard let start = text.firstIndex(where: { !isLeftOut($0) }), let last = text.lastIndex(where: { !isLeftOut($0) })
    else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(rebasing: text[start...last])
  }
}
