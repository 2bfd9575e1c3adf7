import CPosix
import Glibc
import Posix
import RPC
import Testing

/// What a peer may take of the server: each limit with a small value.
@Suite("Limits on peers") struct StreamLimitTests {
  /// Sizes are given to the test server's methods in big-endian bytes.
  private static let kilobyte: [UInt8] = [4, 0]

  @Test("a watcher that does not read is dropped with the cursor of what it still gets") func overflow() async throws {
    try await withServer { server in
      let watcher = try RawClient(server.path)
      try await watcher.request(1, "Flood", Self.kilobyte, flags: .remoteClosed)
      #expect(await server.events.take(2) == [.began("flood"), .cancelled("flood")])
      // Others are served, on the same connection too.
      let other = try RawClient(server.path)
      try await other.request(1, "Ping", [1])
      #expect(try await other.answer() == .init(stream: 1, result: .success([1])))
      try await watcher.request(3, "Ping", [3])
      var next: UInt32 = 0
      var pinged = false
      while true {
        let frame = try await watcher.nextFrame()
        if case .message(1, let message) = frame {
          #expect(message == numbered(next, Self.kilobyte))
          next += 1
        } else if frame == .response(.init(stream: 3, result: .success([3]))) {
          pinged = true
        } else if case .response(let answer) = frame {
          #expect(answer.stream == 1 && answer.code == .resourceExhausted)
          #expect(cursor(of: answer) == "\(next - 1)")
          break
        } else {
          Issue.record("\(frame)")
          break
        }
      }
      // No more than the queue, what the socket holds and what lies between.
      #expect(pinged && next >= 1000 && next < 3000)
    }
  }

  /// The metadata `cursor` of an ErrorInfo with reason and domain: field 3 { 1: "cursor", 2: value }.
  private func cursor(of answer: RawClient.Answer) -> String? {
    guard case .failure(let error) = answer.result, let detail = error.details.first else { return nil }
    #expect(detail.typeURL == "type.googleapis.com/google.rpc.ErrorInfo")
    let key = [0x0a, 6] + Array("cursor".utf8)
    guard let start = detail.value.indices.first(where: { detail.value[$0...].starts(with: key) }) else { return nil }
    return String(decoding: detail.value[(start + key.count + 2)...], as: UTF8.self)
  }

  @Test("a listing waits for its reader and loses nothing") func listing() async throws {
    var limits = RPCServer.Limits()
    limits.streamQueueBytes = 64 * 1024
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      let size: [UInt8] = [0x20, 0]
      try await client.request(1, "List", size, flags: .remoteClosed)
      #expect(await server.events.take(1) == [.began("list")])
      for number in UInt32(0)..<1000 { #expect(try await client.nextFrame() == .message(1, numbered(number, size))) }
      #expect(try await client.nextFrame() == .end(1))
      // One that leaves in the middle does not leave its handler waiting.
      let second = try RawClient(server.path)
      try await second.request(1, "List", size, flags: .remoteClosed)
      #expect(try await second.nextFrame() == .message(1, numbered(0, size)))
      second.hangUp()
      #expect(await server.events.take(3) == [.ended("list"), .began("list"), .cancelled("list")])
    }
  }

