import CLMDB
import Glibc
import Posix

/// Why the store could not do what it was asked.
package struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: String, Sendable, CaseIterable {
    /// The file system has no room for a commit. What is stored stays readable.
    case diskFull = "DISK_FULL"
    /// The map chosen at open is used up.
    case mapFull = "MAP_FULL"
    /// Another process holds the state directory.
    case inUse = "STATE_IN_USE"
    /// The state directory or a file in it cannot be written, or its mode is unsafe.
    case notWritable = "STATE_NOT_WRITABLE"
    /// A file of the store is cut short or does not decode.
    case damaged = "STORE_DAMAGED"
    /// The store was written by a newer version.
    case schemaUnknown = "SCHEMA_UNKNOWN"
    /// A sealed secret or the key file cannot be used.
    case secrets = "SECRETS_UNREADABLE"
    /// The key is given to the daemon: it cannot replace it.
    case keyNotOurs = "KEY_IS_CREDENTIAL"
    /// A key is empty, longer than LMDB takes (511 bytes), or holds a NUL.
    case keyTooLong = "KEY_TOO_LONG"
    /// What is to be restored is no backup, is cut short or altered, or is of another version or kind of machine.
    case backupUnusable = "BACKUP_UNUSABLE"
    /// Whoever takes a backup takes it so slowly that the store would grow without bound.
    case backupTooSlow = "BACKUP_TOO_SLOW"
    /// A backup is restored only into a state directory that is empty.
    case notEmpty = "STATE_NOT_EMPTY"
    /// The system refused a read or write.
    case io = "STORE_IO"
    /// The store opens its file anew after a fault of the disk.
    case reopening = "STORE_REOPENING"
    /// The store was closed.
    case closed = "STORE_CLOSED"
  }

  package let code: Code
  package let message: String
  /// What an operator can do about it.
  package let hint: String

  package init(_ code: Code, _ message: String, hint: String) {
    self.code = code
    self.message = message
    self.hint = hint
  }

  package var description: String { message }

  /// A system call on `path` that failed.
  init(_ error: PosixError, path: String) {
    switch error.errno {
    case ENOSPC, EDQUOT:
      self.init(.diskFull, "no space left for \(path)", hint: "free space on its file system; nothing stored is lost")
    case EACCES, EPERM, EROFS:
      self.init(
        .notWritable, "\(error)", hint: "give the daemon's user write access to \(path), or choose another --state-dir")
    default:
      self.init(.io, "\(error)", hint: "check the file system of \(path) and the kernel's log")
    }
  }

  /// A status of LMDB: its own numbers are negative, errno's are positive.
  init(status: Int32, operation: String, path: String) {
    switch status {
    case MDB_MAP_FULL:
      self.init(
        .mapFull, "the store's map is full (\(operation), \(path))",
        hint: "start the daemon with a larger store.mapSizeBytes; what is stored stays readable")
    case MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID, MDB_VERSION_MISMATCH, MDB_PANIC:
      self.init(
        .damaged, "\(operation) of \(path): \(String(cString: mdb_strerror(status)))",
        hint: "stop the daemon, keep a copy of the file, and restore a backup")
    case MDB_BAD_VALSIZE:
      self.init(.keyTooLong, "\(operation) of \(path): a key is empty or too long", hint: "this is a defect: report it")
    case EIO where Self.isFull(path):
      // LMDB reports a write that the full disk cut short as EIO.
      self.init(PosixError("\(operation) \(path)", errno: ENOSPC), path: path)
    default:
      self.init(PosixError("\(operation) \(path)", errno: status), path: path)
    }
  }

  /// Whether the file system of `path` has next to nothing left for us. A file system that does not answer is not full.
  private static func isFull(_ path: String) -> Bool {
    var statistics = statvfs()
    guard statvfs(path, &statistics) == 0 else { return false }
    return statistics.f_bavail < 16
  }
}
