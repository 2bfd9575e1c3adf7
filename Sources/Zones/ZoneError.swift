/// Why a time zone cannot be had.
package struct ZoneError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: String, Sendable {
    /// The text can name no zone.
    case notAName = "NOT_A_NAME"
    /// The database has none of that name.
    case unknown = "UNKNOWN"
    case unreadable = "UNREADABLE"
    /// Not of the form that RFC 8536 describes.
    case damaged = "DAMAGED"
    /// Of that form, but made for another purpose.
    case unsupported = "UNSUPPORTED"
  }

  package let code: Code
  /// What is wrong, naming the zone or the file.
  package let message: String
  package let hint: String

  init(_ code: Code, _ message: String, hint: String) {
    self.code = code
    self.message = message
    self.hint = hint
  }

  package var description: String { "\(message): \(hint)" }
}
