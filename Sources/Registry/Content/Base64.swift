import FoundationEssentials

/// Base64 as HTTP's Basic scheme wants it.
enum Base64 {
  static func encoded(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }
}
