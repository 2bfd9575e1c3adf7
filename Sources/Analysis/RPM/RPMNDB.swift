import CIsal
import Inventory
import StorageMessages

/// Reads the packages of an rpm database in rpm's own format, `Packages.db` of "ndb": a header and pages of slots, each of
/// which says where the blob of one package lies; offsets and lengths in blocks of 16 bytes, integers little-endian.
///
/// Each slot is judged for itself: what is wrong with one hides nothing of the others. Blobs together are no longer than
/// the file, so that slots which point at the same bytes cost no more than those which do not.
struct RPMNDB {
  private static let blockBytes = 16
  private static let slotPageBytes = 4_096
  /// The first two slots' place is the header's.
  private static let firstSlot = 2
  private static let headBytes = 16
  private static let tailBytes = 12

  private let file: Binary
  private var headers = RPMHeaders()
  private var blocksLeft: Int
  private var damaged = 0
  private var reason: StaticString = ""
  private var falseChecksums = 0

  private init(_ bytes: UnsafeRawBufferPointer) {
    file = Binary(bytes)
    blocksLeft = bytes.count / Self.blockBytes
  }

  /// Adds what is there to `collector`; returns what was wrong. Of a file that was cut, what is there is read.
  static func read(
    _ bytes: UnsafeRawBufferPointer, into collector: inout PackageCollector, checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) -> [LayerError] {
    var database = RPMNDB(bytes)
    guard let version = database.file.u32(4), let slotPages = database.file.u32(12),
      bytes.count >= firstSlot * blockBytes, bytes.starts(with: "RpmP".utf8)
    else { return [LayerError(.databaseMalformed, "the rpm database is no ndb file")] }
    guard version == 0 else {
      return [LayerError(.databaseNotSupported, "the rpm database is of version \(version) of ndb; 0 is read")]
    }
    let pagesThere = min(slotPages, bytes.count / slotPageBytes)
    try database.readSlots(pagesThere * slotPageBytes / blockBytes, into: &collector, checkTime)
    var errors = database.errors
    if slotPages == 0 || pagesThere < slotPages {
      errors.append(
        LayerError(.databaseMalformed, "the rpm database has \(pagesThere) pages of slots where it claims \(slotPages)")
      )
    }
    return errors
  }

  private var errors: [LayerError] {
    var errors: [LayerError] = []
    if damaged > 0 {
      errors.append(
        LayerError(.databaseMalformed, "\(damaged) slots of the rpm database are damaged; the last \(reason)"))
    }
    if falseChecksums > 0 {
      errors.append(
        LayerError(.databaseMalformed, "\(falseChecksums) packages of the rpm database have a wrong checksum"))
    }
    if let error = headers.error { errors.append(error) }
    return errors
  }

  private mutating func readSlots(
    _ slots: Int, into collector: inout PackageCollector, _ checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) {
    for slot in stride(from: Self.firstSlot, to: slots, by: 1) {
      if slot % 256 == 0 { try checkTime() }
      let at = slot * Self.blockBytes
      guard let magic = file.integer(at, as: UInt32.self), magic == Self.magic("Slot") else {
        note("is none")
        continue
      }
      guard let package = file.u32(at + 4), let start = file.u32(at + 8), let count = file.u32(at + 12) else { return }
      if start == 0 { continue }
      if let blob = blob(of: package, start, count) {
        headers.add(blob, into: &collector)
        try checkTime()
      }
    }
  }

  private mutating func note(_ reason: StaticString) {
    damaged += 1
    self.reason = reason
  }

  /// The header in the blob of a slot; nil, and noted, where slot and blob do not fit each other. A wrong checksum is told,
  /// and the header read nevertheless, as rpm reads it.
  private mutating func blob(of package: Int, _ start: Int, _ count: Int) -> UnsafeRawBufferPointer? {
    guard let blob = file.piece(start * Self.blockBytes, count * Self.blockBytes) else {
      note("points outside the file")
      return nil
    }
    let head = Binary(blob)
    guard let stored = head.u32(4), let length = head.u32(12),
      head.integer(0, as: UInt32.self) == Self.magic("BlbS"), stored == package
    else {
      note("points at what is no blob of its package")
      return nil
    }
    let tail = blob.count - Self.tailBytes
    guard (Self.headBytes + length + Self.tailBytes + Self.blockBytes - 1) / Self.blockBytes == count,
      head.u32(tail + 4) == length, head.integer(tail + 8, as: UInt32.self) == Self.magic("BlbE")
    else {
      note("has another length than its blob")
      return nil
    }
    guard count <= blocksLeft else {
      note("has a blob that lies over others")
      return nil
    }
    blocksLeft -= count
    if head.integer(tail, as: UInt32.self) != isal_adler32(1, blob.baseAddress, UInt64(tail)) { falseChecksums += 1 }
    return head.piece(Self.headBytes, length)
  }

  private static func magic(_ text: StaticString) -> UInt32 {
    text.withUTF8Buffer { UInt32(littleEndian: UnsafeRawBufferPointer($0).loadUnaligned(as: UInt32.self)) }
  }
}
