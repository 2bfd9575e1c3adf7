import Glibc
import Posix

/// A look at an LMDB file before it is mapped: a file cut short would end the process by SIGBUS at the first read.
enum FileCheck {
  private static let metaMagic: UInt32 = 0xBEEF_C0DE
  private static let metaOffset = 16  // after the page header
  private static let metaSize = 136

  static func verify(_ path: String) throws(StoreError) {
    let size: Int
    do {
      size = Int(try File.status(path).st_size)
    } catch {
      if error.errno == ENOENT { return }
      throw StoreError(error, path: path)
    }
    if size == 0 { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let head: [UInt8]
    do {
      head = try prefix(of: path, count: 2 * page)
    } catch {
      throw StoreError(error, path: path)
    }
    let lastPages = [0, page].compactMap { lastPage(in: head, at: $0) }
    // The newer of the two counts; the older one may name fewer pages.
    guard let newest = lastPages.max(by: { $0.transaction < $1.transaction }) else {
      throw damaged(path, "it is no LMDB file of this version")
    }
    guard (newest.page + 1) * UInt64(page) <= UInt64(size) else {
      throw damaged(path, "it has \(size) bytes, but \((newest.page + 1) * UInt64(page)) belong to it")
    }
  }

  private static func lastPage(in head: [UInt8], at offset: Int) -> (page: UInt64, transaction: UInt64)? {
    let start = offset + metaOffset
    guard head.count >= start + metaSize else { return nil }
    func word(_ at: Int) -> UInt64 { (0..<8).reversed().reduce(0) { $0 << 8 | UInt64(head[start + at + $1]) } }
    guard UInt32(truncatingIfNeeded: word(0)) == metaMagic, word(0) >> 32 == 1 else { return nil }
    // MDB_meta: magic, version, address, map size, two MDB_db of 48 bytes, last page, transaction id.
    let page = word(24 + 96)
    guard page < 1 << 48 else { return nil }
    return (page, word(24 + 96 + 8))
  }

  private static func prefix(of path: String, count: Int) throws(PosixError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw PosixError("open \(path)") }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: count)
    let got = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
    guard got >= 0 else { throw PosixError("read \(path)") }
    return Array(bytes.prefix(got))
  }

  private static func damaged(_ path: String, _ why: String) -> StoreError {
    StoreError(
      .damaged, "\(path) is damaged: \(why)", hint: "keep a copy of the file and put a backup in its place")
  }
}
