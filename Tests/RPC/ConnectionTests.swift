import CPosix
import Glibc
import Posix
import RPC
import Synchronization
import TestSupport
import Testing

/// A daemon whose side of one connection the test plays by hand.
final class FakeDaemon: Sendable {
  let path: String
  private let directory: TemporaryDirectory
  private let listener: Int32
  private let accepted = Mutex<Int32>(-1)

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.path + "/s"
    listener = cposix_listen_unix(path, 0o600, -1, 8)
    guard listener >= 0 else { throw PosixError("listen") }
  }

  deinit {
    hangUp()
    close(listener)
  }

  /// The connection is in the listener's queue as soon as the client has connected.
  func accept() throws {
    let descriptor = Glibc.accept(listener, nil, nil)
    guard descriptor >= 0 else { throw PosixError("accept") }
    accepted.withLock { $0 = descriptor }
  }

  func hangUp() {
    accepted.withLock { descriptor in
      if descriptor >= 0 { close(descriptor) }
      descriptor = -1
    }
  }

  func receive(_ count: Int) async throws -> [UInt8] {
    let descriptor = accepted.withLock { $0 }
    return try await blocking {
      var bytes = [UInt8](repeating: 0, count: count)
      var got = 0
      while got < count {
        let more = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress.map { $0 + got }, count - got, 0) }
        guard more > 0 else { throw PosixError("receive") }
        got += more
      }
      return bytes
    }
  }

  func request() async throws -> (Frame.Header, RequestEnvelope) {
    let header = Frame.Header(try await receive(Frame.headerLength))
    return (header, try RequestEnvelope(decoding: try await receive(Int(header.length))[...]))
  }

  func send(_ bytes: [UInt8]) {
    let descriptor = accepted.withLock { $0 }
    _ = bytes.withUnsafeBytes { cposix_send(descriptor, $0.baseAddress, $0.count) }
  }

  /// As `send`, blocking until all of it is taken.
  func sendAll(_ bytes: [UInt8]) {
    let descriptor = accepted.withLock { $0 }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { cposix_send(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  func answer(_ stream: UInt32, _ payload: [UInt8], kind: UInt8 = 2) {
    let data = ResponseEnvelope.encode(.success(payload))
    send(header(UInt32(data.count), stream, kind: kind) + data)
  }
}

func connect(_ daemon: FakeDaemon) throws -> RPCConnection {
  let connection = try RPCConnection.connect(toSocket: daemon.path)
  try daemon.accept()
  return connection
}

private func outcome(of body: () async throws -> [UInt8]) async -> RPCError.Code? {
  do {
    _ = try await body()
    return .ok
  } catch {
    return (error as? RPCError)?.code
  }
}

extension RPCConnection {
  fileprivate func echo(
    _ method: String, _ payload: [UInt8] = [], timeout: Duration? = nil
  ) async throws -> [UInt8] {
    try await call(service: "demo.Echo", method: method, payload: payload, timeout: timeout)
  }
}

@Suite("The client's connection") struct ConnectionTests {
  @Test("many calls at once on one connection, each with its own answer") func concurrent() async throws {
    var limits = RPCServer.Limits()
    limits.streamsPerConnection = 1000
    try await withServer(limits: limits) { server in
      let connection = try RPCConnection.connect(toSocket: server.path)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<300 {
          group.addTask {
            let payload = Array("\(number)".utf8) + [UInt8](repeating: 0, count: number * 500)
            let answer = try await connection.echo("Ping", payload, timeout: .seconds(60))
            #expect(answer == payload)
          }
        }
        try await group.waitForAll()
      }
      #expect(await outcome { try await connection.echo("Fail") } == .notFound)
      try await blocking { connection.close() }
    }
  }

  @Test("an answer finds its call in whatever order it comes; strangers' frames are skipped") func outOfOrder()
    async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    async let first = connection.echo("A")
    let one = try await daemon.request()
    async let second = connection.echo("B")
    let two = try await daemon.request()
    #expect(one.0.stream == 1 && one.1.method == "A" && one.1.timeoutNanoseconds == 0)
    #expect(two.0.stream == 3 && two.1.method == "B")
    daemon.answer(99, [9])
    daemon.answer(1, [9], kind: 42)
    daemon.answer(3, [3])
    #expect(try await second == [3])
    daemon.answer(1, [1])
    #expect(try await first == [1])
    try await blocking { connection.close() }
  }

  @Test("nobody listens; not a socket; a path too long") func noDaemon() {
    for path in ["/nonexistent/s", "/etc/passwd", "/" + String(repeating: "x", count: 200)] {
      #expect {
        try RPCConnection.connect(toSocket: path)
      } throws: { error in
        (error as? RPCError)?.code == .unavailable && "\(error)".contains(path)
      }
    }
  }

  @Test("a daemon that goes fails the calls in flight and all later ones, but not those it answered") func daemonGone()
    async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    async let answered = connection.echo("A")
    _ = try await daemon.request()
    async let lost = outcome { try await connection.echo("B") }
    _ = try await daemon.request()
    daemon.answer(1, [1])
    daemon.hangUp()
    #expect(try await answered == [1])
    #expect(await lost == .unavailable)
    #expect(await outcome { try await connection.echo("C") } == .unavailable)
    try await blocking { connection.close() }
  }

  @Test("a cancelled call ends at once, its late answer is dropped, the connection goes on") func cancel() async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    let task = Task { await outcome { try await connection.echo("A", timeout: .seconds(60)) } }
    #expect(try await daemon.request().1.timeoutNanoseconds == 60_000_000_000)
    task.cancel()
    #expect(await task.value == .cancelled)
    async let next = connection.echo("B")
    _ = try await daemon.request()
    daemon.answer(1, [1])
    daemon.answer(3, [3])
    #expect(try await next == [3])
    let early = Task {
      // Cancelled before it begins: nothing goes on the wire.
      withUnsafeCurrentTask { $0?.cancel() }
      return await outcome { try await connection.echo("C") }
    }
    #expect(await early.value == .cancelled)
    async let last = connection.echo("D")
    let (header, request) = try await daemon.request()
    #expect(header.stream == 5 && request.method == "D")
    daemon.answer(5, [5])
    #expect(try await last == [5])
    try await blocking { connection.close() }
  }

  @Test("time limits: over before the call, tiny, beyond what the wire holds; a daemon that is silent") func timeouts()
    async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    #expect(await outcome { try await connection.echo("A", timeout: .zero) } == .deadlineExceeded)
    #expect(await outcome { try await connection.echo("A", timeout: .seconds(-1)) } == .deadlineExceeded)
    let limits: [(Duration, Int64)] = [
      (Duration(secondsComponent: 0, attosecondsComponent: 1), 1),
      (Duration(secondsComponent: 9_223_372_036, attosecondsComponent: 999_999_999_999_999_999), .max),
      (.seconds(Int64.max), .max), (.milliseconds(1500), 1_500_000_000),
    ]
    for (limit, nanoseconds) in limits {
      let call = Task { await outcome { try await connection.echo("B", timeout: limit) } }
      let (header, request) = try await daemon.request()
      #expect(request.timeoutNanoseconds == nanoseconds)
      daemon.answer(header.stream, [])
      // A daemon this late may have been given up.
      if limit > .seconds(1) { #expect(await call.value == .ok) } else { _ = await call.value }
    }
    #expect(await outcome { try await connection.echo("C", timeout: .milliseconds(1)) } == .deadlineExceeded)
    try await blocking { connection.close() }
  }

  @Test("a daemon that does not read delays neither time limits nor cancellation nor closing") func deafDaemon()
    async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    let payload = [UInt8](repeating: 1, count: 2 << 20)
    // Far more than the socket holds.
    #expect(await outcome { try await connection.echo("A", payload, timeout: .milliseconds(1)) } == .deadlineExceeded)
    let cancelled = Task { await outcome { try await connection.echo("B", payload) } }
    cancelled.cancel()
    #expect(await cancelled.value == .cancelled)
    let waiting = Task { await outcome { try await connection.echo("C", payload) } }
    // The queue of unsent requests is bounded.
    let outcomes = await withTaskGroup(of: RPCError.Code?.self) { group in
      for _ in 0..<40 {
        group.addTask { await outcome { try await connection.echo("D", payload, timeout: .nanoseconds(1)) } }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(outcomes) == [.resourceExhausted, .deadlineExceeded])
    try await blocking { connection.close() }
    let ended = await waiting.value
    #expect(ended == .cancelled || ended == .resourceExhausted)
  }

  @Test("frames stay whole when the daemon reads late") func lateReader() async throws {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    let calls = (0..<8).map { number in
      Task { try await connection.echo("N", [UInt8](repeating: UInt8(number), count: 300_000)) }
    }
    for _ in calls {
      let (header, request) = try await daemon.request()
      #expect(request.payload == [UInt8](repeating: request.payload[0], count: 300_000))
      daemon.answer(header.stream, [request.payload[0]])
    }
    for (number, call) in calls.enumerated() { #expect(try await call.value == [UInt8(number)]) }
    try await blocking { connection.close() }
  }

  @Test("answers that break the protocol fail their call or the connection") func brokenAnswers() async throws {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    async let streamed = outcome { try await connection.echo("A") }
    _ = try await daemon.request()
    daemon.answer(1, [], kind: 3)
    #expect(await streamed == .internal)
    async let garbled = outcome { try await connection.echo("B") }
    _ = try await daemon.request()
    daemon.send(header(1, 3, kind: 2) + [0x0a])
    #expect(await garbled == .internal)
    async let oversized = outcome { try await connection.echo("C") }
    _ = try await daemon.request()
    daemon.send(header(UInt32(Frame.dataMaximum + 1), 5, kind: 2))
    #expect(await oversized == .internal)
    #expect(await outcome { try await connection.echo("D") } == .internal)
    try await blocking { connection.close() }
  }

  @Test("a request over 4 MiB is refused before it is sent") func bigRequest() async throws {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    let payload = [UInt8](repeating: 0, count: Frame.dataMaximum)
    #expect(await outcome { try await connection.echo("A", payload) } == .resourceExhausted)
    try await blocking { connection.close() }
  }

  @Test("close: calls in flight and later ones are cancelled, from several threads and again") func close() async throws
  {
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    async let call = outcome { try await connection.echo("A") }
    _ = try await daemon.request()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<4 { group.addTask { try await blocking { connection.close() } } }
      try await group.waitForAll()
    }
    #expect(await call == .cancelled)
    #expect(await outcome { try await connection.echo("B") } == .cancelled)
  }

  @Test("calls, cancellations and the end of the daemon in any interleaving: every call ends once") func races()
    async throws
  {
    for round in 0..<50 {
      let server = try TestServer()
      let connection = try RPCConnection.connect(toSocket: server.path)
      await withTaskGroup(of: Void.self) { group in
        for number in 0..<16 {
          group.addTask {
            let task = Task { await outcome { try await connection.echo(number % 2 == 0 ? "Ping" : "Wait") } }
            if number % 3 == 0 { task.cancel() }
            let ended = await task.value
            #expect([.ok, .cancelled, .unavailable].contains(ended))
          }
        }
        group.addTask {
          if round % 2 == 0 {
            do { try await server.stop(drain: .zero) } catch { Issue.record(error) }
          } else {
            do { try await blocking { connection.close() } } catch { Issue.record(error) }
          }
        }
      }
      try await blocking { connection.close() }
      try await server.stop(drain: .zero)
    }
  }
}
