import CPosix
import Glibc
import Posix

/// The daemon's directory: made 0700, held by one process, refused when somebody else could write to it.
///
/// Holds `state.mdb` (the state environment), `advisories/` (the advisory database), `secrets.key`, `uploads/` (spooled
/// uploads, emptied at start) and `lock`.
package struct StateDirectory: ~Copyable, Sendable {
  package let path: String
  private let lock: Int32

  package var stateFile: String { path + "/state.mdb" }
  package var advisoriesDirectory: String { path + "/advisories" }
  package var uploadsDirectory: String { path + "/uploads" }
  package var keyFile: String { path + "/secrets.key" }

  /// Makes the directory if it is missing, checks it, and takes its lock until the process ends or the value goes.
  package init(opening path: String) throws(StoreError) {
    self.path = path
    do {
      try File.createDirectories(path, mode: 0o700)
      let status = try File.status(path)
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw PosixError("open state directory \(path)", errno: ENOTDIR)
      }
      guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
        throw StoreError(
          .notWritable, "the state directory \(path) can be written by others (owner \(status.st_uid), mode \(octal(status.st_mode)))",
          hint: "chown \(geteuid()) \(path) && chmod 0700 \(path)")
      }
      lock = cposix_open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard lock >= 0 else { throw PosixError("open \(path)/lock") }
    } catch let error as PosixError {
      throw StoreError(error, path: path)
    } catch let error as StoreError {
      throw error
    } catch {
      throw StoreError(.io, "\(error)", hint: "check \(path)")
    }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      let holder = (try? File.read(path + "/lock", limit: 32)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      close(lock)
      throw StoreError(
        .inUse, "the state directory \(path) is in use by another daemon\(holder.isEmpty ? "" : " (process \(holder))")",
        hint: "stop that daemon, or choose another --state-dir")
    }
    do {
      ftruncate(lock, 0)
      try File.write(Array("\(getpid())".utf8), to: lock, named: path + "/lock")
      try File.createDirectories(advisoriesDirectory, mode: 0o700)
      try File.createDirectories(uploadsDirectory, mode: 0o700)
    } catch {
      close(lock)
      throw StoreError(error, path: path)
    }
  }

  deinit { close(lock) }
}

private func octal(_ mode: mode_t) -> String { String(mode & 0o7777, radix: 8) }
