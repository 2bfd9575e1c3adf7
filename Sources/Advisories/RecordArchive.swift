/// Bounds on an uploaded archive.
package enum ArchiveLimits {
  package static let entries = 2_000_000
  /// Bytes of one record.
  package static let record = 16 << 20
  /// Bytes of an entry's name.
  package static let name = 4_096
  /// An archive may unpack to this many times its size, and `expansionFloor` more. Real ones unpack to 4 to 15 times.
  package static let expansion: UInt64 = 100
  package static let expansionFloor: UInt64 = 64 << 20
}

/// One file of an archive.
struct ArchiveEntry {
  /// For messages only; never a path.
  let name: String
  let contents: Result<[UInt8], EntryFault>
}

/// Why one entry could not be read, in words that follow its name. The others are not touched by it.
struct EntryFault: Error, Equatable {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

/// The entries of an uploaded archive, one after the other.
protocol RecordArchive: AnyObject {
  /// Nil after the last one.
  func next() throws(AdvisoryError) -> ArchiveEntry?
}

enum RecordArchives {
  /// Opens an archive by its first bytes: a zip archive, or a bundle.
  static func open(_ path: String) throws(AdvisoryError) -> any RecordArchive {
    let file = try ArchiveFile(path)
    let head = try file.prefix(BundleArchive.magic.count)
    if head == BundleArchive.magic { return BundleArchive(file) }
    // A local header, or the end record of an archive without entries.
    if head.starts(with: [0x50, 0x4B, 3, 4]) || head.starts(with: [0x50, 0x4B, 5, 6]) { return try ZipArchive(file) }
    throw AdvisoryError(
      .archiveUnknown, "this is neither a zip archive nor a bundle of OSV records",
      hint: "import an all.zip of OSV.dev, a folder of OSV records, or single records in .json files")
  }
}
