import Glibc
import Inventory
import Posix
import StorageMessages
import TestSupport
import Testing

@testable import Pipeline

/// What a relay makes of a worker's stream with a clamd that does as a test wants.
@Suite(.timeLimit(.minutes(1)))
struct LayerRelayTests {
  /// A relay, and the worker's end of its pipe.
  private struct Layer {
    let relay: MalwareRelay
    private let writing: Int32

    init(
      _ clamd: FakeClamd, _ budget: ClamdBudget = ClamdBudget(.seconds(600)), fileTime: Duration = .seconds(60)
    ) throws {
      var settings = MalwareSettings(socket: clamd.path)
      settings.fileTime = fileTime
      relay = try MalwareRelay(Clamd(settings), budget, clock: .system)
      var ends: [Int32] = [0, 0]
      guard pipe(&ends) == 0 else { throw PosixError("pipe") }
      writing = ends[1]
      try relay.start(ends[0])
    }

    func write(_ bytes: [UInt8]) {
      #expect(bytes.withUnsafeBytes { Glibc.write(writing, $0.baseAddress, $0.count) } == bytes.count)
    }

    func write(file path: String, _ content: [UInt8] = [1]) {
      write(
        [ContentsProtocol.Kind.begin.rawValue] + withUnsafeBytes(of: UInt16(path.utf8.count).bigEndian, Array.init)
          + withUnsafeBytes(of: UInt64(content.count).bigEndian, Array.init) + Array(path.utf8)
          + [ContentsProtocol.Kind.piece.rawValue] + withUnsafeBytes(of: UInt32(content.count).bigEndian, Array.init)
          + content + [ContentsProtocol.Kind.whole.rawValue])
    }

    func closePipe() { close(writing) }

    /// Ends the stream, and waits for what came of it.
    func end() throws -> MalwareRelay.Outcome {
      write([ContentsProtocol.Kind.end.rawValue])
      closePipe()
      relay.wait()
      return try #require(relay.result)
    }
  }

  private func gaps(_ outcome: MalwareRelay.Outcome) -> [String: UInt64] {
    Dictionary(outcome.layer.gaps.map { ($0.reason, $0.files) }) { a, _ in a }
  }

  @Test func `A session that clamd has ended between files costs nothing`() throws {
    let clamd = try FakeClamd { _ in .sayAndEnd("stream: OK") }
    let layer = try Layer(clamd)
    // Its version is asked for on a connection of its own.
    #expect(clamd.ended.wait(atMost: .seconds(60)))
    for number in 0..<5 {
      layer.write(file: "f\(number)")
      #expect(clamd.ended.wait(atMost: .seconds(60)))
    }
    let outcome = try layer.end()
    #expect(outcome.layer.files == 5 && gaps(outcome) == [:] && outcome.isLasting && outcome.isComplete)
    #expect(clamd.connections == 6)
  }

  @Test func `A file of which clamd takes no more ends its session, and is no failure`() throws {
    let clamd = try FakeClamd { file in
      file == [9] ? .sayAndEnd("INSTREAM size limit exceeded. ERROR") : .say("stream: OK")
    }
    let layer = try Layer(clamd)
    #expect(clamd.ended.wait(atMost: .seconds(60)))
    for number in 0..<5 {
      layer.write(file: "large\(number)", [9])
      #expect(clamd.ended.wait(atMost: .seconds(60)))
    }
    layer.write(file: "small")
    let outcome = try layer.end()
    #expect(outcome.layer.files == 1 && gaps(outcome) == ["clamd_limit": 5] && outcome.isLasting)
  }

  @Test func `A clamd that hangs costs a layer one wait, and a scan three`() throws {
    let clamd = try FakeClamd { _ in .nothing }
    let budget = ClamdBudget(.seconds(600))
    for _ in 0..<ClamdBudget.timeoutsMax {
      let layer = try Layer(clamd, budget, fileTime: .milliseconds(50))
      for number in 0..<20 { layer.write(file: "f\(number)") }
      let outcome = try layer.end()
      #expect(gaps(outcome) == ["timeout": 20] && outcome.layer.files == 0)
      // Not to be tried for ever, nor taken for all there is.
      #expect(outcome.isLasting && !outcome.isComplete)
    }
    let connections = clamd.connections
    let layer = try Layer(clamd, budget)
    for number in 0..<20 { layer.write(file: "f\(number)") }
    let outcome = try layer.end()
    #expect(gaps(outcome) == ["scan_time": 20] && !outcome.isLasting && outcome.layer.signatures.isEmpty)
    #expect(clamd.connections == connections)
  }

