import Inventory
import StorageMessages
import Testing

@testable import Analysis

/// Databases of real packages in which single numbers are false: rows H86 to H89 of hostile.md.
@Suite("Hostile rpm databases")
struct RPMHostileTests {
  /// `value` in place of the four bytes at `offset`, in the byte order of the file.
  static func patch(_ bytes: inout [UInt8], _ offset: Int, _ value: UInt32, isBigEndian: Bool = false) {
    let value = isBigEndian ? value.bigEndian : value.littleEndian
    withUnsafeBytes(of: value) { bytes.replaceSubrange(offset..<(offset + 4), with: $0) }
  }

  static func messages(_ analysis: LayerAnalysis) -> String { analysis.faults.map(\.message).joined(separator: "; ") }

  // MARK: - SQLite

  @Test("a schema with triggers, views and odd indexes is read for its table alone; a view is no table")
  func schema() throws {
    let triggers = analyse(try fixture("rpm-formats/triggers.tar.zst"))
    #expect(codes(triggers).isEmpty)
    #expect(rows(triggers) == (try RPMFormat.expected()))
    let view = analyse(try fixture("rpm-formats/view.tar.zst"))
    #expect(Self.messages(view) == "the rpm database has no table of packages")
    #expect(rows(view).isEmpty)
  }

  // MARK: - ndb

  /// Where the slots in use are; the blobs of four packages are behind them.
  static func usedSlots(_ bytes: [UInt8]) -> [Int] {
    stride(from: 32, to: 4_096, by: 16).filter { bytes[($0 + 8)..<($0 + 12)].contains { $0 != 0 } }
  }

  static let slotDamages: [(what: String, offset: Int, value: UInt32, told: String)] = [
    ("no block", 12, 0, "points at what is no blob"), ("a huge number of blocks", 12, .max, "points outside"),
    ("another number of blocks", 12, 3, "another length"), ("blocks outside", 8, .max, "points outside"),
    ("blocks of the header", 8, 1, "no blob"), ("another package", 4, 77, "no blob of its package"),
    ("no magic", 0, 0, "is none"),
  ]

  @Test("a false slot hides no other", arguments: slotDamages.indices)
  func slots(index: Int) throws {
    let damage = Self.slotDamages[index]
    let whole = try RPMFormat.ndb.bytes()
    let slots = Self.usedSlots(whole)
    #expect(slots.count == 4)
    for slot in slots {
      var bytes = whole
      Self.patch(&bytes, slot + damage.offset, damage.value)
      let analysis = RPMFormat.ndb.analyse(bytes)
      #expect(codes(analysis) == ["DATABASE_MALFORMED"], "\(damage.what)")
      #expect(Self.messages(analysis).contains(damage.told), "\(damage.what): \(Self.messages(analysis))")
      #expect(rows(analysis).count == 3, "\(damage.what)")
    }
  }

  @Test("slots that point at one blob cost no more than the file, and are told")
  func overlappingSlots() throws {
    var bytes = try RPMFormat.ndb.bytes()
    let used = Self.usedSlots(bytes)
    let largest = try #require(used.max { bytes[$0 + 13] < bytes[$1 + 13] })
    let slot = Array(bytes[largest..<(largest + 16)])
    for at in stride(from: 32, to: 4_096, by: 16) { bytes.replaceSubrange(at..<(at + 16), with: slot) }
    let analysis = RPMFormat.ndb.analyse(bytes)
    #expect(codes(analysis) == ["DATABASE_MALFORMED"])
    #expect(Self.messages(analysis).contains("lies over others"))
    #expect(Self.messages(analysis).hasPrefix("253 slots"))
    #expect(RPMLogTests.names(analysis) == ["many"])
  }

  @Test("a wrong checksum is told, and its package listed as rpm lists it")
  func checksum() throws {
    let whole = try RPMFormat.ndb.bytes()
    let slot = try #require(Self.usedSlots(whole).first)
    let start = Int(whole[slot + 8]) << 4 | Int(whole[slot + 9]) << 12
    var bytes = whole
    // The generation, which no reader needs.
    bytes[start + 8] ^= 1
    let analysis = RPMFormat.ndb.analyse(bytes)
    #expect(Self.messages(analysis) == "1 packages of the rpm database have a wrong checksum")
    #expect(rows(analysis) == (try RPMFormat.expected()))
  }

