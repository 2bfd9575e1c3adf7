/// One challenge of a `WWW-Authenticate` header (RFC 9110, section 11): a scheme and its parameters.
struct Challenge: Equatable {
  /// Longer headers are not looked at.
  static let headerBytesMax = 16 * 1024
  static let challengesMax = 16

  /// Lower case.
  let scheme: String
  /// Names in lower case; of a repeated one the first counts.
  var parameters: [String: String]

  /// Reads every challenge of every header. Sloppy servers leave out quotes and spell schemes in any case; what cannot
  /// be read is left out, never guessed at.
  static func parse(_ headers: [String]) -> [Challenge] {
    var challenges: [Challenge] = []
    for header in headers where header.utf8.count <= headerBytesMax {
      var scanner = Scanner(header)
      challenges += scanner.challenges()
      if challenges.count >= challengesMax { return Array(challenges.prefix(challengesMax)) }
    }
    return challenges
  }

  private struct Scanner {
    private let bytes: [UInt8]
    private var position = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    mutating func challenges() -> [Challenge] {
      var result: [Challenge] = []
      while true {
        skipSeparators()
        guard position < bytes.count else { return result }
        guard let word = token() else {
          // A character that can begin nothing.
          position += 1
          continue
        }
        skipBlanks()
        // After "name=" it is a parameter of the challenge before it, else the scheme of a new one.
        if let last = result.indices.last, skip("="), let value = value() {
          let name = word.lowercased()
          if result[last].parameters[name] == nil { result[last].parameters[name] = value }
        } else {
          result.append(Challenge(scheme: word.lowercased(), parameters: [:]))
        }
      }
    }

    private mutating func value() -> String? {
      skipBlanks()
      guard skip("\"") else {
        let start = position
        while position < bytes.count, !Self.isBlank(bytes[position]), bytes[position] != UInt8(ascii: ",") {
          position += 1
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
      }
      var value: [UInt8] = []
      while position < bytes.count {
        let byte = bytes[position]
        position += 1
        if byte == UInt8(ascii: "\"") { break }
        if byte == UInt8(ascii: "\\"), position < bytes.count {
          value.append(bytes[position])
          position += 1
        } else {
          value.append(byte)
        }
      }
      return String(decoding: value, as: UTF8.self)
    }

    private mutating func token() -> String? {
      let start = position
      while position < bytes.count, Self.isTokenByte(bytes[position]) { position += 1 }
      return position > start ? String(decoding: bytes[start..<position], as: UTF8.self) : nil
    }

    private mutating func skipSeparators() {
      while position < bytes.count, Self.isBlank(bytes[position]) || bytes[position] == UInt8(ascii: ",") {
        position += 1
      }
    }

    private mutating func skipBlanks() {
      while position < bytes.count, Self.isBlank(bytes[position]) { position += 1 }
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
      guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
      position += 1
      return true
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
      byte > 0x20 && byte < 0x7f && !"()<>@,;:\\\"/[]?={}".utf8.contains(byte)
    }
  }
}