  @Test("a message larger than the queue passes an empty one; one over 4 MiB never does") func largeMessages()
    async throws
  {
    var limits = RPCServer.Limits()
    limits.streamQueueBytes = 1024
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Chat", flags: .remoteOpen)
      let large = [UInt8](repeating: 3, count: Frame.dataMaximum)
      try await client.data(1, large)
      #expect(try await client.nextFrame() == .message(1, large))
      try await client.request(3, "Flood", [0x40, 0, 1], flags: .remoteClosed)
      let answer = try await client.answer()
      #expect(answer.stream == 3 && answer.code == .resourceExhausted)
    }
  }

  @Test("messages that nobody takes fail their call and no other") func inboundOverflow() async throws {
    var limits = RPCServer.Limits()
    limits.streamQueueBytes = 64 * 1024
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Hold", flags: .remoteOpen)
      try await client.request(3, "Hold", flags: .remoteOpen)
      for stream: UInt32 in [1, 3] { try await client.data(stream, [1]) }
      // Empty messages cost something too.
      for _ in 0..<2000 { try await client.data(1) }
      let answer = try await client.answer()
      #expect(answer.stream == 1 && answer.code == .resourceExhausted)
      server.gate.open()
      try await client.data(3, flags: .end)
      #expect(try await client.answer() == .init(stream: 3, result: .success([1])))
    }
  }

  @Test("10,000 calls at once: the limit runs, the others are refused, those that end make room") func manyStreams()
    async throws
  {
    var limits = RPCServer.Limits()
    limits.exemptMethods = ["demo.Echo/Cancel"]
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      let count: UInt32 = 10_000
      async let sent: Void = client.send(
        (0..<count).flatMap { frame(2 * $0 + 1, "Watch", [], flags: [.remoteClosed]) })
      var messages: Set<UInt32> = []
      for _ in 0..<count {
        switch try await client.nextFrame() {
        case .message(let stream, _): messages.insert(stream)
        case .response(let answer): #expect(answer.code == .resourceExhausted)
        case .end: Issue.record("an end")
        }
      }
      try await sent
      #expect(messages == Set((0..<64).map { 2 * $0 + 1 }))
      // A full connection can still end calls.
      try await client.request(2 * count + 1, "Ping")
      #expect(try await client.answer().code == .resourceExhausted)
      try await client.request(2 * count + 3, "Cancel", [5])
      #expect(
        try await client.answer() == .init(stream: 5, result: .failure(.init(.cancelled, "cancelled by the client"))))
      #expect(try await client.answer() == .init(stream: 2 * count + 3, result: .success([1])))
    }
  }

  @Test("handlers that were cancelled and do not end count") func deafHandlers() async throws {
    var limits = RPCServer.Limits()
    limits.streamsPerConnection = 2
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      for stream: UInt32 in [1, 3] { try await client.request(stream, "Held", timeout: 1) }
      for _ in 0..<2 { #expect(try await client.answer().code == .deadlineExceeded) }
      try await client.request(5, "Ping")
      #expect(try await client.answer().code == .resourceExhausted)
      server.gate.open()
    }
  }

  @Test("calls that outlive their connections count for their user, whoever connects anew", .timeLimit(.minutes(1)))
  func abandonedHandlers() async throws {
    var limits = RPCServer.Limits()
    limits.abandonedPerUser = 3
    limits.exemptMethods = ["demo.Echo/Cancel"]
    try await withServer(limits: limits) { server in
      func leave(_ method: String, _ count: UInt32) async throws {
        let client = try RawClient(server.path)
        for number in 0..<count { try await client.request(2 * number + 1, method, [UInt8(number)]) }
        _ = await server.events.take(Int(count))
      }
      /// Returns when the server answers so; it learns of what has ended in its own time.
      func ping(until code: RPCError.Code?) async throws {
        while true {
          let client = try RawClient(server.path)
          try await client.request(1, "PingNow")
          if try await client.answer().code == code { return }
          try Task.checkCancellation()
        }
      }
      try await leave("Held", 2)
      // Those that listen to their cancellation leave nothing.
      try await leave("Wait", 5)
      var cancelled = 0
      while cancelled < 5 { if case .cancelled = await server.events.take(1)[0] { cancelled += 1 } }
      try await ping(until: nil)
      try await leave("Held", 1)
      try await ping(until: .resourceExhausted)
      let client = try RawClient(server.path)
      try await client.request(1, "Cancel", [0, 0, 0, 9])
      #expect(try await client.answer() == .init(stream: 1, result: .success([0])))
      server.gate.open()
      try await ping(until: nil)
    }
  }

  @Test("one user's connections are bounded; the one too many hears so at its first call") func connectionsPerUser()
    async throws
  {
    var limits = RPCServer.Limits()
    limits.connectionsPerUser = 2
    limits.refusals = 1
    try await withServer(limits: limits) { server in
      var first: RawClient? = try RawClient(server.path)
      let second = try RawClient(server.path)
      for client in [first, second] {
        try await client?.request(1, "Ping")
        _ = try await client?.answer()
      }
      let refused = try RawClient(server.path)
      // No room even to be refused.
      #expect(try await RawClient(server.path).isHungUp())
      try await refused.send(frame(1, "Ping") + frame(3, "Ping"))
      let answer = try await refused.answer()
      #expect(answer.stream == 1 && answer.code == .resourceExhausted)
      #expect(try await refused.isHungUp())
      // One that goes makes room for another.
      first = nil
      try await second.request(3, "Ping")
      _ = try await second.answer()
      let third = try RawClient(server.path)
      try await third.request(1, "Ping", [1])
      #expect(try await third.answer() == .init(stream: 1, result: .success([1])))
    }
  }

  @Test(
    "half a frame does not stay: half a header, half a body, half of what is skipped",
    arguments: [
      "000000", "00000005 00000001 01 00 0a", "00500000 00000001 03 00 0a",
    ])
  func halfFrame(_ bytes: String) async throws {
    var limits = RPCServer.Limits()
    limits.frameTime = .milliseconds(30)
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Ping", [1])
      #expect(try await client.answer() == .init(stream: 1, result: .success([1])))
      try await client.send(hex: bytes)
      while true {
        do { _ = try await client.receive(1) } catch is RawClient.Hangup { break }
      }
      // One between frames has all the time it wants: this one lasted through the others' end.
    }
  }

  @Test("a refused connection that says nothing does not stay either") func silentRefusal() async throws {
    var limits = RPCServer.Limits()
    limits.connections = 0
    limits.frameTime = .milliseconds(30)
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      #expect(try await client.isHungUp())
    }
  }

  @Test("a connection without calls is closed after the idle time; one with a call is not") func idle() async throws {
    var limits = RPCServer.Limits()
    limits.idleTime = .milliseconds(30)
    try await withServer(limits: limits) { server in
      let busy = try RawClient(server.path)
      try await busy.request(1, "Watch", [1], flags: .remoteClosed)
      #expect(try await busy.nextFrame() == .message(1, [1]))
      let silent = try RawClient(server.path)
      #expect(try await silent.isHungUp())
      server.gate.open()
      #expect(try await busy.nextFrame() == .end(1))
      #expect(try await busy.isHungUp())
    }
  }

  @Test("output that stands still ends the connection and its calls") func standstill() async throws {
    var limits = RPCServer.Limits()
    limits.outputTime = .milliseconds(50)
    try await withServer(limits: limits) { server in
      let watcher = try RawClient(server.path)
      try await watcher.request(1, "List", [0x20, 0], flags: .remoteClosed)
      #expect(await server.events.take(2) == [.began("list"), .cancelled("list")])
      // Unread answers of unary calls as well: more than the socket holds.
      let deaf = try RawClient(server.path)
      try await deaf.send(frame(1, "Big", [0x10, 0, 0]) + frame(3, "Wait", [1]))
      var events: [Events.Event] = []
      while !events.contains(.observed("demo.Echo/Wait", .cancelled)) { events += await server.events.take(1) }
    }
  }

  @Test("answers of many calls in flight that nobody reads are replaced before they fill memory") func unreadAnswers()
    async throws
  {
    var limits = RPCServer.Limits()
    limits.unsentBytes = 1 << 20
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      // 32 MiB of answers asked for in one write.
      try await client.send((0..<32).flatMap { frame(2 * $0 + 1, "Big", [0x10, 0, 0]) })
      var whole = 0
      for _ in 0..<32 {
        let answer = try await client.answer()
        if answer.code == nil { whole += 1 } else { #expect(answer.code == .resourceExhausted) }
      }
      #expect((1...3).contains(whole))
    }
  }

  @Test("what one user's connections hold together is bounded; who reads is served again") func userBytes() async throws
  {
    var limits = RPCServer.Limits()
    limits.userBytes = 1 << 20
    try await withServer(limits: limits) { server in
      // Half frames, unread answers, messages nobody takes: 8 connections with 300 KB each.
      let clients = try (0..<8).map { _ in try RawClient(server.path) }
      let part = header(400_000, 1, kind: 1) + [UInt8](repeating: 0, count: 300_000)
      for client in clients { try await client.send(part) }
      var refused = 0
      let rest = [UInt8](repeating: 0, count: 100_000)
      for client in clients {
        try await client.send(rest)
        let answer = try await client.answer()
        if answer.code == .resourceExhausted { refused += 1 } else { #expect(answer.code == .invalidArgument) }
      }
      #expect(refused > 0 && refused < 8)
      let watcher = try RawClient(server.path)
      try await watcher.request(1, "Flood", Self.kilobyte, flags: .remoteClosed)
      let deaf = try RawClient(server.path)
      try await deaf.request(1, "Big", [0x10, 0, 0])
      #expect(try await deaf.answer().code == .resourceExhausted)
      // Small answers pass.
      try await deaf.request(3, "Ping", [3])
      #expect(try await deaf.answer() == .init(stream: 3, result: .success([3])))
      while true {
        if case .response(let answer) = try await watcher.nextFrame() {
          #expect(answer.code == .resourceExhausted)
          break
        }
      }
      try await deaf.request(5, "Big", [0x08, 0, 0])
      #expect(try await deaf.answer().code == nil)
    }
  }

  @Test("stop ends watches with their cursors") func stop() async throws {
    let server = try TestServer()
    let client = try RawClient(server.path)
    try await client.request(1, "Watch", [1], flags: .remoteClosed)
    #expect(try await client.nextFrame() == .message(1, [1]))
    try await client.request(3, "Hold", flags: .remoteOpen)
    try await client.data(3, [1])
    try await client.data(3, flags: .end)
    async let stopped: Void = server.stop()
    let answer = try await client.answer()
    #expect(answer.stream == 1 && answer.code == .unavailable && cursor(of: answer) == "here")
    // A call without a stream of answers is let finish.
    server.gate.open()
    #expect(try await client.answer() == .init(stream: 3, result: .success([1])))
    #expect(try await client.isHungUp())
    try await stopped
  }
}
