import CIsal
import Inventory

/// A zip archive in memory (PKWARE's APPNOTE 6.3), read by its central directory as Java reads it: plain and zip64, with or
/// without other bytes before it. What is there counts, not what its end record claims.
struct ZipContents {
  struct Flaw: Error {
    let reason: String

    init(_ reason: String) { self.reason = reason }
  }

  struct Member {
    let name: UnsafeRawBufferPointer
    let flags: Int
    let method: Int
    let checksum: UInt32
    let packedBytes: Int
    let bytes: Int
    /// Where its local header is.
    let offset: Int
  }

  private enum Size {
    static let end = 22
    static let directoryRow = 46
    static let localHeader = 30
    static let commentMax = 0xffff
  }

  /// Those that were asked for, as the directory lists them.
  private(set) var members: [Member] = []
  /// All of them.
  private(set) var count = 0
  /// Why the directory could not be read to its end, or does not fit what was found.
  private(set) var flaw: Flaw?

  private let file: Binary
  private let directoryStart: Int

  /// Throws where nothing can be read. `membersMax` is of all members, wanted or not.
  init(
    _ bytes: UnsafeRawBufferPointer, membersMax: Int, isWanted: (UnsafeRawBufferPointer) -> Bool
  ) throws(Flaw) {
    file = Binary(bytes)
    let directory = try Self.locate(file)
    directoryStart = directory.start
    var ranges = MemberRanges()
    var at = directory.start
    while at < directory.end {
      guard count < membersMax else {
        flaw = Flaw("holds more than \(membersMax) members")
        break
      }
      guard let (member, next) = member(at, directory.end, base: directory.base) else {
        flaw = Flaw("has a directory that is malformed after \(count) members")
        break
      }
      count += 1
      ranges.add(member.offset, member.offset + Size.localHeader + member.name.count + member.packedBytes)
      if isWanted(member.name) { members.append(member) }
      at = next
    }
    if ranges.overlap { throw Flaw("has members that overlap") }
    // Of more than 65,535 members, archives without zip64 keep the rest of the division.
    if flaw == nil, directory.claimed != count, directory.isWide || directory.claimed != count & 0xffff {
      flaw = Flaw("claims \(directory.claimed) members and has \(count)")
    }
  }

  /// The bytes of a member as they are stored.
  func packed(_ member: Member) throws(Flaw) -> UnsafeRawBufferPointer {
    guard member.flags & 1 == 0 else { throw Flaw("is encrypted") }
    guard file.u32(member.offset) == 0x0403_4b50, let nameBytes = file.u16(member.offset + 26),
      let extraBytes = file.u16(member.offset + 28)
    else { throw Flaw("has no header of its own") }
    let start = member.offset + Size.localHeader + nameBytes + extraBytes
    guard start <= directoryStart, member.packedBytes <= directoryStart - start,
      let packed = file.piece(start, member.packedBytes)
    else { throw Flaw("reaches into the directory") }
    return packed
  }

  // MARK: - Directory

  private struct Directory {
    /// What offsets are counted from: other bytes may come before the archive.
    let base: Int
    let start: Int
    let end: Int
    let claimed: Int
    let isWide: Bool
  }

  private static func locate(_ file: Binary) throws(Flaw) -> Directory {
    guard let end = findEnd(file), let claimed = file.u16(end + 10), let size = file.u32(end + 12),
      let offset = file.u32(end + 16)
    else { throw Flaw("is no zip archive, or cut before its directory") }
    if claimed == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff, file.u32(end - 20) == 0x0706_4b50 {
      return try locateWide(file, end)
    }
    return try directory(end: end, size: UInt64(size), offset: UInt64(offset), claimed: UInt64(claimed), isWide: false)
  }

