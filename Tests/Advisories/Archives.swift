import Posix
import TestSupport

@testable import Advisories

/// The archives beside the tests, and archives made byte by byte to be wrong in one place.
enum Archives {
  static let names = ["small.zip", "stored.zip", "wide.zip", "small.bundle"]

  static func bytes(_ name: String) throws -> [UInt8] {
    try File.read(Corpus.checkout + "/Tests/Advisories/Fixtures/" + name, limit: 1 << 20)
  }

  static func record(_ id: String, modified: String = "2024-01-01T00:00:00Z", package: String = "tar") -> [UInt8] {
    Array(
      """
      {"id": "\(id)", "modified": "\(modified)", "affected": [{"package": {"ecosystem": "Debian:12", "name": "\(package)"},
       "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}]}]}
      """.utf8)
  }

  static func bundle(_ entries: [(String, [UInt8])]) -> [UInt8] {
    entries.reduce(into: BundleArchive.magic) { bytes, entry in
      bytes += big(UInt64(entry.0.utf8.count), 4) + Array(entry.0.utf8) + big(UInt64(entry.1.count), 8) + entry.1
    }
  }

  /// A stored entry of a zip archive, as the directory describes it.
  struct ZipEntry {
    var name: String
    var data: [UInt8]
    var method: UInt64 = 0
    var flags: UInt64 = 0
    var checksum: UInt64?
    var size: UInt64?
    /// Where the directory says it is; nil for where it is.
    var offset: UInt64?
  }

  static func zip(_ entries: [ZipEntry], claimedCount: Int? = nil) -> [UInt8] {
    var body: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let name = Array(entry.name.utf8)
      let checksum = entry.checksum ?? crc32(entry.data)
      let size = entry.size ?? UInt64(entry.data.count)
      let common =
        little(20, 2) + little(entry.flags, 2) + little(entry.method, 2) + little(0, 4) + little(checksum, 4)
        + little(UInt64(entry.data.count), 4) + little(size, 4) + little(UInt64(name.count), 2) + little(0, 2)
      directory +=
        little(0x0201_4B50, 4) + little(20, 2) + common + little(0, 10)
        + little(entry.offset ?? UInt64(body.count), 4) + name
      body += little(0x0403_4B50, 4) + common + name + entry.data
    }
    let count = UInt64(claimedCount ?? entries.count)
    return body + directory + little(0x0605_4B50, 4) + little(0, 4) + little(count, 2) + little(count, 2)
      + little(UInt64(directory.count), 4) + little(UInt64(body.count), 4) + little(0, 2)
  }

  /// All entries, or the error that ends the archive.
  static func read(_ path: String) throws -> [ArchiveEntry] {
    let archive = try RecordArchives.open(path)
    var entries: [ArchiveEntry] = []
    while let entry = try archive.next() { entries.append(entry) }
    return entries
  }

  private static func little(_ number: UInt64, _ width: Int) -> [UInt8] {
    (0..<width).map { $0 < 8 ? UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) : 0 }
  }

  private static func big(_ number: UInt64, _ width: Int) -> [UInt8] { little(number, width).reversed() }

  private static func crc32(_ bytes: [UInt8]) -> UInt64 {
    var value: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xEDB8_8320 }
    }
    return UInt64(~value)
  }
}
