/// Why a text must not be decoded.
package struct JSONFlaw: Error {
  /// With nothing of the text itself in it.
  package let reason: String
  /// A key that occurs twice in one object, as it is written.
  package let repeatedKey: [UInt8]?

  init(_ reason: String, repeatedKey: [UInt8]? = nil) {
    self.reason = reason
    self.repeatedKey = repeatedKey
  }
}
