import CPosix
import Glibc
import Posix
import RPC
import Synchronization
import TestSupport
import Testing

/// A condition that handlers wait for and a test brings about.
final class Gate: Sendable {
  private struct State {
    var isOpen = false
    var waiting: [Int: CheckedContinuation<Bool, Never>] = [:]
    var cancelled: Set<Int> = []
    var next = 0
  }
  private let state = Mutex(State())

  /// Returns when the gate is open; throws `CancellationError` when the task is cancelled first.
  func pass() async throws {
    let number = state.withLock { state in
      state.next += 1
      return state.next
    }
    let passed = await withTaskCancellationHandler {
      await wait(number)
    } onCancel: {
      state.withLock { state in
        state.cancelled.insert(number)
        return state.waiting.removeValue(forKey: number)
      }?.resume(returning: false)
    }
    guard passed else { throw CancellationError() }
  }

  /// As `pass`, deaf to cancellation.
  func passWhateverComes() async {
    let number = state.withLock { state in
      state.next += 1
      return state.next
    }
    _ = await wait(number)
  }

  private func wait(_ number: Int) async -> Bool {
    await withCheckedContinuation { continuation in
      let known = state.withLock { state -> Bool? in
        if state.cancelled.contains(number) { return false }
        if state.isOpen { return true }
        state.waiting[number] = continuation
        return nil
      }
      if let known { continuation.resume(returning: known) }
    }
  }

  func open() {
    let waiting = state.withLock { state in
      state.isOpen = true
      defer { state.waiting = [:] }
      return Array(state.waiting.values)
    }
    for continuation in waiting { continuation.resume(returning: true) }
  }
}

/// What a test hears from the server, in order; `take` waits for the next.
final class Events: Sendable {
  enum Event: Equatable, Sendable {
    case began(String)
    case cancelled(String)
    case ended(String)
    case observed(String, RPCError.Code?)
    case called(Peer, metadata: [String])
  }
  private let stream: AsyncStream<Event>
  private let continuation: AsyncStream<Event>.Continuation

  private let isQuiet: Bool

  /// A quiet one records nothing: for tests of more events than memory should hold.
  init(isQuiet: Bool = false) {
    self.isQuiet = isQuiet
    (stream, continuation) = AsyncStream.makeStream()
  }

  func record(_ event: Event) { if !isQuiet { continuation.yield(event) } }

  func take(_ count: Int) async -> [Event] {
    var taken: [Event] = []
    for await event in stream {
      taken.append(event)
      if taken.count == count { break }
    }
    return taken
  }
}

/// A real server on a real socket. Its methods, all of service `demo.Echo`:
///
///     Ping   answers its payload, records the caller    Wait   answers when `gate` opens
///     Fail   NOT_FOUND "nope"                           Held   as Wait, deaf to cancellation
///     Empty  answers nothing                            Big    as many bytes as its payload (big-endian) says
///     Odd    throws an error that is no RPCError        Cancel  ends the call its payload names (big-endian)
///     PingNow, FailNow, OddNow, BigNow   the same as immediate methods
///
///     Count  streams as many messages as field 2 of its request says: field 1 is 0, 1, …
///     Sum    of field 1 of its requests, and their number
///     Chat   answers each message with itself; ABORTED "mid" for 080d
///     Flood  streams messages of as many bytes as its payload says, each beginning with its number, until it may not
///     List   as Flood, waiting for room, 1,000 messages; its cursors are the numbers
///     Many   streams 200 messages of 4,000 bytes at once
///     Watch  streams its request, then waits for `gate`
///     Hold   takes no message until `gate` opens, then answers their number
final class TestServer: Sendable {
  struct Odd: Error {}

  let path: String
  let gate = Gate()
  let events: Events
  private let directory: TemporaryDirectory
  private let server: RPCServer

  init(
    limits: RPCServer.Limits = .init(), authorise: @escaping @Sendable (Peer, String) -> RPCError? = { _, _ in nil },
    isQuiet: Bool = false
  ) throws {
    events = Events(isQuiet: isQuiet)
    directory = try TemporaryDirectory()
    path = directory.path + "/s"
    let listener = cposix_listen_unix(path, 0o600, -1, 128)
    guard listener >= 0 else { throw PosixError("listen on \(path)") }
    let policy = RPCServer.Policy(
      rule: { [events] method in
        RPCServer.Policy.Rule(
          authorise: { authorise($0, method) },
          observe: { _, _, failure in
            if ["Wait", "Watch", "FailNow"].contains(where: method.hasSuffix) {
              events.record(.observed(method, failure?.code))
            }
          })
      },
      translate: { error in
        error is CancellationError ? RPCError(.cancelled, "cancelled") : RPCError(.unknown, "an odd error")
      })
    server = try RPCServer(
      listener: listener, methods: Self.methods(gate, events) + Self.streamingMethods(gate, events), policy: policy,
      limits: limits)
  }

