internal import CIsal
import Model

/// The entries of a zip archive, stored or deflated, each read whole into memory within its bound. Nothing is written
/// to disk and names mean nothing, so that no name can do harm.
final class ZipArchive: RecordArchive {
  private static let localSignature: UInt64 = 0x0403_4B50
  private static let localSize = 30
  private static let isEncrypted: UInt16 = 1
  /// Deflate may store what it cannot compress, at a few bytes each 64 KiB.
  private static let compressedMaximum = UInt64(ArchiveLimits.record + (1 << 20))

  private let file: ArchiveFile
  private let directory: ZipDirectory
  private let inflater = Inflater()
  private var index = 0
  /// The end of the entry before.
  private var end: UInt64 = 0

  init(_ file: ArchiveFile) throws(AdvisoryError) {
    self.file = file
    directory = try ZipDirectory(file)
  }

  func next() throws(AdvisoryError) -> ArchiveEntry? {
    while index < directory.entries.count {
      let entry = directory.entries[index]
      index += 1
      guard entry.offset >= end else { throw .damaged("two of its entries overlap") }
      let header = try file.read(at: entry.offset, count: Self.localSize, what: "the header of an entry")
      guard header.little(0, 4) == Self.localSignature else { throw .damaged("an entry's header is none") }
      let nameLength = Int(header.little(26, 2))
      let bytes = try file.read(at: entry.offset + UInt64(Self.localSize), count: nameLength, what: "an entry's name")
      let name = String(decoding: bytes.prefix(ArchiveLimits.name), as: UTF8.self)
      let start = entry.offset + UInt64(Self.localSize + nameLength) + header.little(28, 2)
      guard start <= directory.start, entry.compressedSize <= directory.start - start else {
        throw .damaged("the entry \(name.excerpt()) reaches into the directory")
      }
      end = start + entry.compressedSize
      if name.hasSuffix("/") { continue }
      return ArchiveEntry(name: name, contents: try contents(of: entry, at: start))
    }
    return nil
  }

  private func contents(
    of entry: ZipDirectory.Entry, at start: UInt64
  ) throws(AdvisoryError) -> Result<[UInt8], EntryFault> {
    guard entry.flags & Self.isEncrypted == 0 else { return .failure(EntryFault("is encrypted")) }
    guard entry.size <= ArchiveLimits.record else { return .failure(.tooLong(entry.size)) }
    guard entry.compressedSize <= Self.compressedMaximum else { return .failure(.tooLong(entry.compressedSize)) }
    let size = Int(entry.size)
    let stored = try file.read(at: start, count: Int(entry.compressedSize), what: "the end of an entry")
    switch entry.method {
    case 0:
      guard stored.count == size else { return .failure(EntryFault("has another length than the directory says")) }
      guard Checksum.crc32(stored) == entry.checksum else { return .failure(.wrongChecksum) }
      return .success(stored)
    case 8:
      return Result { () throws(EntryFault) in
        try inflater.inflate(stored, size: size, checksum: entry.checksum)
      }
    default:
      return .failure(EntryFault("is compressed by method \(entry.method); only deflate is known"))
    }
  }
}

extension EntryFault {
  static let wrongChecksum = EntryFault("is damaged: its checksum is wrong")
}

/// Raw deflate by ISA-L, one entry at a time. Holds the library's state, some 100 KiB, for all of them.
private final class Inflater {
  private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)

  init() { isal_inflate_init(state) }

  deinit { state.deallocate() }

  /// The unpacked bytes, exactly `size` of them with that checksum.
  func inflate(_ packed: [UInt8], size: Int, checksum: UInt32) throws(EntryFault) -> [UInt8] {
    isal_inflate_reset(state)
    state.pointee.crc_flag = UInt32(ISAL_GZIP_NO_HDR)
    var status: Int32 = 0
    var isFinished = false
    // One byte more than announced, so that a longer entry shows.
    let unpacked = [UInt8](unsafeUninitializedCapacity: size + 1) { output, count in
      packed.withUnsafeBufferPointer { input in
        // ISA-L does not write through its input pointer; its type is mutable for C's sake only.
        state.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        state.pointee.avail_in = UInt32(input.count)
        state.pointee.next_out = output.baseAddress
        state.pointee.avail_out = UInt32(size + 1)
        status = isal_inflate(state)
        isFinished = state.pointee.block_state == ISAL_BLOCK_FINISH
      }
      count = size + 1 - Int(state.pointee.avail_out)
    }
    guard status == ISAL_DECOMP_OK else { throw EntryFault("is damaged: it cannot be unpacked") }
    guard isFinished, unpacked.count == size else {
      throw EntryFault("is damaged: it has another length than the directory says")
    }
    guard state.pointee.crc == checksum else { throw .wrongChecksum }
    return unpacked
  }
}

private enum Checksum {
  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 0 ? value >> 1 : 0xEDB8_8320 ^ (value >> 1) }
  }

  /// The checksum of zip and gzip.
  static func crc32(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(0xFFFF_FFFF) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
  }
}