  @Test("what the header of an ndb claims is not believed")
  func ndbHeader() throws {
    let whole = try RPMFormat.ndb.bytes()
    for pages: UInt32 in [2, 1_000, .max] {
      var bytes = whole
      Self.patch(&bytes, 12, pages)
      let analysis = RPMFormat.ndb.analyse(bytes)
      #expect(codes(analysis).allSatisfy { $0 == "DATABASE_MALFORMED" } && !analysis.faults.isEmpty)
      #expect(rows(analysis) == (try RPMFormat.expected()))
    }
    var bytes = whole
    Self.patch(&bytes, 12, 0)
    #expect(codes(RPMFormat.ndb.analyse(bytes)) == ["DATABASE_MALFORMED"])
    bytes = whole
    Self.patch(&bytes, 4, 1)
    #expect(codes(RPMFormat.ndb.analyse(bytes)) == ["DATABASE_NOT_SUPPORTED"])
  }

  // MARK: - Berkeley DB

  static let pageBytes = 4_096

  static func pages(_ bytes: [UInt8], of kind: UInt8) -> [Int] {
    (0..<(bytes.count / pageBytes)).filter { bytes[$0 * pageBytes + 25] == kind }
  }

  @Test("chains of pages in a ring, or into each other, end and are told", arguments: [RPMFormat.bdbLittle, .bdbBig])
  func rings(format: RPMFormat) throws {
    let whole = try format.bytes()
    let isBig = format == .bdbBig
    let (buckets, overflow) = (Self.pages(whole, of: 13), Self.pages(whole, of: 7))
    #expect(!buckets.isEmpty && overflow.count > 4)
    for page in buckets {
      // To itself, to another bucket's page, into an overflow page, outside.
      for target in [page, buckets.first { $0 != page } ?? page, overflow[0], 99_999] {
        var bytes = whole
        Self.patch(&bytes, page * Self.pageBytes + 16, UInt32(target), isBigEndian: isBig)
        let analysis = format.analyse(bytes)
        #expect(codes(analysis) == ["DATABASE_MALFORMED"], "\(page) to \(target)")
        #expect(rows(analysis) == (try RPMFormat.expected()), "\(page) to \(target)")
      }
    }
    // The next page of the longest header's last but one piece.
    for page in overflow {
      var bytes = whole
      let next = page * Self.pageBytes + 16
      guard bytes[next..<(next + 4)].contains(where: { $0 != 0 }) else { continue }
      Self.patch(&bytes, next, UInt32(page), isBigEndian: isBig)
      let analysis = format.analyse(bytes)
      #expect(codes(analysis) == ["DATABASE_MALFORMED"])
      #expect(Self.messages(analysis).contains("belongs to two chains, or a chain in a ring"))
      #expect(rows(analysis).count == 3)
    }
  }

  @Test("what a Berkeley DB's metadata claims is not believed", arguments: [RPMFormat.bdbLittle, .bdbBig])
  func metadata(format: RPMFormat) throws {
    let whole = try format.bytes()
    func told(_ offset: Int, _ value: UInt32) -> (codes: [String], packages: Int) {
      var bytes = whole
      Self.patch(&bytes, offset, value, isBigEndian: format == .bdbBig)
      let analysis = format.analyse(bytes)
      return (codes(analysis), rows(analysis).count)
    }
    for pageBytes: UInt32 in [0, 1, 256, 4_095, 4_097, 131_072, .max] {
      #expect(told(20, pageBytes) == (["DATABASE_MALFORMED"], 0), "\(pageBytes)")
    }
    // The last page, the last bucket.
    #expect(told(32, .max) == (["DATABASE_MALFORMED"], 4))
    #expect(told(72, .max).codes.first == "DATABASE_MALFORMED")
    #expect(told(72, .max).packages == 4)
    for spare in 0..<32 {
      let found = told(96 + 4 * spare, .max)
      // There are two buckets, one of them of the first doubling.
      #expect(found == (spare < 2 ? (["DATABASE_MALFORMED"], 2) : ([], 4)), "\(spare)")
    }
  }