  /// The zip64 record lies before its locator, which lies before the end record.
  private static func locateWide(_ file: Binary, _ end: Int) throws(Flaw) -> Directory {
    // The locator's offset misses bytes before the archive; the record is looked for beside the locator then.
    let told = file.word(end - 12, bytes: 8).flatMap { Int(exactly: $0) }
    for record in [told, end - 20 - 56] {
      guard let record, record <= end - 20, file.u32(record) == 0x0606_4b50,
        let claimed = file.word(record + 32, bytes: 8),
        let size = file.word(record + 40, bytes: 8), let offset = file.word(record + 48, bytes: 8)
      else { continue }
      return try directory(end: record, size: size, offset: offset, claimed: claimed, isWide: true)
    }
    throw Flaw("has a zip64 locator that leads nowhere")
  }

  private static func directory(
    end: Int, size: UInt64, offset: UInt64, claimed: UInt64, isWide: Bool
  ) throws(Flaw) -> Directory {
    guard size <= UInt64(end), offset <= UInt64(end) - size else { throw Flaw("has a directory outside of it") }
    let start = end - Int(size)
    return Directory(
      base: start - Int(offset), start: start, end: end, claimed: Int(clamping: claimed), isWide: isWide)
  }

  /// The last end record whose comment ends with the file, else the last one at all.
  private static func findEnd(_ file: Binary) -> Int? {
    var other: Int?
    var at = file.count - Size.end
    let last = max(0, at - Size.commentMax)
    while at >= last {
      if file.bytes[at] == 0x50, file.u32(at) == 0x0605_4b50, let comment = file.u16(at + 20) {
        let rest = file.count - at - Size.end
        if comment == rest { return at }
        if comment < rest && other == nil { other = at }
      }
      at -= 1
    }
    return other
  }

  private func member(_ at: Int, _ end: Int, base: Int) -> (member: Member, next: Int)? {
    guard file.u32(at) == 0x0201_4b50, let flags = file.u16(at + 8), let method = file.u16(at + 10),
      let checksum = file.integer(at + 16, as: UInt32.self), let packedBytes = file.u32(at + 20),
      let bytes = file.u32(at + 24), let nameBytes = file.u16(at + 28), let extraBytes = file.u16(at + 30),
      let commentBytes = file.u16(at + 32), let offset = file.u32(at + 42),
      let name = file.piece(at + Size.directoryRow, nameBytes),
      let extra = file.piece(at + Size.directoryRow + nameBytes, extraBytes)
    else { return nil }
    let next = at + Size.directoryRow + nameBytes + extraBytes + commentBytes
    var wide = WideFields(extra)
    guard next <= end, let bytes = wide.resolve(bytes), let packedBytes = wide.resolve(packedBytes),
      let offset = wide.resolve(offset), offset <= directoryStart - base, packedBytes <= file.count
    else { return nil }
    let member = Member(
      name: name, flags: flags, method: method, checksum: checksum, packedBytes: packedBytes, bytes: bytes,
      offset: base + offset)
    return (member, next)
  }
}

/// The zip64 extra field: what does not fit into 32 bits, in the order of the plain fields that are all ones.
private struct WideFields {
  private var fields: Binary?
  private var at = 0

  init(_ extra: UnsafeRawBufferPointer) {
    let extra = Binary(extra)
    var at = 0
    while let id = extra.u16(at), let size = extra.u16(at + 2) {
      if id == 1 {
        fields = extra.piece(at + 4, size).map { Binary($0) }
        return
      }
      at += 4 + size
    }
  }

  mutating func resolve(_ plain: Int) -> Int? {
    guard plain == 0xffff_ffff, let fields else { return plain }
    guard let wide = fields.word(at, bytes: 8) else { return nil }
    at += 8
    return Int(exactly: wide)
  }
}

/// Tells whether members lie over each other.
private struct MemberRanges {
  private var ranges: [(start: Int, end: Int)] = []

  mutating func add(_ start: Int, _ end: Int) { ranges.append((start, end)) }

  /// They nearly always come in the order of the directory, and are not sorted then.
  var overlap: Bool { Self.overlaps(ranges) && Self.overlaps(ranges.sorted { $0.start < $1.start }) }

  private static func overlaps(_ ranges: [(start: Int, end: Int)]) -> Bool {
    ranges.indices.dropFirst().contains { ranges[$0].start < ranges[$0 - 1].end }
  }
}
