import Inventory
import StorageMessages

/// Reads the lock files of Cargo, Poetry and uv: tables `[[package]]` with a line for the name and one for the version, as
/// these tools write them, without the rest of TOML.
enum TOMLPackages {
  static func list(_ bytes: UnsafeRawBufferPointer, type: String, into collector: inout PackageCollector) {
    var found = FoundPackages(type)
    var lines = Lines(bytes)
    var isPackage = false
    var name, version: String?
    func finish(_ collector: inout PackageCollector) {
      if let name, let version { found.add(name, version, into: &collector) }
      (name, version) = (nil, nil)
    }
    while let line = lines.next() {
      let text = line.trimmed
      if text.first == UInt8(ascii: "[") {
        finish(&collector)
        isPackage = text.isText("[[package]]")
      } else if isPackage {
        if let value = value(of: "name", in: text) { name = name ?? value }
        if let value = value(of: "version", in: text) { version = version ?? value }
      }
    }
    finish(&collector)
  }

  /// Of `key = "value"`.
  private static func value(of key: StaticString, in line: UnsafeRawBufferPointer) -> String? {
    guard let equals = line.prefix(16).firstIndex(of: UInt8(ascii: "=")),
      UnsafeRawBufferPointer(rebasing: line[..<equals]).trimmed.isText(key)
    else { return nil }
    let value = UnsafeRawBufferPointer(rebasing: line[(equals + 1)...]).trimmed
    let quote = UInt8(ascii: "\"")
    guard value.first == quote, let end = value.dropFirst().firstIndex(of: quote) else { return nil }
    return storedText(value[1..<end])
  }
}
