import CPosix
import Glibc
import Posix

/// A large file on its way: `PATH.partial`, which only its owner can read, until it is whole and gets its name. What an
/// earlier one left there is replaced.
final class PartialFile {
  private let path: String
  private let partial: String
  private var descriptor: Int32

  /// Throws `CommandFailure`, as every method does.
  init(for path: String) throws {
    // What is there may be replaced, or nothing is begun.
    _ = try FileReplacement.permissions(for: path)
    self.path = path
    partial = path + ".partial"
    guard unlink(partial) == 0 || errno == ENOENT else { throw CommandFailure.local(PosixError("remove \(partial)")) }
    descriptor = cposix_open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw CommandFailure.local(PosixError("create \(partial)")) }
  }

  func write(_ bytes: [UInt8]) throws {
    try Self.translated { () throws(PosixError) in try File.write(bytes, to: descriptor, named: partial) }
  }

  /// Everything is on disk and under its name when this returns.
  func finish() throws {
    try Self.translated { () throws(PosixError) in
      guard fsync(descriptor) == 0 else { throw PosixError("sync \(partial)") }
      guard rename(partial, path) == 0 else { throw PosixError("rename to \(path)") }
      close(descriptor)
      descriptor = -1
      try File.syncDirectory(of: path)
    }
  }

  /// Leaves nothing behind; does nothing after `finish`.
  func abandon() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
    unlink(partial)
  }

  private static func translated(_ body: () throws(PosixError) -> Void) throws {
    do throws(PosixError) {
      try body()
    } catch {
      throw CommandFailure.local(error)
    }
  }
}
