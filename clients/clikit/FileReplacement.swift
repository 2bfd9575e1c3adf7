import CPosix
import Glibc
import Posix

/// Files that appear under their name whole or not at all.
package enum FileReplacement {
  /// Writes `bytes` beside `path` and renames them into place. A symbolic link, a device or a directory at `path` is
  /// refused: as root, replacing what `/dev/stdout` or `/dev/null` is would harm the whole machine.
  package static func write(_ bytes: some Collection<UInt8>, to path: String) throws {
    let mode = try permissions(for: path)
    do throws(PosixError) {
      try replace(path, mode, bytes)
    } catch {
      throw CommandFailure.local("\(error)", hint: "nothing that is not whole was left under \(path)")
    }
  }

  private static func replace(_ path: String, _ mode: mode_t, _ bytes: some Collection<UInt8>) throws(PosixError) {
    let temporary = try createTemporary(beside: path, mode: mode)
    do throws(PosixError) {
      defer { close(temporary.descriptor) }
      try File.write(bytes, to: temporary.descriptor, named: path)
      guard fsync(temporary.descriptor) == 0 else { throw PosixError("sync \(path)") }
      guard rename(temporary.path, path) == 0 else { throw PosixError("rename to \(path)") }
    } catch {
      unlink(temporary.path)
      throw error
    }
    try File.syncDirectory(of: path)
  }

  /// What the new file may have: what a file there has now, else the usual less the umask.
  static func permissions(for path: String) throws -> mode_t {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      if errno == ENOENT { return 0o666 }
      throw CommandFailure.local(PosixError("stat \(path)"))
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return status.st_mode & 0o777
    case S_IFLNK:
      throw CommandFailure.local("\(path) is a symbolic link", hint: "name the file that it leads to")
    case S_IFDIR: throw CommandFailure.local("\(path) is a directory", hint: "name a file in it")
    default:
      throw CommandFailure.local("\(path) is no regular file", hint: "redirect standard output to it instead")
    }
  }

  private static func createTemporary(
    beside path: String, mode: mode_t
  ) throws(PosixError) -> (descriptor: Int32, path: String) {
    for _ in 0..<16 {
      let temporary = "\(path).\(String(UInt32.random(in: .min ... .max), radix: 36)).part"
      let descriptor = cposix_open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
      if descriptor >= 0 { return (descriptor, temporary) }
      guard errno == EEXIST else { throw PosixError("create \(temporary)") }
    }
    throw PosixError("create a file beside \(path)", errno: EEXIST)
  }
}
