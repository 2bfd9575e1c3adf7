import Inventory
import JSON
import StorageMessages

/// Reads what Composer has installed, and its lock file.
enum ComposerPackages {
  /// `vendor/composer/installed.json`: an array of packages, or since Composer 2 an object that holds it.
  static func listInstalled(_ json: JSONDocument, into collector: inout PackageCollector) {
    var found = FoundPackages("composer")
    list(json, json.member("packages", of: 0) ?? 0, &found, &collector)
  }

  static func listLock(_ json: JSONDocument, into collector: inout PackageCollector) {
    var found = FoundPackages("composer")
    for group in ["packages", "packages-dev"] {
      if let packages = json.member(group, of: 0) { list(json, packages, &found, &collector) }
    }
  }

  private static func list(
    _ json: JSONDocument, _ packages: Int, _ found: inout FoundPackages, _ collector: inout PackageCollector
  ) {
    guard json.nodes[packages].kind == .array else { return }
    json.forEachElement(of: packages) { package in
      guard let name = json.member("name", of: package).flatMap(json.storedText),
        let version = json.member("version", of: package).flatMap(json.storedText)
      else { return collector.addMalformed() }
      found.add(name, withoutPrefix(version), into: &collector)
    }
  }

  /// Tags are called `v1.2.3` or `1.2.3` as authors please; advisories name the number alone.
  private static func withoutPrefix(_ version: String) -> String {
    let digits = version.utf8.dropFirst().first.map { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false
    return digits && (version.hasPrefix("v") || version.hasPrefix("V")) ? String(version.dropFirst()) : version
  }
}
