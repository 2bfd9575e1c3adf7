import TestSupport
import Testing

@testable import Advisories

@Suite struct ArchiveTests {
  private let scratch: TemporaryDirectory
  init() throws { scratch = try TemporaryDirectory() }

  private func read(_ bytes: [UInt8]) throws -> [ArchiveEntry] { try Archives.read(scratch.write("archive", bytes)) }

  private func reason(_ entry: ArchiveEntry) -> String? {
    guard case .failure(let fault) = entry.contents else { return nil }
    return fault.reason
  }

  private func expectError(_ code: AdvisoryError.Code, _ bytes: [UInt8], at place: SourceLocation = #_sourceLocation) {
    let error = #expect(throws: AdvisoryError.self, sourceLocation: place) { try read(bytes) }
    #expect(error?.code == code, sourceLocation: place)
    #expect(error?.hint.isEmpty == false, sourceLocation: place)
  }

  @Test(arguments: ["small.zip", "stored.zip", "wide.zip"])
  func zipHoldsWhatTheBundleHolds(_ name: String) throws {
    let expected = try read(Archives.bytes("small.bundle"))
    #expect(expected.count == 5)
    let entries = try read(Archives.bytes(name)).filter { $0.name.hasSuffix(".json") }
    #expect(entries.map(\.name) == expected.map(\.name))
    for (entry, other) in zip(entries, expected) { #expect(try entry.contents.get() == other.contents.get()) }
  }

  @Test(arguments: ["small.zip", "wide.zip", "small.bundle"])
  func cutArchivesAreRefused(_ name: String) throws {
    let bytes = try Archives.bytes(name)
    let whole = try read(bytes).count
    for count in stride(from: 0, to: bytes.count, by: 7) {
      do {
        // A bundle has no end mark: cut between two entries it is a shorter bundle.
        #expect(try read(Array(bytes.prefix(count))).count < whole && name == "small.bundle", "\(count)")
      } catch let error as AdvisoryError {
        #expect([.archiveTruncated, .archiveUnknown, .archiveDamaged].contains(error.code), "\(count)")
      }
    }
  }

  @Test(arguments: Archives.names)
  func changedBytesNeverReadAsSomethingElse(_ name: String) throws {
    let bytes = try Archives.bytes(name)
    let originals = Set(try read(bytes).map { try $0.contents.get() })
    for index in bytes.indices.filter({ $0 % 3 == 0 }) {
      var changed = bytes
      changed[index] ^= 0x41
      do {
        for entry in try read(changed) {
          // Zip has checksums. A bundle has none: what it says is what the client sent.
          guard name != "small.bundle", case .success(let contents) = entry.contents else { continue }
          // A folder whose name lost its slash is an empty file.
          #expect(originals.contains(contents) || contents.isEmpty, "byte \(index)")
        }
      } catch is AdvisoryError {
        continue
      }
    }
  }

  @Test func otherFilesAreRefused() {
    expectError(.archiveUnknown, [])
    expectError(.archiveUnknown, Array("{\"id\": \"X\"}".utf8))
    expectError(.archiveUnknown, [0x1F, 0x8B, 8, 0])
    expectError(.archiveUnknown, Array("TWOSVB2\n".utf8))
    expectError(.archiveTruncated, Array("PK\u{3}\u{4}".utf8) + [UInt8](repeating: 0, count: 100))
  }

  @Test func overlappingEntriesAreRefused() {
    let data = Archives.record("A")
    let first = Archives.ZipEntry(name: "a.json", data: data)
    expectError(.archiveDamaged, Archives.zip([first, .init(name: "b.json", data: data, offset: 0)]))
    expectError(.archiveDamaged, Archives.zip([first, .init(name: "b.json", data: data, offset: 10)]))
  }

  @Test func bombsAreRefusedFromTheDirectory() {
    let bomb = (0..<60).map { Archives.ZipEntry(name: "\($0).json", data: [3, 0], method: 8, size: 16 << 20) }
    expectError(.archiveTooLarge, Archives.zip(bomb))
  }

  @Test func entriesAreCountedByWhatIsThere() throws {
    let one = Archives.ZipEntry(name: "a.json", data: Archives.record("A"))
    #expect(try read(Archives.zip([one], claimedCount: 0)).count == 1)
    #expect(try read(Archives.zip([one], claimedCount: 0xFFFE)).count == 1)
    #expect(try read(Archives.zip([])).isEmpty)
  }

  @Test func badEntriesAreNamedAndTheOthersRead() throws {
    let data = Archives.record("A")
    let entries = try read(
      Archives.zip([
        .init(name: "long.json", data: data, method: 8, size: 200 << 20), .init(name: "good.json", data: data),
        .init(name: "checksum.json", data: data, checksum: 1), .init(name: "secret.json", data: data, flags: 1),
        .init(name: "lzma.json", data: data, method: 14), .init(name: "noise.json", data: data, method: 8),
        .init(name: "length.json", data: data, size: 3), .init(name: "empty.json", data: [], method: 8),
        // A deflated "a", said to be empty and to be longer.
        .init(name: "more.json", data: [0x4B, 4, 0], method: 8, checksum: 0xE8B7_BE43, size: 0),
        .init(name: "less.json", data: [0x4B, 4, 0], method: 8, checksum: 0xE8B7_BE43, size: 2),
        .init(name: "a.json", data: [0x4B, 4, 0], method: 8, checksum: 0xE8B7_BE43, size: 1),
      ]))
    #expect(entries.filter { reason($0) == nil }.map(\.name) == ["good.json", "a.json"])
    #expect(entries.count == 11)
    #expect(entries.first.flatMap(reason)?.contains("209715200 bytes") == true)
    #expect(entries.compactMap(reason).allSatisfy { !$0.isEmpty })
  }

  @Test func longRecordsOfABundleAreSteppedOver() throws {
    let entries = try read(
      Archives.bundle([("long.json", [UInt8](repeating: 32, count: ArchiveLimits.record + 1)), ("good.json", [1])]))
    #expect(entries.count == 2)
    #expect(entries.first.flatMap(reason)?.contains("more than") == true)
    #expect(try entries.last?.contents.get() == [1])
  }

  @Test func lengthsBeyondABundleAreRefused() {
    let head = BundleArchive.magic
    expectError(.archiveDamaged, head + [0xFF, 0xFF, 0xFF, 0xFF])
    expectError(.archiveTruncated, head + [0, 0, 0, 1] + Array("a".utf8) + [UInt8](repeating: 0xFF, count: 8))
    expectError(.archiveTruncated, head + [0, 0, 0])
  }
}
