import CPosix
import Glibc
import Testing

@testable import RPC

/// Parts of the server that cannot be seen from the wire.
@Suite("Parts of the server") struct UnitTests {
  @Test("deadlines come out soonest first, in whatever order they went in") func heapOrder() {
    var generator = SystemRandomNumberGenerator()
    let now = ContinuousClock.now
    for count in [0, 1, 2, 3, 100, 3000] {
      var heap = DeadlineHeap()
      let delays = (0..<count).map { _ in Int64.random(in: 0..<1000, using: &generator) }
      for delay in delays {
        heap.insert(.init(instant: now + .seconds(delay), connection: 1, stream: 1)) { _ in true }
      }
      var popped: [ContinuousClock.Instant] = []
      while let entry = heap.popExpired(at: now + .seconds(1000)) { popped.append(entry.instant) }
      #expect(popped == delays.sorted().map { now + .seconds($0) })
    }
  }

  @Test("deadlines of ended calls do not pile up, those of running calls are kept") func heapSweep() {
    var heap = DeadlineHeap()
    let now = ContinuousClock.now
    for stream in 0..<UInt32(100_000) {
      heap.insert(.init(instant: now + .seconds(86_400), connection: 1, stream: stream)) { $0.stream < 100 }
      #expect(heap.count <= 2048)
    }
    var kept = 0
    while let entry = heap.popExpired(at: now + .seconds(86_400)) { kept += entry.stream < 100 ? 1 : 0 }
    #expect(kept == 100)
  }

  @Test("a peer that reads slowly and never catches up does not keep what it has read in memory") func slowReader() {
    var pair: [Int32] = [-1, -1]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    defer { close(pair[1]) }
    cposix_set_nonblocking(pair[0])
    let connection = ServerConnection(
      token: 1, descriptor: pair[0], peer: Peer(uid: 0, gid: 0, pid: 0), unsentMaximum: .max,
      budget: UserBudget(limit: .max))
    defer { close(pair[0]) }
    let answer = [UInt8](repeating: 1, count: 64 * 1024)
    var chunk = [UInt8](repeating: 0, count: answer.count)
    // More than the socket holds waits at all times; as much as comes in is read.
    for _ in 0..<32 { connection.respond(stream: 1, .success(answer)) }
    for _ in 0..<500 {
      connection.respond(stream: 1, .success(answer))
      #expect(connection.flush() == .blocked)
      var got = 0
      while got < answer.count { got += max(1, read(pair[1], &chunk, answer.count - got)) }
      #expect(connection.output.count < 8 << 20)
    }
  }
}

@Suite("Envelopes") struct EnvelopeTests {
  @Test("a request reads back as it was written") func request() throws {
    var request = RequestEnvelope()
    request.service = "a.B"
    request.method = "Größe"
    request.payload = [0, 1, 255]
    request.timeoutNanoseconds = -1
    request.metadata = [.init(key: "k", value: "v"), .init(key: "k", value: ""), .init(key: "", value: "")]
    #expect(try RequestEnvelope(decoding: request.encoded()[...]) == request)
    #expect(try RequestEnvelope(decoding: []) == RequestEnvelope())
  }

  @Test("more metadata than allowed is refused") func metadata() {
    var request = RequestEnvelope()
    request.metadata = Array(repeating: .init(key: "k", value: "v"), count: 257)
    #expect(throws: MalformedEnvelope.self) { try RequestEnvelope(decoding: request.encoded()[...]) }
  }

  @Test("a failure never reads as a success") func failures() throws {
    let detail = RPCError.Detail(typeURL: "t", value: [1])
    for code in [RPCError.Code.notFound, .unauthenticated] {
      let error = RPCError(code, "nein", details: [detail])
      #expect(try ResponseEnvelope.decode(ResponseEnvelope.encode(.failure(error))[...]) == .failure(error))
    }
    let ok = try ResponseEnvelope.decode(ResponseEnvelope.encode(.failure(RPCError(.ok, "odd")))[...])
    #expect(ok == .failure(RPCError(.unknown, "odd")))
    // A code this version does not know; a code that is no number.
    #expect(try ResponseEnvelope.decode([0x0a, 2, 8, 99]) == .failure(RPCError(.unknown, "")))
    #expect(throws: MalformedEnvelope.self) { try ResponseEnvelope.decode([0x0a, 2, 0x0a, 0]) }
    #expect(try ResponseEnvelope.decode([0x0a, 0]) == .success([]))
  }

  @Test("every cut and every bit flip of an envelope decodes or is refused") func mutations() {
    var request = RequestEnvelope()
    request.service = "demo.Echo"
    request.payload = [1, 2, 3]
    request.metadata = [.init(key: "k", value: "v")]
    let whole = request.encoded()
    for index in whole.indices {
      _ = try? RequestEnvelope(decoding: whole[..<index])
      for bit in 0..<8 {
        var mutated = whole
        mutated[index] ^= 1 << bit
        _ = try? RequestEnvelope(decoding: mutated[...])
        _ = try? ResponseEnvelope.decode(mutated[...])
      }
    }
  }
}