  @Test func `A scan's waits together have a bound`() throws {
    let clamd = try FakeClamd { _ in .nothing }
    let budget = ClamdBudget(.milliseconds(50))
    let layer = try Layer(clamd, budget)
    layer.write(file: "a")
    let outcome = try layer.end()
    #expect(gaps(outcome) == ["scan_time": 1] && !outcome.isLasting)
    #expect(budget.refusal != nil && budget.timeLeft == .zero)
  }

  @Test func `A relay that is stopped does not wait for its worker`() throws {
    let clamd = try FakeClamd { _ in .say("stream: OK") }
    let layer = try Layer(clamd)
    defer { layer.closePipe() }
    layer.write(file: "a")
    layer.relay.stop()
    layer.relay.wait()
    #expect(layer.relay.result?.isLasting == false)
  }

  @Test func `After the worker's end, what it wrote is read, and nobody waited for who holds its pipe`() throws {
    let clamd = try FakeClamd { _ in .say("stream: OK") }
    let layer = try Layer(clamd)
    defer { layer.closePipe() }
    for number in 0..<20 { layer.write(file: "f\(number)") }
    layer.relay.wait()
    #expect(layer.relay.result?.layer.files == 20 && layer.relay.result?.isLasting == false)
  }

  @Test func `Each byte that clamd takes begins the wait for the next anew`() throws {
    let clamd = try FakeClamd { _ in .say("stream: OK") }
    let waits = try ClamdWaits()
    let channel = try ClamdChannel(clamd.path, waits, by: waits.now + .seconds(60))
    var asked = 0
    let count = UInt32(8 << 20)
    let bytes =
      Array("zIDSESSION\0zINSTREAM\0".utf8) + withUnsafeBytes(of: count.bigEndian, Array.init)
      + [UInt8](repeating: 1, count: Int(count)) + [0, 0, 0, 0]
    try channel.send(bytes) { () throws(ClamdError) in
      asked += 1
      return waits.now + .seconds(60)
    }
    #expect(try channel.answer(by: waits.now + .seconds(60)) == Array("1: stream: OK".utf8))
    #expect(asked > 1)
  }
}

struct MalwareScanTests {
  private func known(_ signatures: String, at time: Int64, _ gaps: [MalwareGapReason] = []) -> LayerMalware {
    var tally = MalwareTally()
    for reason in gaps { tally.passedOver([0x61], reason) }
    return tally.layer(signatures: signatures, at: time, within: MalwareSettings(socket: "/x").bounds)
  }

  private func isSatisfied(
    by known: LayerMalware?, _ change: (inout MalwareSettings) -> Void = { _ in }
  ) -> Bool {
    var settings = MalwareSettings(socket: "/x")
    change(&settings)
    return MalwareScan(.on(signatures: "B"), settings, beganAt: 100).isSatisfied(by: known, now: 200)
  }

  @Test func `A layer is known with the signatures of the scan's beginning, or from its time`() {
    #expect(!isSatisfied(by: nil))
    #expect(isSatisfied(by: known("B", at: 1)))
    #expect(!isSatisfied(by: known("A", at: 99)) && !isSatisfied(by: known("C", at: 201)))
    #expect(isSatisfied(by: known("C", at: 100)) && isSatisfied(by: known("C", at: 200)))
    #expect(MalwareScan(.fails("gone"), nil, beganAt: 1).isSatisfied(by: nil, now: 2))
  }

  @Test func `What was too large is known within the same bounds only`() {
    let (file, layer) = (known("B", at: 1, [.fileTooLarge]), known("B", at: 1, [.layerBytes]))
    #expect(isSatisfied(by: file) && isSatisfied(by: layer))
    #expect(!isSatisfied(by: file) { $0.fileBytesMaximum += 1 } && isSatisfied(by: layer) { $0.fileBytesMaximum += 1 })
    #expect(
      isSatisfied(by: file) { $0.layerBytesMaximum += 1 } && !isSatisfied(by: layer) { $0.layerBytesMaximum += 1 })
    #expect(isSatisfied(by: known("B", at: 1, [.sparse])) { $0.fileBytesMaximum += 1 })
  }

  @Test func `What was found before counts on, also what is not listed`() {
    func found(_ range: Range<Int>) -> LayerMalware {
      var tally = MalwareTally()
      for number in range { tally.found("Test", in: Array("f\(number)".utf8)) }
      return tally.layer(signatures: "A", at: 1)
    }
    var few = found(0..<3)
    few.add(found(2..<5))
    #expect(few.found.count == 5 && few.foundCount == 5)
    var none = found(0..<0)
    none.add(found(0..<MalwareTally.foundMax + 7))
    #expect(none.found.count == MalwareTally.foundMax && none.foundCount == UInt64(MalwareTally.foundMax + 7))
    none.add(found(5_000..<5_010))
    #expect(none.found.count == MalwareTally.foundMax && none.foundCount == UInt64(MalwareTally.foundMax + 17))
  }
}