  @Test("pages that no chain comes to are told once, as is a bucket of which only the start is zero")
  func unreached() throws {
    let format = RPMFormat.bdbLittle
    let whole = try format.bytes()
    var fewer = whole
    Self.patch(&fewer, 72, 0)
    let analysis = format.analyse(fewer)
    #expect(codes(analysis) == ["DATABASE_MALFORMED"])
    #expect(Self.messages(analysis).contains("pages of the rpm database belong to no chain"))
    #expect(rows(analysis).count < 4)
    let used = Self.pages(whole, of: 13).filter { whole[$0 * Self.pageBytes + 20] > 0 }
    #expect(!used.isEmpty)
    for page in used {
      var bytes = whole
      for index in 0..<26 { bytes[page * Self.pageBytes + index] = 0 }
      let analysis = format.analyse(bytes)
      #expect(codes(analysis) == ["DATABASE_MALFORMED"], "\(page)")
      #expect(Self.messages(analysis).contains("at page \(page), which is not what its place demands"))
    }
  }

  @Test("the clock is looked at for each page")
  func clock() throws {
    let bytes = try RPMFormat.bdbLittle.bytes()
    var looks = 0
    var collector = PackageCollector(limits: .standard)
    _ = try bytes.withBytes { (file) throws(LayerError) in
      try RPMBerkeley.read(file, into: &collector) { () throws(LayerError) in looks += 1 }
    }
    #expect(looks >= Self.pages(bytes, of: 13).count + Self.pages(bytes, of: 7).count)
  }

  @Test("other kinds of Berkeley DB are refused by name")
  func otherKinds() throws {
    let whole = try RPMFormat.bdbLittle.bytes()
    let cases: [(offset: Int, value: UInt32, name: String)] = [
      (12, 0x053162, "B-tree"), (12, 0x042253, "queue"), (12, 0x074582, "heap"), (16, 7, "version 7"),
      (16, 11, "version 11"), (24, 1 | 8 << 8, "encrypted"), (24, 8 << 8 | 1 << 16, "checksums"),
    ]
    for (offset, value, name) in cases {
      var bytes = whole
      Self.patch(&bytes, offset, value)
      let analysis = RPMFormat.bdbLittle.analyse(bytes)
      #expect(codes(analysis) == ["DATABASE_NOT_SUPPORTED"], "\(name)")
      #expect(Self.messages(analysis).contains(name))
      #expect(rows(analysis).isEmpty)
    }
  }

  @Test("a page's false index or item hides nothing of other pages", arguments: [RPMFormat.bdbLittle, .bdbBig])
  func items(format: RPMFormat) throws {
    let whole = try format.bytes()
    for page in Self.pages(whole, of: 13) {
      for (offset, values) in [(20, [0xff, 0xff]), (26, [0, 0]), (28, [0xff, 0xff]), (25, [7, 7])] as [(Int, [UInt8])] {
        var bytes = whole
        bytes.replaceSubrange((page * Self.pageBytes + offset)..<(page * Self.pageBytes + offset + 2), with: values)
        let analysis = format.analyse(bytes)
        #expect(codes(analysis) == ["DATABASE_MALFORMED"], "\(page) \(offset)")
        #expect(RPMLogTests.names(analysis) == (page == 1 ? ["many", "plain"] : ["epoch", "modular"]))
      }
    }
  }

  @Test("a header that claims more than its pages, or than a header may have, is not put together")
  func headerLength() throws {
    var limits = AnalysisLimits.standard
    limits.rpmHeaderBytes = 8_000
    let analysis = analyse(try RPMFormat.bdbLittle.layer(), limits: limits)
    #expect(Self.messages(analysis).contains("has a header over the bound"))
    #expect(rows(analysis).count == 3)
  }
}
