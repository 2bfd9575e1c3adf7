import Analysis
import Inventory
import StorageMessages
import Testing

/// A small generator whose sequence is always the same (SplitMix64).
struct FixedRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}

@Suite("Damaged layers")
struct NoiseTests {
  /// The tar stream of a fixture.
  static func archive(_ name: String) throws -> [UInt8] {
    let stream = try LayerStream(MemorySource(try fixture(name)))
    var bytes: [UInt8] = []
    while true {
      let chunk = try stream.next()
      if chunk.isEmpty { return bytes }
      bytes.append(contentsOf: chunk)
    }
  }

  @Test(
    "whatever is damaged, an analysis comes out that can be sent and merged",
    arguments: [
      "dpkg.tar.gz", "rpm.tar.zst", "format-gnu.tar.gz", "format-pax.tar.gz", "format-pax01.tar.gz",
      "format-ustar.tar.gz",
    ])
  func damage(name: String) throws {
    let whole = try Self.archive(name)
    var random = FixedRandom(state: 20_240_229)
    for _ in 0..<60 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        // Half of the damage goes to the first blocks, where headers are dense.
        let reach = Bool.random(using: &random) ? bytes.count : min(bytes.count, 8_192)
        bytes[Int.random(in: 0..<reach, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      // Checksums that fit let the damage through to what lies behind them.
      for block in stride(from: 0, to: min(bytes.count - 512, 8_192), by: 512) where bytes[block + 257] == 0x75 {
        let header = TarBuilder.reseal(Array(bytes[block..<(block + 512)]), at: 0, [])
        bytes.replaceSubrange(block..<(block + 512), with: header)
      }
      let analysis = analyse(bytes, pieceBytes: Int.random(in: 1...5_000, using: &random))
      let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
      #expect(try WorkerProtocol.decodeAnswer(answer) == analysis)
      _ = InventoryMerger.merge([analysis, analysis])
    }
  }

  @Test("damaged answers are refused or decoded, never worse")
  func damagedAnswers() throws {
    let answer = try #require(WorkerProtocol.encodeAnswer(analyse(try fixture("rpm.tar.zst"))))
    var random = FixedRandom(state: 7)
    for _ in 0..<500 {
      var bytes = answer
      for _ in 0..<3 {
        bytes[Int.random(in: 8..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      do {
        _ = InventoryMerger.merge([try WorkerProtocol.decodeAnswer(bytes)])
      } catch {
        #expect(!error.reason.isEmpty)
      }
    }
  }
}
