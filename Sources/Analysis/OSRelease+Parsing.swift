import Inventory
import StorageMessages

extension OSRelease {
  /// What a release's file says; nil where it is not as it should be. Texts over `textBytes` are cut.
  init?(parsing bytes: UnsafeRawBufferPointer, as file: ReleaseFile, textBytes: Int) {
    self.init()
    switch file {
    case .osRelease: readAssignments(bytes, textBytes) { $0.set($1, $2) }
    case .lsb:
      readAssignments(bytes, textBytes) { $0.setLSB($1, $2) }
      // Others are known by their os-release files since before there were images.
      if id != "ubuntu" { return nil }
    case .alpine, .debian, .redHat:
      var lines = Lines(bytes)
      guard let line = lines.next() else { return nil }
      readLine(storedText(line.trimmed.prefix(textBytes)), file)
      if id.isEmpty { return nil }
    }
  }

  private mutating func readLine(_ line: String, _ file: ReleaseFile) {
    prettyName = line
    switch file {
    case .osRelease, .lsb: break
    case .alpine: (id, versionId) = ("alpine", line)
    case .debian:
      // One that is yet to come is called `trixie/sid`, as Ubuntu's releases are too.
      if line.first?.isNumber == true { (id, versionId) = ("debian", String(line.prefix { $0 != "." })) }
    case .redHat:
      let words = line.split(separator: " ")
      guard let release = words.firstIndex(of: "release"), release > 0, release + 1 < words.count else { return }
      name = words[..<release].joined(separator: " ")
      versionId = String(words[release + 1])
      let ids = [
        ("CentOS", "centos"), ("Red Hat", "rhel"), ("Oracle", "ol"), ("Fedora", "fedora"), ("AlmaLinux", "almalinux"),
        ("Rocky", "rocky"), ("Amazon", "amzn"),
      ]
      id = ids.first { name.hasPrefix($0.0) }?.1 ?? ""
    }
  }

  private mutating func setLSB(_ key: String, _ value: String) {
    switch key {
    case "DISTRIB_ID": id = value.lowercased()
    case "DISTRIB_RELEASE": versionId = value
    case "DISTRIB_CODENAME": versionCodename = value
    case "DISTRIB_DESCRIPTION": prettyName = value
    default: break
    }
  }

  /// Of os-release (freedesktop.org, os-release(5)): `KEY=value` lines, quoted as a shell would, but never run by one.
  private mutating func readAssignments(
    _ bytes: UnsafeRawBufferPointer, _ textBytes: Int, _ set: (inout OSRelease, String, String) -> Void
  ) {
    var lines = Lines(bytes)
    while let line = lines.next() {
      let text = line.trimmed
      guard let equals = text.prefix(32).firstIndex(of: UInt8(ascii: "=")), text.first != UInt8(ascii: "#") else {
        continue
      }
      let value = Self.unquote(UnsafeRawBufferPointer(rebasing: text[(equals + 1)...]), limit: textBytes)
      set(&self, storedText(text[..<equals]), storedText(value))
    }
  }

  private mutating func set(_ key: String, _ value: String) {
    switch key {
    case "ID": id = value
    case "VERSION_ID": versionId = value
    case "NAME": name = value
    case "PRETTY_NAME": prettyName = value
    case "ID_LIKE": idLike = value.split(separator: " ").prefix(16).map(String.init)
    case "VERSION_CODENAME": versionCodename = value
    case "VARIANT_ID": variantId = value
    default: break
    }
  }

  /// The value without quotes; a backslash takes the next character as it is, except within single quotes.
  private static func unquote(_ text: UnsafeRawBufferPointer, limit: Int) -> [UInt8] {
    var value: [UInt8] = []
    var quote: UInt8?
    var isEscaped = false
    for byte in text {
      if value.count >= limit { break }
      if isEscaped {
        value.append(byte)
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") && quote != UInt8(ascii: "'") {
        isEscaped = true
      } else if byte == quote {
        quote = nil
      } else if quote == nil && (byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'")) {
        quote = byte
      } else {
        value.append(byte)
      }
    }
    return value
  }
}
