import Inventory

/// A write-ahead log of SQLite (sqlite.org/fileformat2.html, section 4): a header and frames, each of which is a page of
/// the database as it became. What counts are the frames up to the last one that commits; all are of this use of the file,
/// by their salts, and sound, by a checksum that goes on from frame to frame. SQLite passes over the rest.
struct WriteAheadLog {
  private static let headerBytes = 32
  private static let frameHeaderBytes = 24
  private static let formatVersion = 3_007_000

  private struct Checksum: Equatable {
    var first: UInt32 = 0
    var second: UInt32 = 0

    /// Adds pairs of words.
    mutating func add(_ bytes: UnsafeRawBufferPointer, isBigEndian: Bool) {
      var (first, second) = (first, second)
      for at in stride(from: 0, to: bytes.count - 7, by: 8) {
        let one = bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)
        let two = bytes.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)
        first &+= (isBigEndian ? UInt32(bigEndian: one) : UInt32(littleEndian: one)) &+ second
        second &+= (isBigEndian ? UInt32(bigEndian: two) : UInt32(littleEndian: two)) &+ first
      }
      (self.first, self.second) = (first, second)
    }
  }

  /// The frames that count, and the pages that the database has after them.
  private struct Committed {
    var frames = 0
    var pages = 0
    /// A frame of this use of the file that is not sound.
    var damagedFrame: Int?
  }

  private let log: Binary
  private let pageBytes: Int
  private let headerSum: Checksum
  /// The words that are summed up; all else in a log is big-endian.
  private let sumsBigEndian: Bool

  /// Writes the committed pages of `log` to `database`, which may grow to `limit` bytes; returns what was wrong.
  static func apply(
    _ log: [UInt8], to database: inout [UInt8], limit: Int, checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) -> [LayerError] {
    try log.withBytes { (log) throws(LayerError) in try apply(log, to: &database, limit, checkTime) }
  }

  private static func apply(
    _ log: UnsafeRawBufferPointer, to database: inout [UInt8], _ limit: Int, _ checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) -> [LayerError] {
    // SQLite takes the log of an empty database away, and a log without frames for none.
    if log.count <= headerBytes || database.isEmpty { return [] }
    guard let log = WriteAheadLog(log) else { return [incomplete("has a damaged header and is not read")] }
    guard log.pageBytes == pageBytes(of: database) else { return [incomplete("has pages of another size")] }
    let committed = try log.committed(checkTime)
    var errors: [LayerError] = []
    if let frame = committed.damagedFrame { errors.append(incomplete("is damaged from frame \(frame + 1) on")) }
    guard committed.frames > 0 else { return errors }
    let size = committed.pages * log.pageBytes
    guard size <= limit else { return errors + [incomplete("makes a database of \(size) bytes, over \(limit)")] }
    if database.count > size { database.removeLast(database.count - size) }
    database.reserveCapacity(size)
    if database.count < size { database.append(contentsOf: repeatElement(0, count: size - database.count)) }
    try log.write(committed, to: &database, checkTime)
    return errors
  }

  private static func incomplete(_ what: String) -> LayerError {
    LayerError(.databaseIncomplete, "the rpm database's write-ahead log \(what): packages may be missing")
  }

  private static func pageBytes(of database: [UInt8]) -> Int? {
    if database.count < 18 { return nil }
    let size = Int(database[16]) << 8 | Int(database[17])
    return size == 1 ? 65_536 : size
  }

  /// Nil where SQLite would not take it for a log.
  private init?(_ bytes: UnsafeRawBufferPointer) {
    log = Binary(bytes, isBigEndian: true)
    guard let magic = log.u32(0), magic & ~1 == 0x377f_0682, log.u32(4) == Self.formatVersion,
      let pageBytes = log.u32(8), (512...65_536).contains(pageBytes), pageBytes & (pageBytes - 1) == 0,
      let summed = log.piece(0, 24), let first = log.u32(24), let second = log.u32(28)
    else { return nil }
    self.pageBytes = pageBytes
    sumsBigEndian = magic & 1 == 1
    var sum = Checksum()
    sum.add(summed, isBigEndian: sumsBigEndian)
    guard sum == Checksum(first: UInt32(first), second: UInt32(second)) else { return nil }
    headerSum = sum
  }

  private func start(_ frame: Int) -> Int { Self.headerBytes + frame * (Self.frameHeaderBytes + pageBytes) }

  private func committed(_ checkTime: () throws(LayerError) -> Void) throws(LayerError) -> Committed {
    var committed = Committed()
    var sum = headerSum
    let salts = log.integer(16, as: UInt64.self)
    for frame in 0..<((log.count - Self.headerBytes) / (Self.frameHeaderBytes + pageBytes)) {
      try checkTime()
      let at = start(frame)
      // Left from an earlier use of the file.
      guard log.integer(at + 8, as: UInt64.self) == salts else { break }
      guard let page = log.u32(at), let pages = log.u32(at + 4), let head = log.piece(at, 8),
        let contents = log.piece(at + Self.frameHeaderBytes, pageBytes)
      else { break }
      sum.add(head, isBigEndian: sumsBigEndian)
      sum.add(contents, isBigEndian: sumsBigEndian)
      guard page > 0, log.u32(at + 16) == Int(sum.first), log.u32(at + 20) == Int(sum.second) else {
        committed.damagedFrame = frame
        break
      }
      if pages > 0 { (committed.frames, committed.pages) = (frame + 1, pages) }
    }
    return committed
  }

  /// `database` has the size that it has after the frames.
  private func write(
    _ committed: Committed, to database: inout [UInt8], _ checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) {
    for frame in 0..<committed.frames {
      try checkTime()
      let at = start(frame)
      // A page that a later frame cut off is of no use.
      guard let page = log.u32(at), page <= committed.pages,
        let contents = log.piece(at + Self.frameHeaderBytes, pageBytes)
      else { continue }
      database.withUnsafeMutableBytes { bytes in
        UnsafeMutableRawBufferPointer(rebasing: bytes[((page - 1) * pageBytes)...]).copyMemory(from: contents)
      }
    }
  }
}
