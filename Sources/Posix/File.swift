import CPosix
import Glibc

/// Whole small files and directories, with errors that name them.
package enum File {
  /// The file's bytes; throws `EFBIG` when it is longer than `limit`.
  package static func read(_ path: String, limit: Int) throws(PosixError) -> [UInt8] {
    let descriptor = cposix_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0)
    guard descriptor >= 0 else { throw PosixError("open \(path)") }
    defer { close(descriptor) }
    return try read(descriptor, named: path, limit: limit)
  }

  /// What can be read from `descriptor` up to its end; throws `EFBIG` when that is more than `limit`.
  package static func read(_ descriptor: Int32, named path: String, limit: Int) throws(PosixError) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 * 1024)
    while true {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        throw PosixError("read \(path)")
      }
      if count == 0 { return bytes }
      guard bytes.count + count <= limit else { throw PosixError("read \(path)", errno: EFBIG) }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  /// Creates `path` exclusively with `mode`, writes and syncs it, and syncs its directory. Where that fails nothing is left.
  package static func create(_ path: String, mode: mode_t, contents: [UInt8]) throws(PosixError) {
    let descriptor = cposix_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw PosixError("create \(path)") }
    defer { close(descriptor) }
    do throws(PosixError) {
      try write(contents, to: descriptor, named: path)
      guard fsync(descriptor) == 0 else { throw PosixError("sync \(path)") }
      try syncDirectory(of: path)
    } catch {
      unlink(path)
      throw error
    }
  }

  package static func write(_ bytes: some Collection<UInt8>, to descriptor: Int32, named path: String)
    throws(PosixError)
  {
    var rest = Array(bytes)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        throw PosixError("write \(path)")
      }
      rest = rest.dropFirst(count)
    }
  }

  /// Makes a rename or creation inside the directory of `path` durable.
  package static func syncDirectory(of path: String) throws(PosixError) {
    let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let descriptor = cposix_open(parent.isEmpty ? "/" : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard descriptor >= 0 else { throw PosixError("open \(parent)") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw PosixError("sync \(parent)") }
  }

  /// Makes `path` and its missing parents, each with exactly `mode` whatever the umask; an existing directory is left as
  /// it is.
  package static func createDirectories(_ path: String, mode: mode_t) throws(PosixError) {
    var prefix = path.hasPrefix("/") ? "" : "."
    for part in path.split(separator: "/") {
      prefix += "/" + part
      if mkdir(prefix, mode) == 0 {
        guard chmod(prefix, mode) == 0 else { throw PosixError("set the mode of \(prefix)") }
      } else if errno != EEXIST {
        throw PosixError("create directory \(prefix)")
      }
    }
  }

  package static func status(_ path: String) throws(PosixError) -> stat {
    var status = stat()
    guard stat(path, &status) == 0 else { throw PosixError("stat \(path)") }
    return status
  }
}
