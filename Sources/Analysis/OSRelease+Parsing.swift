import Inventory
import StorageMessages

extension OSRelease {
  /// Reads os-release (freedesktop.org, os-release(5)): `KEY=value` lines, quoted as a shell would, but never run by one.
  /// Values over `textBytes` are cut.
  init(parsing bytes: UnsafeRawBufferPointer, textBytes: Int) {
    self.init()
    var lines = Lines(bytes)
    while let line = lines.next() {
      let text = line.trimmed
      guard let equals = text.prefix(32).firstIndex(of: UInt8(ascii: "=")), text.first != UInt8(ascii: "#") else {
        continue
      }
      let value = Self.unquote(UnsafeRawBufferPointer(rebasing: text[(equals + 1)...]), limit: textBytes)
      set(storedText(text[..<equals]), storedText(value))
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
