import CPosix
import Glibc
import Posix

/// The two pages at the head of an LMDB file. Each names the root of one commit; the one with the higher number counts, and
/// a commit writes over the older.
struct MetaPages {
  private static let count = 2
  private static let headerBytes = 16
  /// Where a meta page has the number of its commit.
  private static let commitOffset = headerBytes + 128

  private let path: String
  private let descriptor: Int32
  private let page = Int(sysconf(Int32(_SC_PAGESIZE)))

  /// Makes what the meta pages say the same in memory and on disk, before anything is written by what they say. Where
  /// `newest` is given, a page that names a later commit is one of a commit that failed, and loses its number.
  ///
  /// Needed before a file is written to again after a write to it failed, and after a process that may have died of that:
  ///
  /// - After a failed data sync nothing refers to the pages that did not reach the disk: their transaction was aborted,
  ///   its pages are free again, and who takes them writes them anew. But the kernel tells of the failure once for each
  ///   description of the file, and LMDB has two: the synchronous one would tell at the next meta page, of a commit that
  ///   went well. It has to be opened anew.
  /// - After a failed write of a meta page, LMDB writes the old number back, into memory alone. The disk may hold the page
  ///   of the failed commit, and the memory what only looks like the disk: the next commit would write over pages that the
  ///   failed one took, and a power cut right then would leave a file whose newest meta page leads into them. Asking for
  ///   another sync proves nothing, since a page whose write failed counts as clean. So both pages are written once more,
  ///   which makes them dirty, and then synced; only when that works is the file written to.
  static func settle(_ path: String, newest: UInt64?, isSynchronous: Bool) throws(StoreError) {
    let descriptor = cposix_open(path, O_RDWR | O_CLOEXEC, 0)
    if descriptor < 0 && errno == ENOENT && newest == nil { return }
    guard descriptor >= 0 else { throw StoreError(PosixError("open \(path)"), path: path) }
    defer { close(descriptor) }
    do throws(PosixError) {
      try MetaPages(path: path, descriptor: descriptor).settle(newest: newest)
      guard !isSynchronous || fdatasync(descriptor) == 0 else { throw PosixError("sync \(path)") }
    } catch {
      throw StoreError(error, path: path)
    }
  }

  private func settle(newest: UInt64?) throws(PosixError) {
    var bytes = [UInt8](repeating: 0, count: Self.count * page)
    let got = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
    guard got >= 0 else { throw PosixError("read \(path)") }
    // A new file; one that is cut short was refused before.
    guard got == bytes.count else { return }
    for number in 0..<Self.count {
      let start = number * page
      let place = start + Self.commitOffset
      let commit = (0..<8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64(bytes[place + $1]) }
      if let newest, commit > newest { for byte in 0..<8 { bytes[place + byte] = 0 } }
      let written = bytes.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress.map { $0 + start }, page, start)
      }
      guard written == page else { throw PosixError("write \(path)", errno: written < 0 ? errno : EIO) }
    }
  }
}
