/// A bundle, which clients make of folders and single files. The bytes `TWOSVB1\n`, then for each file:
///
///     4 bytes   length of the name, big-endian, at most 4,096
///     …         the name, UTF-8; for messages only
///     8 bytes   length of the record, big-endian
///     …         the record, JSON as it was in the file
///
/// There is no end mark: the file ends where an entry ends, and anything else is a truncated bundle. A record beyond
/// the limit is stepped over and named.
final class BundleArchive: RecordArchive {
  static let magic: [UInt8] = Array("TWOSVB1\n".utf8)

  private let file: ArchiveFile
  private var position = UInt64(magic.count)
  private var entries = 0

  /// `file` begins with the magic bytes.
  init(_ file: ArchiveFile) { self.file = file }

  func next() throws(AdvisoryError) -> ArchiveEntry? {
    guard position < file.size else { return nil }
    entries += 1
    guard entries <= ArchiveLimits.entries else {
      throw .tooLarge("it holds more than \(ArchiveLimits.entries) entries")
    }
    let nameLength = try take(4, "the length of a name").big(0, 4)
    guard nameLength <= ArchiveLimits.name else {
      throw .damaged("the name of entry \(entries) has \(nameLength) bytes")
    }
    let name = String(decoding: try take(Int(nameLength), "the name of entry \(entries)"), as: UTF8.self)
    let length = try take(8, "the length of \(name)").big(0, 8)
    guard length <= file.size - position else { throw .truncated("the end of \(name) is missing") }
    guard length <= ArchiveLimits.record else {
      position += length
      return ArchiveEntry(name: name, contents: .failure(.tooLong(length)))
    }
    return ArchiveEntry(name: name, contents: .success(try take(Int(length), "the end of \(name)")))
  }

  private func take(_ count: Int, _ what: String) throws(AdvisoryError) -> [UInt8] {
    let bytes = try file.read(at: position, count: count, what: what)
    position += UInt64(count)
    return bytes
  }
}

extension EntryFault {
  static func tooLong(_ bytes: UInt64) -> EntryFault {
    EntryFault("has \(bytes) bytes, more than the \(ArchiveLimits.record) of a record")
  }
}
