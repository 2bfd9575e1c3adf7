import Glibc
import Inventory

/// A layer's tar stream, whatever its compression. What it is compressed with is decided by its first bytes: media
/// types are often wrong. The expansion and the CPU time spent are bounded here.
package final class LayerStream: ChunkSource {
  package enum Compression: String, Sendable {
    case none, gzip, zstd
  }

  package let compression: Compression
  /// Of the tar stream, handed out so far.
  package private(set) var uncompressedBytes = 0
  /// Of the layer as it lies in the registry, read so far.
  package var compressedBytes: Int { raw.count }

  private let raw: CountedSource
  private let decoder: any ChunkSource
  private let limits: AnalysisLimits
  private var cpuDeadline: Int

  package init(_ input: any ChunkSource, limits: AnalysisLimits = .standard) throws(LayerError) {
    self.limits = limits
    cpuDeadline = Self.cpuMilliseconds() + limits.cpuSeconds * 1_000
    raw = CountedSource(input)
    let peeked = try PeekedSource(raw, count: 10)
    if peeked.peeked.isEmpty { throw LayerError(.empty, "the layer holds no bytes") }
    compression = try Self.recognise(peeked.peeked)
    switch compression {
    case .none: decoder = peeked
    case .gzip: decoder = GzipSource(peeked)
    case .zstd: decoder = try ZstdSource(peeked, windowLog: limits.zstdWindowLog)
    }
  }

  package func next() throws(LayerError) -> UnsafeRawBufferPointer {
    let chunk = try decoder.next()
    uncompressedBytes += chunk.count
    guard uncompressedBytes <= limits.uncompressedBytes else {
      throw LayerError(.expansionLimit, "the layer is larger than \(limits.uncompressedBytes) bytes uncompressed")
    }
    if compression != .none, uncompressedBytes > limits.expansionFreeBytes,
      uncompressedBytes / limits.expansionRatio > raw.count
    {
      throw LayerError(
        .expansionLimit,
        "the layer expands more than \(limits.expansionRatio)-fold: \(raw.count) bytes gave \(uncompressedBytes)")
    }
    try checkTime()
    return chunk
  }

  /// Throws once the thread has used up its CPU time. Parsers that loop for long over few bytes call it too.
  func checkTime() throws(LayerError) {
    if Self.cpuMilliseconds() > cpuDeadline {
      throw LayerError(.cpuLimit, "the layer took more than \(limits.cpuSeconds) s of CPU time")
    }
  }

  /// Moves the end of the CPU time by what is set apart for databases that were held. Once for a layer.
  func allowTimeForHeldDatabases() { cpuDeadline += limits.heldDatabaseCPUSeconds * 1_000 }

  private static func cpuMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Int(time.tv_sec) * 1_000 + Int(time.tv_nsec) / 1_000_000
  }

  private static func recognise(_ head: UnsafeRawBufferPointer) throws(LayerError) -> Compression {
    func begins(_ magic: [UInt8]) -> Bool { head.count >= magic.count && head.prefix(magic.count).elementsEqual(magic) }
    if begins([0x1f, 0x8b]) { return .gzip }
    if begins([0x28, 0xb5, 0x2f, 0xfd]) { return .zstd }
    // A skippable frame, 0x184D2A50 to 5F: zstd:chunked and pzstd put them first.
    if head.count >= 4, head[0] & 0xf0 == 0x50, head[1...3].elementsEqual([0x2a, 0x4d, 0x18]) { return .zstd }
    // A tar may begin with any name: what is told apart here holds bytes that none has, or more than a word of them.
    let unsupported: [(name: String, magic: [UInt8])] = [
      ("xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]), ("lz4", [0x04, 0x22, 0x4d, 0x18]),
      ("lz4", [0x02, 0x21, 0x4c, 0x18]), ("lzip", Array("LZIP\u{1}".utf8)), ("compress", [0x1f, 0x9d]),
    ]
    let bzip2Blocks: [[UInt8]] = [[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], [0x17, 0x72, 0x45, 0x38, 0x50, 0x90]]
    if begins(Array("BZh".utf8)), head.count >= 10, bzip2Blocks.contains(where: head[4..<10].elementsEqual) {
      throw LayerError(.compressionNotSupported, "compression not supported: bzip2")
    }
    if let match = unsupported.first(where: { begins($0.magic) }) {
      throw LayerError(.compressionNotSupported, "compression not supported: \(match.name)")
    }
    return .none
  }
}
