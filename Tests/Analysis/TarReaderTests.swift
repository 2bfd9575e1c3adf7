import Analysis
import Inventory
import StorageMessages
import Testing

@Suite("Tar reader")
struct TarReaderTests {
  @Test("lists what GNU tar lists", arguments: ["v7", "ustar", "gnu", "pax", "pax01"])
  func formats(name: String) throws {
    let stream = try LayerStream(MemorySource(try fixture("format-\(name).tar.gz")))
    let reader = TarReader(stream)
    var names: [String] = []
    while try reader.next() { names.append(String(decoding: reader.pathBytes, as: UTF8.self)) }
    let expected = String(decoding: try fixture("format-\(name).txt"), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false).dropLast().map { $0 == "." ? "" : String($0) }
    #expect(names == expected)
  }

  @Test("pieces of any size give the same entries", arguments: [1, 3, 511, 513, 1_000])
  func pieces(pieceBytes: Int) {
    let archive = TarBuilder.archive(
      TarBuilder.directory("a"), TarBuilder.file("a/b", String(repeating: "x", count: 700)),
      TarBuilder.long("L", String(repeating: "l", count: 300)), TarBuilder.file("cut", "y"))
    let (entries, error) = list(archive, pieceBytes: pieceBytes)
    #expect(error == nil)
    #expect(entries == ["directory a 0", "file a/b 700", "file \(String(repeating: "l", count: 300)) 1"])
  }

  @Test("pax sizes come before header sizes")
  func paxSize() {
    let archive = TarBuilder.archive(
      TarBuilder.pax([("size", "1024")]), TarBuilder.header(Array("outer.bin".utf8)), TarBuilder.file("hidden", "hello")
    )
    #expect(list(archive).entries == ["file outer.bin 1024"])
    #expect(list(archive).error == nil)
  }

  @Test("a pax record concerns the entry, not the long-name header between")
  func paxBeforeLongName() {
    let archive = TarBuilder.archive(
      TarBuilder.pax([("size", "2048")]), TarBuilder.long("L", "longname.txt"),
      TarBuilder.file("a", String(repeating: "A", count: 16)), TarBuilder.file("b", String(repeating: "B", count: 16)))
    #expect(list(archive).entries == ["file longname.txt 2048"])
  }

  @Test("sizes that are no sizes end the reading")
  func sizes() {
    let huge = TarBuilder.header(Array("huge".utf8), size: .max)
    let negative = TarBuilder.reseal(TarBuilder.header(Array("n".utf8)), at: 124, Array("-0000000001\0".utf8))
    let negative256 = TarBuilder.reseal(
      TarBuilder.header(Array("n".utf8)), at: 124, [UInt8](repeating: 0xff, count: 12))
    for header in [huge, negative, negative256] {
      let (entries, error) = list(TarBuilder.archive(TarBuilder.file("first"), header))
      #expect(entries == ["file first 0"])
      #expect(error?.code == .tarMalformed)
    }
    for size in ["-1", "99999999999999999999", "x", " 1"] {
      let error = list(TarBuilder.archive(TarBuilder.pax([("size", size)]), TarBuilder.file("a"))).error
      #expect(error?.code == .tarMalformed)
    }
  }

  @Test("base-256 sizes are read")
  func base256() {
    let header = TarBuilder.reseal(
      TarBuilder.header(Array("a".utf8)), at: 124, [0x80] + [UInt8](repeating: 0, count: 10) + [5])
    #expect(list(TarBuilder.archive(header, TarBuilder.body(Array("hello".utf8)))).entries == ["file a 5"])
  }

  @Test("extension headers are bounded by what they claim")
  func extensions() {
    let long = TarBuilder.pax([("path", String(repeating: "a", count: 2_000_000))])
    #expect(list(TarBuilder.archive(long, TarBuilder.file("a"))).error?.code == .tarExtensionTooLarge)
    let claim = TarBuilder.header(Array("pax".utf8), size: 2 << 30, type: "x")
    #expect(list(TarBuilder.archive(claim)).error?.code == .tarExtensionTooLarge)
    for records in ["5 a=b\n", "99 a=b\n", "x", "6 a=bc", "4 ab\n", "0 a=b\n"] {
      let broken =
        TarBuilder.header(Array("pax".utf8), size: records.utf8.count, type: "x") + TarBuilder.body(Array(records.utf8))
      #expect(list(TarBuilder.archive(broken, TarBuilder.file("a"))).error?.code == .tarMalformed, "\(records)")
    }
  }

