import FoundationEssentials

/// Base64 as HTTP's Basic scheme wants it.
enum Base64 {
  static func encoded(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

  /// Nil for text that is none.
  static func decoded(_ text: String) -> [UInt8]? { Data(base64Encoded: text).map { Array($0) } }
}
