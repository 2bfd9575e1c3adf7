import API
import RPC

/// Page tokens and sizes of the List methods.
enum Paging {
  static let sizeDefault = 100
  static let sizeMaximum = 1000

  static func size(_ wanted: UInt32) -> Int { wanted == 0 ? sizeDefault : min(Int(wanted), sizeMaximum) }

  /// A token is what the next page starts after, as text; hexadecimal, so that nobody takes it for something to build.
  static func token(_ position: String) -> String {
    position.utf8.map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }

  static func position(_ token: String) throws -> String {
    var bytes: [UInt8] = []
    var rest = Substring(token)
    while !rest.isEmpty {
      guard let byte = UInt8(rest.prefix(2), radix: 16), rest.count >= 2 else { throw malformed() }
      bytes.append(byte)
      rest = rest.dropFirst(2)
    }
    guard let position = String(validating: bytes, as: UTF8.self) else { throw malformed() }
    return position
  }

  static func malformed() -> RPCError {
    .invalidArgument([("page_token", "is not one that an earlier answer gave; start again without it")])
  }
}
