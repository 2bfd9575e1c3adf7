import API
import RPC

/// Page tokens and sizes of the List methods.
enum Paging {
  static let sizeDefault = 100
  static let sizeMaximum = 1000
  /// A position is never longer than a key of the store, which has 511 bytes at most.
  private static let tokenBytesMaximum = 2 * 600

  static func size(_ wanted: UInt32) -> Int { wanted == 0 ? sizeDefault : min(Int(wanted), sizeMaximum) }

  /// A token is what the next page starts after, as text; hexadecimal, so that nobody takes it for something to build.
  static func token(_ position: String) -> String {
    hexadecimal(position.utf8)
  }

  static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  static func position(_ token: String) throws -> String {
    let digits = Array(token.utf8)
    guard digits.count <= tokenBytesMaximum, digits.count.isMultiple(of: 2) else { throw malformed() }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = nibble(digits[index]), let low = nibble(digits[index + 1]) else { throw malformed() }
      bytes.append(high << 4 | low)
    }
    guard let position = String(validating: bytes, as: UTF8.self) else { throw malformed() }
    return position
  }

  private static func nibble(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    default: nil
    }
  }

  static func malformed() -> RPCError {
    .invalidArgument([("page_token", "is not one that an earlier answer gave; start again without it")])
  }
}