  private static func methods(_ gate: Gate, _ events: Events) -> [RPCMethod] {
    func method(
      _ name: String, _ handle: @escaping @Sendable ([UInt8], CallContext) async throws -> [UInt8]
    ) -> RPCMethod {
      RPCMethod(service: "demo.Echo", name: name, handler: .unary(handle))
    }
    func immediate(
      _ name: String, _ handle: @escaping @Sendable (UnsafeRawBufferPointer, CallContext) throws -> [UInt8]
    ) -> RPCMethod {
      RPCMethod(service: "demo.Echo", name: name, handler: .immediate(handle))
    }
    return [
      method("Ping") { payload, context in
        events.record(.called(context.peer, metadata: context.metadata.flatMap { [$0.key, $0.value] }))
        return payload
      },
      method("Fail") { _, _ in throw RPCError(.notFound, "nope") },
      method("Empty") { _, _ in [] },
      method("Odd") { _, _ in throw Odd() },
      method("Wait") { payload, _ in
        let name = String(decoding: payload, as: UTF8.self)
        events.record(.began(name))
        do {
          try await gate.pass()
        } catch {
          events.record(.cancelled(name))
          throw error
        }
        return payload
      },
      method("Held") { payload, _ in
        let name = String(decoding: payload, as: UTF8.self)
        events.record(.began(name))
        await gate.passWhateverComes()
        events.record(.ended(name))
        return payload
      },
      method("Cancel") { payload, context in
        [await context.cancelStream(payload.reduce(0) { $0 << 8 | UInt32($1) }) ? 1 : 0]
      },
      method("Big") { payload, _ in [UInt8](repeating: 7, count: payload.reduce(0) { $0 << 8 | Int($1) }) },
      immediate("PingNow") { payload, context in
        events.record(.called(context.peer, metadata: context.metadata.flatMap { [$0.key, $0.value] }))
        return Array(payload)
      },
      immediate("FailNow") { _, _ in throw RPCError(.notFound, "nope") },
      immediate("OddNow") { _, _ in throw Odd() },
      immediate("BigNow") { payload, _ in [UInt8](repeating: 7, count: payload.reduce(0) { $0 << 8 | Int($1) }) },
    ]
  }

  private static func streamingMethods(_ gate: Gate, _ events: Events) -> [RPCMethod] {
    func method(_ name: String, _ handler: RPCMethod.Handler) -> RPCMethod {
      RPCMethod(service: "demo.Echo", name: name, handler: handler)
    }
    @Sendable func told<R>(_ name: String, _ body: () async throws -> R) async throws -> R {
      events.record(.began(name))
      do {
        let result = try await body()
        events.record(.ended(name))
        return result
      } catch {
        events.record(.cancelled(name))
        throw error
      }
    }
    return [
      method(
        "Count",
        .serverStreaming { payload, responses, _ in
          for number in 0..<(payload.last ?? 0) { try responses.send(number == 0 ? [] : [8, number]) }
        }),
      method(
        "Sum",
        .clientStreaming { requests, _ in
          var sum: UInt8 = 0
          var count: UInt8 = 0
          while let message = try await requests.next() {
            sum &+= message.last ?? 0
            count &+= 1
          }
          return (sum == 0 ? [] : [8, sum]) + (count == 0 ? [] : [16, count])
        }),
      method(
        "Chat",
        .bidirectional { requests, responses, _ in
          try await told("chat") {
            while let message = try await requests.next() {
              if message == [8, 13] { throw RPCError(.aborted, "mid") }
              try responses.send(message)
            }
          }
        }),
      method(
        "Flood",
        .serverStreaming { payload, responses, _ in
          try await told("flood") {
            var number: UInt32 = 0
            while true {
              try responses.send(numbered(number, payload))
              responses.cursor = "\(number)"
              number += 1
            }
          }
        }),
      method(
        "Many",
        .serverStreaming { _, responses, _ in
          for number in UInt32(0)..<200 { try responses.send(numbered(number, [0x0f, 0xa0])) }
        }),
      method(
        "List",
        .serverStreaming { payload, responses, _ in
          try await told("list") {
            for number in UInt32(0)..<1000 {
              try await responses.sendWhenReady(numbered(number, payload))
              responses.cursor = "\(number)"
            }
          }
        }),
      method(
        "Watch",
        .serverStreaming { payload, responses, _ in
          try await told("watch") {
            try responses.send(payload)
            responses.cursor = "here"
            try await gate.pass()
          }
        }),
      method(
        "Hold",
        .clientStreaming { requests, _ in
          try await told("hold") {
            try await gate.pass()
            var count: UInt8 = 0
            while try await requests.next() != nil { count &+= 1 }
            return [count]
          }
        }),
    ]
  }

  func stop(drain: Duration = .seconds(60)) async throws {
    try await blocking { [server] in server.stop(drain: drain) }
  }
}

/// `number`, then zeros up to the size given in big-endian bytes.
func numbered(_ number: UInt32, _ size: [UInt8]) -> [UInt8] {
  let head = withUnsafeBytes(of: number.bigEndian) { Array($0) }
  let count = size.reduce(0) { $0 << 8 | Int($1) }
  return head + [UInt8](repeating: 0, count: max(0, count - head.count))
}

/// A server for the length of `body`.
func withServer(
  limits: RPCServer.Limits = .init(), authorise: @escaping @Sendable (Peer, String) -> RPCError? = { _, _ in nil },
  _ body: (TestServer) async throws -> Void
) async throws {
  let server = try TestServer(limits: limits, authorise: authorise)
  do {
    try await body(server)
  } catch {
    try await server.stop(drain: .zero)
    throw error
  }
  try await server.stop(drain: .zero)
}
