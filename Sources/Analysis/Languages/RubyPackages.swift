import Inventory
import StorageMessages

/// Reads the specifications of installed gems, and Bundler's lock file, without running Ruby.
enum RubyPackages {
  /// A specification as RubyGems writes it when it installs a gem. Its comment `# stub: name version platform paths` is
  /// what RubyGems itself goes by; older ones have only the assignments.
  static func listSpecification(_ bytes: UnsafeRawBufferPointer, into collector: inout PackageCollector) {
    var lines = Lines(bytes)
    var name, version, platform: String?
    while let line = lines.next() {
      let text = line.trimmed
      if text.starts(with: "# stub: ".utf8) {
        let words = text.dropFirst(8).split(separator: UInt8(ascii: " "), maxSplits: 3)
        if words.count >= 3 {
          (name, version, platform) = (storedText(words[0]), storedText(words[1]), storedText(words[2]))
          break
        }
      }
      name = name ?? value(of: ".name", in: text)
      version = version ?? value(of: ".version", in: text)
      platform = platform ?? value(of: ".platform", in: text)
      if name != nil && version != nil && platform != nil { break }
    }
    guard let name, let version else { return collector.addMalformed() }
    var found = FoundPackages("gem")
    found.add(name, version, platform: platform == "ruby" ? "" : platform ?? "", into: &collector)
  }

  /// Of `s.key = "value".freeze` and `s.key = Gem::Version.new("value")`.
  private static func value(of key: StaticString, in line: UnsafeRawBufferPointer) -> String? {
    guard let equals = line.prefix(48).firstIndex(of: UInt8(ascii: "=")),
      UnsafeRawBufferPointer(rebasing: line[..<equals]).trimmed.hasSuffix(key)
    else { return nil }
    let value = line[(equals + 1)...]
    guard let start = value.prefix(32).firstIndex(where: isQuote),
      let end = value[(start + 1)...].firstIndex(of: value[start])
    else { return nil }
    return storedText(value[(start + 1)..<end])
  }

  private static func isQuote(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") }

  /// Gemfile.lock: in its sections `GEM`, the lines of four blanks, `name (version)` or `name (version-platform)`.
  static func listLock(_ bytes: UnsafeRawBufferPointer, into collector: inout PackageCollector) {
    var found = FoundPackages("gem")
    var lines = Lines(bytes)
    var isSource = false
    while let line = lines.next() {
      guard let first = line.first else { continue }
      if first != UInt8(ascii: " ") {
        isSource = line.trimmed.isText("GEM")
        continue
      }
      guard isSource, line.starts(with: "    ".utf8), line.count > 4, line[4] != UInt8(ascii: " ") else { continue }
      let text = UnsafeRawBufferPointer(rebasing: line[4...]).trimmed
      guard let open = text.firstIndex(of: UInt8(ascii: "(")), open > 1, text.last == UInt8(ascii: ")") else {
        continue
      }
      let version = text[(open + 1)..<(text.count - 1)]
      let end = version.firstIndex(of: UInt8(ascii: "-"))
      found.add(
        storedText(text[..<(open - 1)]), storedText(version[..<(end ?? version.endIndex)]),
        platform: end.map { storedText(version[($0 + 1)...]) } ?? "", into: &collector)
    }
  }
}
