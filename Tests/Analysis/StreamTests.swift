import Inventory
import StorageMessages
import Testing

@testable import Analysis

@Suite("Layer streams")
struct StreamTests {
  static let archive = TarBuilder.archive(TarBuilder.file("lib/apk/db/installed", apkStanza))

  @Test("the bytes decide what a layer is compressed with", arguments: [1, 7, 512, 256 << 10])
  func compressions(pieceBytes: Int) {
    for (bytes, name) in [
      (Self.archive, "none"), (gzipStored(Self.archive), "gzip"), (zstdRaw(Self.archive), "zstd"),
    ] {
      let analysis = analyse(bytes, pieceBytes: pieceBytes)
      #expect(analysis.compression == name)
      #expect(analysis.faults.isEmpty)
      #expect(rows(analysis).count == 1)
      #expect(analysis.uncompressedBytes == UInt64(Self.archive.count))
      #expect(analysis.compressedBytes == UInt64(bytes.count))
    }
  }

  @Test("gzip members and zstd frames follow one another as one stream", arguments: [1, 4096])
  func concatenated(pieceBytes: Int) {
    let (a, b) = (Array(Self.archive[..<700]), Array(Self.archive[700...]))
    let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]
    for bytes in [
      gzipStored(a) + gzipStored(b), gzipStored(a) + gzipStored([]) + gzipStored(b),
      zstdRaw(a) + skippable + zstdRaw(b),
      skippable + zstdRaw(a) + zstdRaw(b),
    ] {
      let analysis = analyse(bytes, pieceBytes: pieceBytes)
      #expect(analysis.faults.isEmpty)
      #expect(rows(analysis).count == 1)
    }
  }

  @Test("zeros may follow gzip, other bytes may not")
  func trailing() {
    let whole = gzipStored(Self.archive)
    #expect(codes(analyse(whole + [UInt8](repeating: 0, count: 512))).isEmpty)
    for garbage in [Array("GARBAGE".utf8), [0, 0, 1], [0x1f] + [UInt8](repeating: 0, count: 20)] {
      let analysis = analyse(whole + garbage)
      #expect(["LAYER_TRAILING_BYTES", "LAYER_CORRUPT"].contains(codes(analysis).first))
      #expect(rows(analysis).count == 1)
    }
    #expect(codes(analyse(zstdRaw(Self.archive) + Array("GARBAGE".utf8))) == ["LAYER_CORRUPT"])
  }

  @Test("a cut stream is a fault at every length", arguments: ["dpkg.tar.gz", "dpkg.tar.zst"])
  func cut(name: String) throws {
    let whole = try fixture(name)
    #expect(codes(analyse(whole)).isEmpty)
    for length in stride(from: 0, to: whole.count, by: 7) {
      #expect(!codes(analyse(Array(whole[..<length]))).isEmpty, "\(length) of \(whole.count) bytes pass")
    }
  }

  @Test("flipped bits never pass as clean", arguments: ["dpkg.tar.gz", "dpkg.tar.zst"])
  func flipped(name: String) throws {
    let whole = try fixture(name)
    // gzip's flags, time and system (bytes 3 to 9) are not covered by its checksum.
    for index in stride(from: 10, to: whole.count, by: 5) {
      var bytes = whole
      bytes[index] ^= 0x10
      #expect(!codes(analyse(bytes)).isEmpty, "byte \(index) may be wrong")
    }
  }

  @Test("a wrong gzip checksum is found, and what was read stays")
  func checksum() {
    var bytes = gzipStored(Self.archive)
    bytes[bytes.count - 8] ^= 1
    let analysis = analyse(bytes)
    #expect(codes(analysis) == ["LAYER_CORRUPT"])
    #expect(rows(analysis).count == 1)
  }

  @Test("expansion is bounded by ratio and by bytes", arguments: ["dpkg.tar.gz", "dpkg.tar.zst"])
  func expansion(name: String) throws {
    var limits = AnalysisLimits()
    limits.expansionFreeBytes = 1024
    limits.expansionRatio = 4
    #expect(codes(analyse(try fixture(name), limits: limits)) == ["LAYER_EXPANSION_LIMIT"])
    limits = AnalysisLimits()
    limits.uncompressedBytes = 5_000
    #expect(codes(analyse(try fixture(name), limits: limits)).contains("LAYER_EXPANSION_LIMIT"))
  }

  /// Nothing takes 300 s of it here: the same check with less.
  @Test("CPU time is bounded")
  func time() {
    var limits = AnalysisLimits()
    limits.cpuSeconds = -1
    #expect(codes(analyse(Self.archive, limits: limits)) == ["LAYER_CPU_LIMIT"])
  }

  @Test("zstd windows up to 8 MiB are any layer's, up to 128 MiB those of one that may, and larger ones nobody's")
  func window() {
    // Of 8 MiB, 16 MiB, 128 MiB, 256 MiB and 2 GiB.
    let streams = [13, 14, 17, 18, 21].map { zstdRaw(Self.archive, windowDescriptor: $0 << 3) }
    #expect(streams.map { codes(analyse($0)) } == [[]] + Array(repeating: ["LAYER_WINDOW_NOT_ALLOWED"], count: 4))
    var limits = AnalysisLimits.standard
    limits.zstdWindowLog = AnalysisLimits.zstdLargeWindowLog
    let tooLarge = ["LAYER_WINDOW_TOO_LARGE"]
    #expect(streams.map { codes(analyse($0, limits: limits)) } == [[], [], [], tooLarge, tooLarge])
  }

  @Test("that there was no memory for a zstd stream is not its own fault")
  func noMemory() {
    // ZSTD_error_memory_allocation, ZSTD_error_corruption_detected.
    #expect(ZstdSource.error(-64, windowLog: 23).code == .outOfMemory)
    #expect(ZstdSource.error(-20, windowLog: 23).code == .corrupt)
  }

  @Test(
    "other compressions are named",
    arguments: [
      ("xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]),
      ("bzip2", Array("BZh9".utf8) + [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]),
      ("lz4", [0x04, 0x22, 0x4d, 0x18, 0x64]),
    ] as [(String, [UInt8])])
  func unsupported(name: String, magic: [UInt8]) {
    let analysis = analyse(magic + [UInt8](repeating: 7, count: 600))
    #expect(codes(analysis) == ["LAYER_COMPRESSION_NOT_SUPPORTED"])
    #expect(analysis.faults.first?.message == "compression not supported: \(name)")
  }

  @Test("a tar whose first name looks like another format is a tar")
  func lookalike() { #expect(codes(analyse(TarBuilder.archive(TarBuilder.file("BZh9")))).isEmpty) }

  @Test("what is no tar is said: nothing, gzip of gzip, noise")
  func notTar() {
    #expect(codes(analyse([])) == ["LAYER_EMPTY"])
    #expect(codes(analyse(gzipStored([]))) == ["LAYER_EMPTY"])
    #expect(codes(analyse(gzipStored(gzipStored(Self.archive)))) == ["LAYER_NOT_TAR"])
    #expect(codes(analyse([UInt8](repeating: 0xff, count: 2048))) == ["LAYER_NOT_TAR"])
    #expect(codes(analyse(TarBuilder.end)).isEmpty)
  }
}
