import CPosix
import Glibc
import Posix

/// A spooled upload, read at any place. Closed when the last reference goes.
final class ArchiveFile {
  private let descriptor: Int32
  private let path: String
  let size: UInt64

  init(_ path: String) throws(AdvisoryError) {
    self.path = path
    descriptor = cposix_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0)
    guard descriptor >= 0 else { throw AdvisoryError(PosixError("open \(path)")) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      let failure = PosixError("open \(path)", errno: EINVAL)
      close(descriptor)
      throw AdvisoryError(failure)
    }
    size = UInt64(status.st_size)
  }

  deinit { close(descriptor) }

  /// The first bytes, fewer when the file is shorter.
  func prefix(_ count: Int) throws(AdvisoryError) -> [UInt8] {
    try read(at: 0, count: Int(min(UInt64(count), size)), what: "its first bytes")
  }

  /// Exactly `count` bytes; `what` names them should the file end before.
  func read(at offset: UInt64, count: Int, what: String) throws(AdvisoryError) -> [UInt8] {
    guard offset <= size, UInt64(count) <= size - offset else { throw .truncated("\(what) is missing") }
    var done = 0
    var failure: PosixError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialised in
      while done < count {
        let got = pread(descriptor, buffer.baseAddress.map { $0 + done }, count - done, off_t(offset) + off_t(done))
        if got < 0 && errno == EINTR { continue }
        if got < 0 { failure = PosixError("read \(path)") }
        if got <= 0 { break }
        done += got
      }
      initialised = done
    }
    if let failure { throw AdvisoryError(failure) }
    guard done == count else { throw .truncated("\(what) is missing") }
    return bytes
  }
}

extension Array<UInt8> {
  /// A little-endian number of `width` bytes, as zip writes them. The caller has checked the length.
  func little(_ offset: Int, _ width: Int) -> UInt64 {
    self[offset..<offset + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// A big-endian number, as bundles write them.
  func big(_ offset: Int, _ width: Int) -> UInt64 { self[offset..<offset + width].reduce(0) { $0 << 8 | UInt64($1) } }
}
