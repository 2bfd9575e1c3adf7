import Glibc
import Posix
import Synchronization
import Testing

@testable import RPC

/// Streaming calls of the client, against the real server and against a daemon played by hand.
@Suite("The client's streams") struct ClientStreamTests {
  private static let cancellation = RPCConnection.Cancellation(service: "demo.Echo", method: "Cancel") { stream in
    withUnsafeBytes(of: stream.bigEndian) { Array($0) }
  }

  private func open(
    _ connection: RPCConnection, _ method: String, _ kind: RPCMethod.Kind, _ payload: [UInt8]? = nil,
    timeout: Duration? = nil
  ) throws -> ClientStream {
    try connection.openStream(service: "demo.Echo", method: method, kind: kind, payload: payload, timeout: timeout)
  }

  private func code(of body: () async throws -> Void) async -> RPCError.Code? {
    do {
      try await body()
      return nil
    } catch {
      return (error as? RPCError)?.code
    }
  }

  @Test("all kinds at once on one connection, beside unary calls") func kinds() async throws {
    try await withServer { server in
      let connection = try RPCConnection.connect(toSocket: server.path)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<10 {
          group.addTask {
            let stream = try self.open(connection, "Count", .serverStreaming, [16, 100], timeout: .seconds(60))
            for number in UInt8(0)..<100 { #expect(try await stream.next() == (number == 0 ? [] : [8, number])) }
            #expect(try await stream.next() == nil)
            #expect(try await stream.next() == nil)
          }
          group.addTask {
            let stream = try self.open(connection, "Sum", .clientStreaming)
            for number in UInt8(0)..<10 { try await stream.send([8, number]) }
            try stream.finishSending()
            #expect(try await stream.next() == [8, 45, 16, 10])
            #expect(try await stream.next() == nil)
          }
          group.addTask {
            let stream = try self.open(connection, "Chat", .bidirectional)
            for number in UInt8(20)..<40 {
              try await stream.send([number])
              #expect(try await stream.next() == [number])
            }
            try await stream.send([8, 13])
            await #expect(throws: RPCError(.aborted, "mid")) { try await stream.next() }
            await #expect(throws: RPCError.self) { try await stream.send([1]) }
          }
          group.addTask {
            let answer = try await connection.call(service: "demo.Echo", method: "Ping", payload: [1], timeout: nil)
            #expect(answer == [1])
          }
        }
        try await group.waitForAll()
      }
      try await blocking { connection.close() }
    }
  }

  @Test("cancelling the task that reads ends the call at the server") func cancelTask() async throws {
    try await withServer { server in
      let connection = try RPCConnection.connect(toSocket: server.path, cancellation: Self.cancellation)
      let stream = try open(connection, "Watch", .serverStreaming, [1])
      #expect(try await stream.next() == [1])
      let reader = Task { try await stream.next() }
      reader.cancel()
      #expect(await code { _ = try await reader.value } == .cancelled)
      var events: [Events.Event] = []
      while !events.contains(.cancelled("watch")) { events += await server.events.take(1) }
      // A unary call likewise.
      let call = Task { try await connection.call(service: "demo.Echo", method: "Wait", payload: [2], timeout: nil) }
      while !events.contains(.began("\u{2}")) { events += await server.events.take(1) }
      call.cancel()
      #expect(await code { _ = try await call.value } == .cancelled)
      while !events.contains(.cancelled("\u{2}")) { events += await server.events.take(1) }
      try await blocking { connection.close() }
    }
  }

  @Test("a given-up stream is announced once; what still comes is dropped, the connection goes on") func giveUp()
    async throws
  {
    let daemon = try FakeDaemon()
    let connection = try RPCConnection.connect(toSocket: daemon.path, cancellation: Self.cancellation)
    try daemon.accept()
    let stream = try open(connection, "Count", .serverStreaming, [1])
    let (opened, _) = try await daemon.request()
    #expect(opened.stream == 1 && opened.flags == .remoteClosed)
    stream.cancel()
    stream.cancel()
    let (cancel, request) = try await daemon.request()
    #expect(cancel.stream == 3 && request.method == "Cancel" && request.payload == [0, 0, 0, 1])
    #expect(await code { _ = try await stream.next() } == .cancelled)
    daemon.send(header(1, 1, kind: 3) + [1])
    daemon.answer(1, [])
    daemon.answer(3, [1])
    async let answer = connection.call(service: "demo.Echo", method: "Ping", payload: [], timeout: nil)
    #expect(try await daemon.request().0.stream == 5)
    daemon.answer(5, [7])
    #expect(try await answer == [7])
    try await blocking { connection.close() }
  }

