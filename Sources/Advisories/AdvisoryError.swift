import Glibc
import Posix

/// Why an advisory archive was not imported. What was in force before stays in force.
package struct AdvisoryError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: String, Sendable {
    /// Neither a zip archive nor a bundle.
    case archiveUnknown = "ARCHIVE_UNKNOWN"
    /// The archive ends before what it announces.
    case archiveTruncated = "ARCHIVE_TRUNCATED"
    /// The archive contradicts itself.
    case archiveDamaged = "ARCHIVE_DAMAGED"
    /// The archive holds more entries, or would unpack to more, than is read.
    case archiveTooLarge = "ARCHIVE_TOO_LARGE"
    /// The archive holds no OSV record.
    case notOSV = "ARCHIVE_NOT_OSV"
    /// A set's name cannot be used.
    case badName = "BAD_SET_NAME"
    /// Another import runs.
    case importRunning = "IMPORT_RUNNING"
    /// The file system has no room for the database that was being built.
    case diskFull = "DISK_FULL"
    /// The system refused to read the archive or to write the database.
    case io = "ADVISORIES_IO"
  }

  package let code: Code
  package let message: String
  /// What can be done about it.
  package let hint: String

  package init(_ code: Code, _ message: String, hint: String) {
    self.code = code
    self.message = message
    self.hint = hint
  }

  package var description: String { message }

  /// Puts the name of the set before the message.
  func of(set name: String) -> AdvisoryError { AdvisoryError(code, "\(name): \(message)", hint: hint) }

  /// A system call on a file of the database, or on an upload, that failed.
  init(_ error: PosixError) {
    let isFull = error.errno == ENOSPC || error.errno == EDQUOT
    self.init(
      isFull ? .diskFull : .io, "\(error)",
      hint: isFull
        ? "free space on the file system of the state directory; the advisories in force stay"
        : "check the file system of the state directory and the permissions in it")
  }

  static func truncated(_ what: String) -> AdvisoryError {
    AdvisoryError(
      .archiveTruncated, "the archive is cut short: \(what)", hint: "download the archive again and import it")
  }

  static func damaged(_ what: String) -> AdvisoryError {
    AdvisoryError(.archiveDamaged, "the archive is damaged: \(what)", hint: "download the archive again and import it")
  }

  static func tooLarge(_ what: String) -> AdvisoryError {
    AdvisoryError(
      .archiveTooLarge, "the archive is refused: \(what)", hint: "import the ecosystems you need one by one")
  }
}
