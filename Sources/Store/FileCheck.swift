import CPosix
import Glibc
import Posix

/// A look at an LMDB file before it is mapped: a file cut short would end the process by SIGBUS at the first read.
///
/// A sound file may be shorter than the last page its meta page names: pages that were taken and given up within one
/// transaction are never written. These, and only these, are free pages; so where the file is short, every page beyond
/// its end must be in the list of free pages.
struct FileCheck {
  private static let metaMagic: UInt32 = 0xBEEF_C0DE
  private static let pageHeaderSize = 16
  private static let metaSize = 136

  /// What a meta page says of the transaction that wrote it.
  private struct Meta {
    let freeRoot: UInt64
    let lastPage: UInt64
    let transaction: UInt64
  }

  /// The free pages beyond the end of the file, and how much of the list was read for it.
  private struct FreePages {
    var numbers: Set<UInt64> = []
    var pagesRead: UInt64 = 0
  }

  private let path: String
  private let descriptor: Int32
  private let page = Int(sysconf(Int32(_SC_PAGESIZE)))
  private let filePages: UInt64

  /// Throws when the file at `path` is no LMDB file or is cut short. One that is missing or empty is fine.
  static func verify(_ path: String) throws(StoreError) {
    let descriptor = cposix_open(path, O_RDONLY | O_CLOEXEC, 0)
    if descriptor < 0 && errno == ENOENT { return }
    guard descriptor >= 0 else { throw StoreError(PosixError("open \(path)"), path: path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw StoreError(PosixError("stat \(path)"), path: path) }
    if status.st_size > 0 { try FileCheck(path, descriptor, size: Int(status.st_size)).verify() }
  }

  /// The last page that is used by a file that begins with `bytes`: two pages of it at least.
  static func newestLastPage(in bytes: [UInt8], pageBytes: Int) -> UInt64? {
    let metas = [0, pageBytes].compactMap { meta(in: Array(bytes[$0..<$0 + pageBytes])) }
    return metas.count == 2 ? metas.max { $0.transaction < $1.transaction }?.lastPage : nil
  }

  private init(_ path: String, _ descriptor: Int32, size: Int) {
    self.path = path
    self.descriptor = descriptor
    filePages = UInt64(size / page)
  }

  private func verify() throws(StoreError) {
    var metas: [Meta] = []
    for number in 0..<2 where UInt64(number) < filePages {
      if let meta = Self.meta(in: try read(UInt64(number))) { metas.append(meta) }
    }
    // LMDB reads both and goes by the newer.
    guard metas.count == 2, let newest = metas.max(by: { $0.transaction < $1.transaction }) else {
      throw damaged("it is no LMDB file of this version")
    }
    guard newest.lastPage >= filePages else { return }
    let missing = newest.lastPage - filePages + 1
    var free = FreePages()
    if newest.freeRoot != .max { try collectFree(below: newest.freeRoot, upTo: newest.lastPage, into: &free, depth: 1) }
    let lost = missing - min(missing, UInt64(free.numbers.count))
    guard lost == 0 else { throw damaged("\(lost) pages of \(page) bytes are missing at its end") }
  }

  private static func meta(in bytes: [UInt8]) -> Meta? {
    guard bytes.count >= pageHeaderSize + metaSize else { return nil }
    // MDB_meta: magic, version, address, map size, two MDB_db of 48 bytes, last page, transaction id.
    let head = word(bytes, pageHeaderSize)
    guard UInt32(truncatingIfNeeded: head) == metaMagic, head >> 32 == 1 else { return nil }
    let lastPage = word(bytes, pageHeaderSize + 120)
    guard lastPage < 1 << 48 else { return nil }
    // The first MDB_db is that of free pages; its root is its last word.
    return Meta(
      freeRoot: word(bytes, pageHeaderSize + 24 + 40), lastPage: lastPage,
      transaction: word(bytes, pageHeaderSize + 128))
  }

  /// Walks the tree of free pages: its values are lists of page numbers, each led by its length.
  private func collectFree(
    below number: UInt64, upTo last: UInt64, into free: inout FreePages, depth: Int
  ) throws(StoreError) {
    free.pagesRead += 1
    guard depth <= 32, free.pagesRead <= filePages else { throw damaged("its list of free pages has no end") }
    let bytes = try read(number)
    let flags = half(bytes, 10)
    let nodes = (Int(half(bytes, 12)) - Self.pageHeaderSize) / 2
    guard flags & 3 == 1 || flags & 3 == 2, nodes >= 0, Self.pageHeaderSize + 2 * nodes <= page else {
      throw damaged("its list of free pages does not read")
    }
    for node in 0..<nodes {
      let at = Int(half(bytes, Self.pageHeaderSize + 2 * node))
      guard at + 8 <= page else { throw damaged("its list of free pages does not read") }
      let low = UInt64(half(bytes, at)) | UInt64(half(bytes, at + 2)) << 16
      let nodeFlags = half(bytes, at + 4)
      if flags & 3 == 1 {
        try collectFree(below: low | UInt64(nodeFlags) << 32, upTo: last, into: &free, depth: depth + 1)
        continue
      }
      let start = at + 8 + Int(half(bytes, at + 6))
      guard start + 8 <= page else { throw damaged("its list of free pages does not read") }
      // Flag 1: the value is in overflow pages, and the node holds the number of the first.
      let list =
        nodeFlags & 1 == 0
        ? Array(bytes[start..<min(page, start + Int(low))])
        : try read(Self.word(bytes, start), offset: Self.pageHeaderSize, count: Int(low))
      let count = list.count >= 8 ? Self.word(list, 0) : 0
      guard count <= UInt64(list.count / 8) - min(1, UInt64(list.count / 8)) else {
        throw damaged("its list of free pages does not read")
      }
      for index in 0..<Int(count) {
        let page = Self.word(list, 8 + 8 * index)
        if page >= filePages && page <= last { free.numbers.insert(page) }
      }
    }
  }

  private static func word(_ bytes: [UInt8], _ at: Int) -> UInt64 {
    (0..<8).reversed().reduce(0) { $0 << 8 | UInt64(bytes[at + $1]) }
  }

  private func half(_ bytes: [UInt8], _ at: Int) -> UInt16 { UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8 }

  private func read(_ number: UInt64) throws(StoreError) -> [UInt8] { try read(number, offset: 0, count: page) }

  /// `count` bytes from `offset` in a page; throws when the file does not hold them all.
  private func read(_ number: UInt64, offset: Int, count: Int) throws(StoreError) -> [UInt8] {
    guard number < filePages, count <= (Int(filePages) - Int(number)) * page - offset else {
      throw damaged("page \(number) is missing")
    }
    var bytes = [UInt8](repeating: 0, count: count)
    let start = Int(number) * page + offset
    var got = 0
    while got < count {
      let more = bytes.withUnsafeMutableBytes {
        pread(descriptor, $0.baseAddress.map { $0 + got }, count - got, start + got)
      }
      if more < 0 && errno == EINTR { continue }
      guard more >= 0 else { throw StoreError(PosixError("read \(path)"), path: path) }
      guard more > 0 else { throw damaged("page \(number) is missing") }
      got += more
    }
    return bytes
  }

  private func damaged(_ why: String) -> StoreError {
    StoreError(
      .damaged, "\(path) is damaged: \(why)", hint: "keep a copy of the file and put a backup in its place")
  }
}