  @Test("a sparse map is passed over, whatever it claims")
  func sparse() {
    let claims = TarBuilder.pax([
      ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "real"),
      ("GNU.sparse.realsize", "1099511627776"),
    ])
    let archive = TarBuilder.archive(
      claims, TarBuilder.file("GNUSparseFile.0/real", "99999999\n0\n"), TarBuilder.file("b"))
    #expect(list(archive).entries == ["file real 11", "file b 0"])
    var old = TarBuilder.header(Array("old".utf8), size: 4, type: "S", gnu: true)
    old = TarBuilder.reseal(old, at: 482, [1])
    var map = [UInt8](repeating: 0, count: 512)
    let whole = TarBuilder.archive(old, map, TarBuilder.body(Array("data".utf8)), TarBuilder.file("b"))
    #expect(list(whole).entries == ["file old 4", "file b 0"])
    map[504] = 1
    let endless = old + (0..<3000).flatMap { _ in map }
    #expect(list(endless).error?.code == .tarExtensionTooLarge)
  }

  @Test("names are normalised inside the image, or dropped and counted")
  func names() throws {
    let (entries, error) = list(
      TarBuilder.archive(
        TarBuilder.file("../../etc/passwd"), TarBuilder.file("/etc/passwd"), TarBuilder.directory("./"),
        TarBuilder.file("a//b/./c"), TarBuilder.file("a/../b"), TarBuilder.file("a/../../b"), TarBuilder.file(""),
        TarBuilder.symlink(".", "/"), TarBuilder.directory("..")))
    #expect(error == nil)
    #expect(entries == ["file etc/passwd 0", "directory  0", "file a/b/c 0", "file b 0"])
    let long = TarBuilder.pax([("path", String(repeating: "a/", count: 2_500))])
    let odd = TarBuilder.reseal(TarBuilder.header(Array("x".utf8)), at: 0, [0xff, 0x1b, 0x5b, 0x32, 0x4a, 0x0a])
    let analysis = analyse(TarBuilder.archive(long, TarBuilder.file("a"), odd, TarBuilder.file("../up")))
    #expect(analysis.faults.isEmpty)
    #expect(analysis.droppedNames == 2)
  }

  @Test("data after the end, cuts and wrong checksums are faults; entries before them stay")
  func ends() {
    let first = TarBuilder.file("first", "1")
    #expect(list(TarBuilder.archive(first) + TarBuilder.archive(first)).error?.code == .tarDataAfterEnd)
    #expect(list(TarBuilder.archive(first) + [UInt8](repeating: 0, count: 9_216)).error == nil)
    #expect(list(first).error?.code == .truncated)
    for length in [1, 600, 1_023] {
      #expect(list(first + Array(TarBuilder.file("second", "2")[..<length])).error?.code == .truncated)
      #expect(list(first + Array(TarBuilder.file("second", "2")[..<length])).entries.first == "file first 1")
    }
    var broken = TarBuilder.header(Array("b".utf8))
    broken[0] = UInt8(ascii: "c")
    #expect(list(first + broken).error?.code == .tarMalformed)
    #expect(list(broken).error?.code == .notTar)
    #expect(list(first + [UInt8](repeating: 0xff, count: 512)).error?.code == .tarMalformed)
  }

  @Test("entries are bounded, extension headers among them")
  func entryBound() {
    var limits = AnalysisLimits()
    limits.entries = 10
    let many = (0..<11).flatMap { TarBuilder.file("f\($0)") } + TarBuilder.end
    #expect(codes(analyse(many, limits: limits)) == ["LAYER_ENTRY_LIMIT"])
    let headers = (0..<11).flatMap { _ in TarBuilder.pax([("comment", "x")]) } + TarBuilder.end
    #expect(codes(analyse(headers, limits: limits)) == ["LAYER_ENTRY_LIMIT"])
  }

  @Test("a global header names no file, and saying so is no silence")
  func global() {
    let archive = TarBuilder.archive(
      TarBuilder.pax([("path", "lib/apk/db/installed")], type: "g"), TarBuilder.file("a"))
    #expect(list(archive).entries == ["file a 0"])
    #expect(codes(analyse(archive)) == ["TAR_AMBIGUOUS"])
    #expect(codes(analyse(TarBuilder.archive(TarBuilder.pax([("comment", "c")], type: "g")))).isEmpty)
  }

  @Test("links and directories have no body, whatever their size field says")
  func bodiless() {
    let link = TarBuilder.header(Array("l".utf8), size: 512, type: "1", link: "a")
    #expect(list(TarBuilder.archive(TarBuilder.file("a"), link, TarBuilder.file("b"))).entries.last == "file b 0")
  }
}