  @Test("time limits: over before the call, with a daemon that is silent, with one that sends on") func deadlines()
    async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    #expect(
      await code { _ = try open(connection, "Count", .serverStreaming, timeout: .zero) } == .deadlineExceeded)
    let silent = try open(connection, "Count", .serverStreaming, timeout: .milliseconds(1))
    #expect(try await daemon.request().1.timeoutNanoseconds == 1_000_000)
    #expect(await code { _ = try await silent.next() } == .deadlineExceeded)
    let talks = try open(connection, "Chat", .bidirectional, timeout: .milliseconds(1))
    _ = try await daemon.request()
    daemon.send(header(1, 3, kind: 3) + [9])
    #expect(await code { while try await talks.next() != nil {} } == .deadlineExceeded)
    try await blocking { connection.close() }
  }

  @Test("a stream that nobody reads fails alone") func overflow() async throws {
    let daemon = try FakeDaemon()
    let connection = try RPCConnection.connect(toSocket: daemon.path, cancellation: Self.cancellation)
    try daemon.accept()
    let stream = try open(connection, "Count", .serverStreaming)
    _ = try await daemon.request()
    let message = header(1 << 20, 1, kind: 3) + [UInt8](repeating: 1, count: 1 << 20)
    try await blocking { for _ in 0..<17 { daemon.sendAll(message) } }
    #expect(try await daemon.request().1.method == "Cancel")
    for _ in 0..<15 { #expect(try await stream.next()?.count == 1 << 20) }
    #expect(await code { _ = try await stream.next() } == .resourceExhausted)
    async let answer = connection.call(service: "demo.Echo", method: "Ping", payload: [], timeout: nil)
    let (header, _) = try await daemon.request()
    daemon.answer(header.stream, [7])
    #expect(try await answer == [7])
    try await blocking { connection.close() }
  }

  @Test("a daemon that does not read holds its senders up, and lets them go when it hangs up") func deafDaemon()
    async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    let stream = try open(connection, "Sum", .clientStreaming)
    let sender = Task { while true { try await stream.send([UInt8](repeating: 1, count: 300_000)) } }
    let cancelled = Task { while true { try await stream.send([UInt8](repeating: 1, count: 300_000)) } }
    cancelled.cancel()
    #expect([.cancelled, nil].contains(await code { try await cancelled.value }))
    daemon.hangUp()
    #expect(await code { try await sender.value } == .unavailable)
    #expect(await code { _ = try await stream.next() } == .unavailable)
    try await blocking { connection.close() }
  }

  @Test("a sender hears of a connection that failed with much unsent", .timeLimit(.minutes(1))) func failedWithUnsent()
    async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    let stream = try open(connection, "Sum", .clientStreaming)
    // More than the socket takes by far: the rest stays unsent, over the mark at which senders wait. Unlike one in
    // writing, a failure that is found in reading leaves it there.
    try await stream.send([UInt8](repeating: 1, count: Frame.dataMaximum))
    daemon.send(header(UInt32(Frame.dataMaximum) + 1, 1, kind: 3))
    #expect(await code { _ = try await stream.next() } == .internal)
    #expect(connection.state.withLock { $0.unsentBytes } > RPCConnection.unsentStreamMaximum)
    // A sender that turns round and round does not hear of the time limit.
    let (codes, sent) = AsyncStream.makeStream(of: RPCError.Code?.self)
    Task { sent.yield(await code { try await stream.send([1]) }) }
    #expect(await codes.first { _ in true } == .internal)
    try await blocking { connection.close() }
  }

  @Test("a stream where one message is due fails the call") func wrongKind() async throws {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    let stream = try open(connection, "Sum", .clientStreaming)
    _ = try await daemon.request()
    daemon.send(header(1, 1, kind: 3) + [1])
    #expect(await code { _ = try await stream.next() } == .internal)
    #expect(
      await code { try await stream.send([UInt8](repeating: 0, count: Frame.dataMaximum + 1)) } == .resourceExhausted)
    try await blocking { connection.close() }
  }
}
