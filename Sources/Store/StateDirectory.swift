import CPosix
import Glibc
import Posix

/// The daemon's directory: made 0700, held by one process, refused when somebody else could write to it.
///
/// Holds `state.mdb` (the state environment), `advisories/` (the advisory database), `secrets.key`, `uploads/` (spooled
/// uploads, emptied at start) and `lock`; `restore/` while a backup is put in place.
package struct StateDirectory: Sendable {
  static let lockName = "lock"
  static let stateName = "state.mdb"
  static let keyName = "secrets.key"
  static let restoreName = "restore"

  /// Holds the directory's lock until the last reference goes.
  final class Lock: Sendable {
    private let descriptor: Int32

    /// Makes the directory if it is missing, checks it, and takes its lock.
    init(of path: String) throws(StoreError) { descriptor = try StateDirectory.takeLock(of: path) }
    deinit { close(descriptor) }
  }

  package let path: String
  private let lock: Lock

  package var stateFile: String { path + "/" + Self.stateName }
  package var advisoriesDirectory: String { path + "/advisories" }
  package var uploadsDirectory: String { path + "/uploads" }
  package var keyFile: String { path + "/" + Self.keyName }

  /// Makes the directory if it is missing, checks it, and takes its lock until the process ends or the value goes.
  package init(opening path: String) throws(StoreError) {
    lock = try Lock(of: path)
    self.path = path
    try Self.settleRestore(in: path)
    do {
      try File.createDirectories(advisoriesDirectory, mode: 0o700)
      try File.createDirectories(uploadsDirectory, mode: 0o700)
    } catch {
      throw StoreError(error, path: path)
    }
  }

  /// What a restore that was killed leaves: once the state is in its place, nothing of use.
  private static func settleRestore(in path: String) throws(StoreError) {
    let leftover = path + "/" + restoreName
    guard access(leftover, F_OK) == 0 else { return }
    guard access(path + "/" + stateName, F_OK) == 0 else {
      throw StoreError(
        .damaged, "a backup was being restored into \(path) and is not whole",
        hint: "restore it again with --restore, or remove \(leftover) and what else is there")
    }
    guard rmdir(leftover) == 0 else { throw StoreError(PosixError("remove \(leftover)"), path: path) }
  }

  private static func takeLock(of path: String) throws(StoreError) -> Int32 {
    let status: stat
    do {
      try File.createDirectories(path, mode: 0o700)
      status = try File.status(path)
    } catch {
      throw StoreError(error, path: path)
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw StoreError(PosixError("open state directory \(path)", errno: ENOTDIR), path: path)
    }
    guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
      throw StoreError(
        .notWritable,
        "the state directory \(path) can be written by others (owner \(status.st_uid), mode \(octal(status.st_mode)))",
        hint: "chown \(geteuid()) \(path) && chmod 0700 \(path)")
    }
    let file = path + "/" + lockName
    let lock = cposix_open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard lock >= 0 else { throw StoreError(PosixError("open \(file)"), path: path) }
    guard take(lock) else {
      let error = PosixError("lock \(file)")
      close(lock)
      guard error.errno == EWOULDBLOCK else { throw StoreError(error, path: path) }
      throw StoreError(
        .inUse, "the state directory \(path) is in use by another daemon\(holder(named: file))",
        hint: "stop that daemon, or choose another --state-dir")
    }
    do {
      guard ftruncate(lock, 0) == 0 else { throw PosixError("truncate \(file)") }
      try File.write(Array("\(getpid())".utf8), to: lock, named: file)
    } catch {
      close(lock)
      throw StoreError(error as? PosixError ?? PosixError("write \(file)", errno: EIO), path: path)
    }
    return lock
  }

  /// A daemon that was killed while it started a worker leaves that child a copy of the lock's descriptor until its
  /// exec: a lock that is held is tried again for a moment, so that a restart at once is not refused for it.
  private static func take(_ lock: Int32) -> Bool {
    let (attempts, pauseMilliseconds) = (50, 10 as Int32)
    for attempt in 1...attempts {
      if flock(lock, LOCK_EX | LOCK_NB) == 0 { return true }
      guard errno == EWOULDBLOCK || errno == EINTR, attempt < attempts else { break }
      poll(nil, 0, pauseMilliseconds)
    }
    return false
  }

  /// " (process 123)" for people; nothing when the file does not say.
  private static func holder(named file: String) -> String {
    guard let bytes = try? File.read(file, limit: 32), !bytes.isEmpty else { return "" }
    return " (process \(String(decoding: bytes, as: UTF8.self)))"
  }
}

private func octal(_ mode: mode_t) -> String { String(mode & 0o7777, radix: 8) }
