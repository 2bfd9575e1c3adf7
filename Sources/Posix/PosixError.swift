import Glibc

/// The errno of a failed system call, with the call and what it was about.
package struct PosixError: Error, Sendable, Equatable, CustomStringConvertible {
  package let errno: Int32
  package let operation: String

  /// Captures `errno` as it is now.
  package init(_ operation: String, errno: Int32 = Glibc.errno) {
    self.errno = errno
    self.operation = operation
  }

  package var reason: String { String(cString: strerror(errno)) }
  package var description: String { "\(operation): \(reason)" }
}
