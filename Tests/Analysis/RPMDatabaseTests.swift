import StorageMessages
import Testing

@testable import Analysis

@Suite("rpm databases")
struct RPMDatabaseTests {
  static let path = "var/lib/rpm/rpmdb.sqlite"

  /// The database in the fixture.
  static func database() throws -> [UInt8] { try file(path, in: fixture("rpm.tar.zst")) }

  static func analyseDatabase(_ bytes: [UInt8]) -> LayerAnalysis {
    analyse(TarBuilder.archive(TarBuilder.file(path, bytes)))
  }

  /// A header blob of the given tags; `data` is what their offsets point into.
  static func header(_ entries: [(tag: UInt32, type: UInt32, offset: UInt32, count: UInt32)], _ data: [UInt8])
    -> [UInt8]
  {
    func integer(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian, Array.init) }
    return integer(UInt32(entries.count)) + integer(UInt32(data.count))
      + entries.flatMap { integer($0.tag) + integer($0.type) + integer($0.offset) + integer($0.count) } + data
  }

  @Test("a database in write-ahead mode without its log is read")
  func writeAheadMode() throws {
    var bytes = try Self.database()
    bytes[18] = 2
    bytes[19] = 2
    let analysis = Self.analyseDatabase(bytes)
    #expect(analysis.faults.isEmpty)
    #expect(rows(analysis) == tableRows(try fixture("rpm.packages.tsv")))
  }

  @Test("what is no SQLite file, or a cut one, is a fault")
  func notADatabase() throws {
    #expect(codes(Self.analyseDatabase(Array("x".utf8))) == ["DATABASE_MALFORMED"])
    let bytes = try Self.database()
    for length in [100, 4_096, bytes.count / 2] {
      #expect(codes(Self.analyseDatabase(Array(bytes[..<length]))).contains("DATABASE_MALFORMED"), "\(length)")
    }
  }

  @Test("any damaged page is a fault or harmless, never a crash")
  func damage() throws {
    let bytes = try Self.database()
    let expected = tableRows(try fixture("rpm.packages.tsv"))
    for page in stride(from: 0, to: bytes.count, by: 4_096) {
      for at in [0, 3, 5, 8, 40] where page > 0 || at > 16 {
        var damaged = bytes
        for index in (page + at)..<(page + at + 4) { damaged[index] = 0xff }
        let analysis = Self.analyseDatabase(damaged)
        #expect(!analysis.faults.isEmpty || rows(analysis).count <= expected.count)
      }
    }
  }

  @Test("header blobs are bounded before they are used")
  func headers() throws {
    let name: (UInt32, UInt32, UInt32, UInt32) = (1000, 6, 0, 1)
    let good = Self.header([name, (1001, 6, 2, 1), (1002, 6, 4, 1)], Array("n\u{0}1\u{0}2\u{0}".utf8))
    #expect(try RPMHeaderProbe.row(good) == "rpm\tn\t1-2\t(none)\t\t")
    let key = Self.header(
      [name, (1001, 6, 2, 1), (1002, 6, 4, 1), (1003, 4, 6, 1), (1044, 6, 10, 1)],
      Array("n\u{0}1\u{0}2\u{0}".utf8) + [0, 0, 0, 7] + Array("s-p-1-2.src.rpm\u{0}".utf8))
    #expect(try RPMHeaderProbe.row(key) == "rpm\tn\t7:1-2\t(none)\ts-p\t1-2")
    var claims = good
    claims.replaceSubrange(0..<4, with: [0x7f, 0xff, 0xff, 0xff])
    let wrong: [[UInt8]] = [
      [], [0, 0, 0], claims, Array(good.dropLast()), Self.header([(1000, 6, 99, 1)], [0]),
      Self.header([name], Array("endless".utf8)), Self.header([(1003, 4, 6, 1)], [UInt8](repeating: 0, count: 8)),
      Self.header([(1000, 4, 0, 1)], [0]), Self.header([(1000, 6, 0, .max)], [0]),
    ]
    let marks = Self.header(
      [name, (1001, 6, 2, 1), (1002, 6, 4, 1), (1044, 6, 6, 1)],
      Array("n\u{0}1\u{0}2\u{0}s-\u{301}1-\u{301}2.src.rpm\u{0}".utf8))
    #expect(try RPMHeaderProbe.row(marks) == "rpm\tn\t1-2\t(none)\ts\t\u{301}1-\u{301}2")
    for blob in wrong { #expect(throws: RPMHeader.Malformed.self) { try RPMHeaderProbe.row(blob) } }
  }
}

extension RPMDatabaseTests {
  @Test("a text is looked through for its end no further than it may be long")
  func longTexts() throws {
    func blob(_ bytes: Int, ends: Bool = true) -> [UInt8] {
      let text = [UInt8](repeating: 120, count: bytes) + (ends ? [0] : [])
      return Self.header([(1000, 6, 0, 1), (1001, 6, 0, 1), (1002, 6, 0, 1)], text)
    }
    #expect(throws: Never.self) { try RPMHeaderProbe.row(blob(1_024)) }
    #expect(throws: RPMHeader.Malformed(reason: "has a text of tag 1000 over 1024 bytes")) {
      try RPMHeaderProbe.row(blob(1_025))
    }
    #expect(throws: RPMHeader.Malformed(reason: "has a text of tag 1000 over 1024 bytes")) {
      try RPMHeaderProbe.row(blob(5_000, ends: false))
    }
    #expect(throws: RPMHeader.Malformed(reason: "has a text of tag 1000 that begins or ends outside its data")) {
      try RPMHeaderProbe.row(blob(1_024, ends: false))
    }
  }
}

private enum RPMHeaderProbe {
  static func row(_ blob: [UInt8]) throws -> String {
    try blob.withUnsafeBytes { try RPMHeader($0, textBytes: 1_024).package.row }
  }
}
