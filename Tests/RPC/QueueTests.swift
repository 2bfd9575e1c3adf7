import Synchronization
import Testing

@testable import RPC

@Suite("Queues of streams") struct QueueTests {
  @Test("messages come out in order, then the end, or the failure") func order() async throws {
    let queue = MessageQueue(limit: 1 << 20)
    for number in 0..<5000 { #expect(queue.push([UInt8(truncatingIfNeeded: number)])) }
    queue.end(RPCError(.aborted, "x"))
    queue.end()
    #expect(queue.push([1]))
    for number in 0..<5000 { #expect(try await queue.next() == [UInt8(truncatingIfNeeded: number)]) }
    await #expect(throws: RPCError(.aborted, "x")) { try await queue.next() }
    let ended = MessageQueue(limit: 10)
    ended.end()
    #expect(try await ended.next() == nil)
  }

  @Test("a full queue takes nothing, an empty one any message") func full() async throws {
    let queue = MessageQueue(limit: 100)
    let large = [UInt8](repeating: 1, count: 1000)
    #expect(queue.push(large))
    #expect(!queue.push([]))
    #expect(try await queue.next() == large)
    #expect(queue.push([]))
    #expect(!queue.push([]))
  }

  @Test("a consumer that waits hears of a message, of the end and of its own cancellation") func waiting() async throws
  {
    let queue = MessageQueue(limit: 100)
    async let message = queue.next()
    #expect(queue.push([1]))
    #expect(try await message == [1])
    let cancelled = Task { try await queue.next() }
    cancelled.cancel()
    await #expect(throws: RPCError(.cancelled, "the call was cancelled")) { try await cancelled.value }
    async let end = queue.next()
    queue.end(RPCError(.aborted, "x"), discarding: true)
    do {
      _ = try await end
      Issue.record("no failure")
    } catch { #expect(error as? RPCError == RPCError(.aborted, "x")) }
  }

  @Test("the loop fetches whole frames, in turns, and is told once") func fetch() throws {
    let told = Mutex(0)
    let stream = OutboundStream(
      stream: 5, limit: 1000, budget: nil, ready: { told.withLock { $0 += 1 } },
      overflowed: { _ in Issue.record("overflow") })
    for number in UInt8(0)..<4 { try stream.send([UInt8](repeating: number, count: 90)) }
    #expect(told.withLock { $0 } == 1)
    var output: [UInt8] = []
    #expect(stream.fetch(into: &output, quantum: 150))
    #expect(output.count == 200)
    #expect(Frame.Header(output) == Frame.Header(length: 90, stream: 5, kind: .data))
    try stream.send([])
    #expect(told.withLock { $0 } == 1)
    #expect(!stream.fetch(into: &output, quantum: 1000))
    #expect(output.count == 410)
    try stream.send([])
    #expect(told.withLock { $0 } == 2)
  }

  @Test("a full stream ends once, keeps what it has, and says where to go on") func overflow() throws {
    let ended = Mutex<[RPCError]>([])
    let stream = OutboundStream(
      stream: 5, limit: 250, budget: nil, ready: {}, overflowed: { error in ended.withLock { $0.append(error) } })
    for number in 0..<2 {
      try stream.send([UInt8](repeating: 0, count: 100))
      stream.cursor = "\(number)"
    }
    for _ in 0..<2 {
      #expect {
        try stream.send([UInt8](repeating: 0, count: 100))
      } throws: { ($0 as? RPCError)?.code == .resourceExhausted }
    }
    let errors = ended.withLock { $0 }
    #expect(errors.count == 1 && errors[0].details.count == 1)
    var output: [UInt8] = []
    #expect(!stream.fetch(into: &output, quantum: 1000))
    #expect(output.count == 220)
  }

  @Test("a sender that waits for room goes on, or hears that the stream has ended or its task is cancelled")
  func waitingSender() async throws {
    func full() throws -> OutboundStream {
      let stream = OutboundStream(stream: 1, limit: 100, budget: nil, ready: {}, overflowed: { _ in })
      try stream.send([UInt8](repeating: 0, count: 90))
      return stream
    }
    let goes = try full()
    async let sent: Void = goes.sendWhenReady([1])
    var output: [UInt8] = []
    // Whether the sender waits already or comes later, it finds room.
    #expect(!goes.fetch(into: &output, quantum: 1))
    try await sent
    let closed = try full()
    let waiting = Task { try await closed.sendWhenReady([1]) }
    closed.close(RPCError(.aborted, "x"), discarding: true)
    await #expect(throws: RPCError(.aborted, "x")) { try await waiting.value }
    let cancelled = try full()
    let task = Task { try await cancelled.sendWhenReady([1]) }
    task.cancel()
    await #expect(throws: RPCError(.cancelled, "the call was cancelled")) { try await task.value }
  }
}
