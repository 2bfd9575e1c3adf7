import Inventory
import JSON
import StorageMessages

/// Reads what pip and its like install, and the files that say what they shall install.
enum PythonPackages {
  /// Core metadata (PEP 566): header fields as in mail. Names stay as they are written.
  static func listMetadata(_ bytes: UnsafeRawBufferPointer, into collector: inout PackageCollector) {
    var lines = Lines(bytes)
    var name, version: UnsafeRawBufferPointer?
    while let line = lines.next(), !line.trimmed.isEmpty {
      // The two fields' names are shorter than 16 bytes. A folded line begins with a blank, which no name has.
      guard let colon = line.prefix(16).firstIndex(of: UInt8(ascii: ":")) else { continue }
      let field = UnsafeRawBufferPointer(rebasing: line[..<colon])
      let value = UnsafeRawBufferPointer(rebasing: line[(colon + 1)...]).trimmed
      if field.isField("name") { name = name ?? value }
      if field.isField("version") { version = version ?? value }
      if name != nil && version != nil { break }
    }
    guard let name, let version else { return collector.addMalformed() }
    var found = FoundPackages("pypi")
    found.add(storedText(name), storedText(version), into: &collector)
  }

  /// requirements.txt (PEP 508 and pip's options): only what is pinned to one version.
  static func listRequirements(_ bytes: UnsafeRawBufferPointer, into collector: inout PackageCollector) {
    var found = FoundPackages("pypi")
    var lines = Lines(bytes)
    while let line = lines.next() {
      let text = line.trimmed
      guard let first = text.first, isNamePart(first) else { continue }
      let name = text.prefix(while: isNamePart)
      var rest = UnsafeRawBufferPointer(rebasing: text[name.endIndex...]).trimmed
      if rest.first == UInt8(ascii: "[") {
        guard let close = rest.firstIndex(of: UInt8(ascii: "]")) else { continue }
        rest = UnsafeRawBufferPointer(rebasing: rest[(close + 1)...]).trimmed
      }
      guard rest.starts(with: "==".utf8) else { continue }
      let value = UnsafeRawBufferPointer(rebasing: rest.drop { $0 == UInt8(ascii: "=") }).trimmed
      let version = value.prefix { isNamePart($0) || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "!") }
      let next = UnsafeRawBufferPointer(rebasing: value[version.endIndex...]).first
      // Neither a pattern nor one of several conditions.
      guard !version.isEmpty, next != UInt8(ascii: "*"), next != UInt8(ascii: ",") else { continue }
      found.add(storedText(name), storedText(version), into: &collector)
    }
  }

  private static func isNamePart(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
      true
    default: false
    }
  }

  static func listPipfileLock(_ json: JSONDocument, into collector: inout PackageCollector) {
    var found = FoundPackages("pypi")
    for group in ["default", "develop"] {
      guard let packages = json.member(group, of: 0) else { continue }
      json.forEachObject(of: packages) { name, package in
        guard let pin = json.member("version", of: package).flatMap(json.storedText), pin.hasPrefix("==") else {
          return
        }
        found.add(name, String(pin.dropFirst(2)), into: &collector)
      }
    }
  }
}
