/// A content digest: algorithm and lower-case hexadecimal, as the OCI image specification writes it
/// (`sha256:` + 64 digits or `sha512:` + 128). Checked when made, so a `Digest` can be put into a URL or a key.
package struct Digest: Hashable, Sendable, CustomStringConvertible {
  package enum Algorithm: String, Sendable {
    case sha256, sha512

    /// Length of the hexadecimal part, in characters.
    package var hexLength: Int { self == .sha256 ? 64 : 128 }
  }

  package let algorithm: Algorithm
  /// Lower-case hexadecimal, `algorithm.hexLength` characters.
  package let hex: String

  /// Reads `algorithm:hex`; nil when the algorithm is unknown, the length is wrong or a digit is not lower-case hex.
  package init?(_ text: some StringProtocol) {
    // A string, since other modules get no version of this for their own kinds of text.
    let text = String(text)
    guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")),
      let algorithm = Algorithm(rawValue: String(text[..<colon]))
    else { return nil }
    let hex = text.utf8[text.utf8.index(after: colon)...]
    guard hex.count == algorithm.hexLength, hex.allSatisfy(Self.isLowerHex) else { return nil }
    self.algorithm = algorithm
    self.hex = String(Substring(hex))
  }

  /// A digest from the raw bytes of a finished hash (32 bytes for SHA-256, 64 for SHA-512); nil for another length.
  package init?(algorithm: Algorithm, bytes: some Collection<UInt8>) {
    guard bytes.count * 2 == algorithm.hexLength else { return nil }
    self.algorithm = algorithm
    hex = String(unsafeUninitializedCapacity: bytes.count * 2) { text in
      var count = 0
      for byte in bytes {
        text[count] = Self.hexDigit(byte >> 4)
        text[count + 1] = Self.hexDigit(byte & 15)
        count += 2
      }
      return count
    }
  }

  package var description: String { "\(algorithm.rawValue):\(hex)" }

  /// The first twelve hexadecimal digits, for people.
  package var short: String { String(hex.prefix(12)) }

  private static func isLowerHex(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }

  private static func hexDigit(_ nibble: UInt8) -> UInt8 {
    nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
  }
}
