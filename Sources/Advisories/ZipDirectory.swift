/// The central directory of a zip archive: where its entries lie. Plain zip and zip64; in one part, not encrypted.
///
/// Sizes and counts are what is there, not what the end record says; an archive that would unpack to far more than
/// advisories do is refused from the directory alone, before anything is unpacked.
struct ZipDirectory {
  struct Entry {
    let offset: UInt64
    let compressedSize: UInt64
    let size: UInt64
    let checksum: UInt32
    let method: UInt16
    let flags: UInt16
  }

  /// By offset, so that reading goes forward and an overlap shows at the next entry.
  let entries: [Entry]
  /// Where the directory begins, and the entries end.
  let start: UInt64

  private static let endSignature: UInt64 = 0x0605_4B50
  private static let endSize = 22
  private static let zip64LocatorSignature: UInt64 = 0x0706_4B50
  private static let zip64EndSignature: UInt64 = 0x0606_4B50
  private static let entrySignature: UInt64 = 0x0201_4B50
  private static let entrySize = 46
  private static let commentMaximum = 0xFFFF
  private static let chunk = 1 << 20

  init(_ file: ArchiveFile) throws(AdvisoryError) {
    let (start, size) = try Self.locate(file)
    self.start = start
    var reader = Reader(file: file, position: start, end: start + size)
    var entries: [Entry] = []
    var unpacked: UInt64 = 0
    while let entry = try reader.next() {
      guard entries.count < ArchiveLimits.entries else {
        throw .tooLarge("it holds more than \(ArchiveLimits.entries) entries")
      }
      // Longer entries are never unpacked.
      if entry.size <= ArchiveLimits.record { unpacked += entry.size }
      entries.append(entry)
    }
    guard unpacked <= file.size * ArchiveLimits.expansion + ArchiveLimits.expansionFloor else {
      throw .tooLarge("its \(file.size) bytes would unpack to \(unpacked)")
    }
    entries.sort { $0.offset < $1.offset }
    self.entries = entries
  }

  /// The place and size of the directory.
  private static func locate(_ file: ArchiveFile) throws(AdvisoryError) -> (start: UInt64, size: UInt64) {
    let tailSize = min(file.size, UInt64(endSize + commentMaximum))
    let tailStart = file.size - tailSize
    let tail = try file.read(at: tailStart, count: Int(tailSize), what: "the end record")
    guard let end = (0...max(0, tail.count - endSize)).last(where: { isEnd(tail, $0) }) else {
      throw .truncated("the directory at its end is missing")
    }
    var start = tail.little(end + 16, 4)
    var size = tail.little(end + 12, 4)
    let endOffset = tailStart + UInt64(end)
    if start == 0xFFFF_FFFF || size == 0xFFFF_FFFF || tail.little(end + 10, 2) == 0xFFFF, endOffset >= 20 {
      let locator = try file.read(at: endOffset - 20, count: 20, what: "the zip64 locator")
      if locator.little(0, 4) == zip64LocatorSignature {
        let record = try file.read(at: locator.little(8, 8), count: 56, what: "the zip64 end record")
        guard record.little(0, 4) == zip64EndSignature else { throw .damaged("its zip64 end record is none") }
        (size, start) = (record.little(40, 8), record.little(48, 8))
      }
    }
    guard start <= endOffset, size <= endOffset - start else {
      throw .damaged("its directory lies outside of the archive")
    }
    return (start, size)
  }

  private static func isEnd(_ tail: [UInt8], _ offset: Int) -> Bool {
    tail.count - offset >= endSize && tail.little(offset, 4) == endSignature
      && Int(tail.little(offset + 20, 2)) <= tail.count - offset - endSize
  }

  /// Reads directory entries through a window of bounded size.
  private struct Reader {
    let file: ArchiveFile
    var position: UInt64
    let end: UInt64
    private var window: [UInt8] = []
    private var used = 0

    init(file: ArchiveFile, position: UInt64, end: UInt64) {
      self.file = file
      self.position = position
      self.end = end
    }

    mutating func next() throws(AdvisoryError) -> Entry? {
      guard position < end || used < window.count else { return nil }
      try fill(ZipDirectory.entrySize)
      let header = Array(window[used..<used + ZipDirectory.entrySize])
      guard header.little(0, 4) == ZipDirectory.entrySignature else { throw .damaged("its directory is malformed") }
      let nameLength = Int(header.little(28, 2))
      let extraLength = Int(header.little(30, 2))
      let length = ZipDirectory.entrySize + nameLength + extraLength + Int(header.little(32, 2))
      try fill(length)
      let extraStart = used + ZipDirectory.entrySize + nameLength
      let extra = Array(window[extraStart..<extraStart + extraLength])
      used += length
      var wide = Zip64Extra(extra)
      // In this order, each only where the plain field is all ones.
      let size = try wide.resolve(header.little(24, 4))
      let compressedSize = try wide.resolve(header.little(20, 4))
      let offset = try wide.resolve(header.little(42, 4))
      return Entry(
        offset: offset, compressedSize: compressedSize, size: size, checksum: UInt32(header.little(16, 4)),
        method: UInt16(header.little(10, 2)), flags: UInt16(header.little(8, 2)))
    }

    /// Makes `count` bytes available in the window.
    private mutating func fill(_ count: Int) throws(AdvisoryError) {
      if window.count - used >= count { return }
      window.removeFirst(used)
      used = 0
      let more = Int(min(UInt64(max(ZipDirectory.chunk, count)), end - position))
      window += try file.read(at: position, count: more, what: "the directory")
      position += UInt64(more)
      guard window.count >= count else { throw .damaged("its directory ends inside an entry") }
    }
  }

  /// The extra field that holds what does not fit into 32 bits.
  private struct Zip64Extra {
    private var fields: ArraySlice<UInt8> = []

    init(_ extra: [UInt8]) {
      var rest = extra[...]
      while rest.count >= 4 {
        let identifier = Array(rest.prefix(2)).little(0, 2)
        let length = Int(Array(rest.dropFirst(2).prefix(2)).little(0, 2))
        rest = rest.dropFirst(4)
        if identifier == 1 {
          fields = rest.prefix(length)
          return
        }
        rest = rest.dropFirst(length)
      }
    }

    mutating func resolve(_ plain: UInt64) throws(AdvisoryError) -> UInt64 {
      guard plain == 0xFFFF_FFFF else { return plain }
      guard fields.count >= 8 else { throw .damaged("a size in its directory is missing") }
      defer { fields = fields.dropFirst(8) }
      return Array(fields.prefix(8)).little(0, 8)
    }
  }
}
