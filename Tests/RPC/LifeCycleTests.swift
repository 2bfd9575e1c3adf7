import CPosix
import Glibc
import Posix
import RPC
import Synchronization
import TestSupport
import Testing

@Suite("Calls: deadlines, clients that leave, limits, stopping") struct LifeCycleTests {
  @Test("a deadline ends the call for the client and cancels the handler") func deadline() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Wait", Array("a".utf8), timeout: 1_000_000)
      let answer = try await client.answer()
      #expect(answer.stream == 1 && answer.code == .deadlineExceeded)
      let events = await server.events.take(3)
      #expect(events.first == .began("a"))
      #expect(events.contains(.cancelled("a")) && events.contains(.observed("demo.Echo/Wait", .deadlineExceeded)))
      // The late answer of the cancelled handler never reaches the wire.
      try await client.request(3, "Ping", [3])
      #expect(try await client.answer() == .init(stream: 3, result: .success([3])))
    }
  }

  @Test(
    "a deadline already over is answered without a call; the longest possible one does no harm",
    arguments: [
      -1, Int64.min,
    ])
  func extremeDeadlines(timeout: Int64) async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Ping", timeout: timeout)
      #expect(try await client.answer().code == .deadlineExceeded)
      try await client.request(3, "Wait", Array("long".utf8), timeout: .max)
      #expect(await server.events.take(1) == [.began("long")])
      try await client.request(5, "Ping", [5])
      #expect(try await client.answer() == .init(stream: 5, result: .success([5])))
      server.gate.open()
      #expect(try await client.answer().stream == 3)
    }
  }

  @Test("a client that leaves cancels its calls and nobody else's") func disconnect() async throws {
    try await withServer { server in
      let stays = try RawClient(server.path)
      try await stays.request(1, "Wait", Array("stays".utf8))
      #expect(await server.events.take(1) == [.began("stays")])
      do {
        let leaves = try RawClient(server.path)
        try await leaves.send(frame(1, "Wait", Array("leaves".utf8)) + frame(3, "Wait", Array("leaves".utf8)))
        #expect(await server.events.take(2) == [.began("leaves"), .began("leaves")])
        leaves.hangUp()
      }
      let events = await server.events.take(4)
      #expect(events.count { $0 == .cancelled("leaves") } == 2)
      #expect(events.count { $0 == .observed("demo.Echo/Wait", .cancelled) } == 2)
      server.gate.open()
      #expect(try await stays.answer() == .init(stream: 1, result: .success(Array("stays".utf8))))
    }
  }

  @Test("the call over the connection's limit is refused, others go on") func streamLimit() async throws {
    var limits = RPCServer.Limits()
    limits.streamsPerConnection = 2
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      for stream: UInt32 in [1, 3] { try await client.request(stream, "Wait", Array("w".utf8)) }
      try await client.request(5, "Ping")
      let refused = try await client.answer()
      #expect(refused.stream == 5 && refused.code == .resourceExhausted)
      server.gate.open()
      #expect(Set([try await client.answer().stream, try await client.answer().stream]) == [1, 3])
      try await client.request(7, "Ping", [7])
      #expect(try await client.answer() == .init(stream: 7, result: .success([7])))
    }
  }

  @Test("a connection over the limit is closed at once") func connectionLimit() async throws {
    var limits = RPCServer.Limits()
    limits.connections = 1
    try await withServer(limits: limits) { server in
      let first = try RawClient(server.path)
      try await first.request(1, "Ping")
      _ = try await first.answer()
      let second = try RawClient(server.path)
      try await second.request(1, "Ping")
      #expect(try await second.answer().code == .resourceExhausted)
      #expect(try await second.isHungUp())
      try await first.request(3, "Ping")
      #expect(try await first.answer().stream == 3)
    }
  }

  @Test("requests of a client that does not read its answers wait; read, every one is answered") func unsentBytes()
    async throws
  {
    var limits = RPCServer.Limits()
    limits.unsentBytes = 1 << 20
    try await withServer(limits: limits) { server in
      let client = try RawClient(server.path)
      let count: UInt32 = 200
      let payload = [UInt8](repeating: 1, count: 100_000)
      // 20 MB of requests whose answers nobody reads yet: the sender must come to a stop, and the server serve others.
      async let sent: Void = {
        for number in 0..<count { try await client.request(2 * number + 1, "Ping", payload) }
      }()
      let other = try RawClient(server.path)
      try await other.request(1, "Ping", [1])
      #expect(try await other.answer() == .init(stream: 1, result: .success([1])))
      for number in 0..<count {
        let answer = try await client.answer()
        #expect(answer.stream == 2 * number + 1 && answer.result == .success(payload))
      }
      try await sent
    }
  }

  @Test("authorisation decides by the kernel's word on the peer, before the handler") func authorisation() async throws
  {
    let asked = Mutex<[String]>([])
    try await withServer(authorise: { peer, method in
      asked.withLock { $0.append("\(peer.uid) \(method)") }
      return method == "demo.Echo/Ping" ? nil : RPCError(.permissionDenied, "no")
    }) { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Wait")
      #expect(try await client.answer() == .init(stream: 1, result: .failure(.init(.permissionDenied, "no"))))
      try await client.request(3, "Ping", [3])
      #expect(try await client.answer() == .init(stream: 3, result: .success([3])))
      #expect(asked.withLock { $0 } == ["\(geteuid()) demo.Echo/Wait", "\(geteuid()) demo.Echo/Ping"])
    }
  }

  // MARK: - Stopping

  @Test("stop: idle connections close, running calls are answered, new ones refused") func drain() async throws {
    let server = try TestServer()
    let idle = try RawClient(server.path)
    try await idle.request(1, "Ping")
    _ = try await idle.answer()
    _ = await server.events.take(1)
    let busy = try RawClient(server.path)
    try await busy.request(1, "Wait", Array("w".utf8))
    #expect(await server.events.take(1) == [.began("w")])
    async let stopped: Void = server.stop()
    #expect(try await idle.isHungUp())
    #expect(throws: PosixError.self) { try RawClient(server.path) }
    try await busy.request(3, "Ping")
    let refused = try await busy.answer()
    #expect(refused.stream == 3 && refused.code == .unavailable)
    server.gate.open()
    #expect(try await busy.answer() == .init(stream: 1, result: .success(Array("w".utf8))))
    #expect(try await busy.isHungUp())
    try await stopped
  }

  @Test("stop: what outlasts the drain is cancelled; a second stop returns too") func drainOver() async throws {
    let server = try TestServer()
    let client = try RawClient(server.path)
    try await client.request(1, "Wait", Array("w".utf8))
    #expect(await server.events.take(1) == [.began("w")])
    try await server.stop(drain: .zero)
    #expect(await server.events.take(2).contains(.cancelled("w")))
    #expect(try await client.isHungUp())
    try await server.stop(drain: .seconds(Int64.max / 2))
  }

  @Test("a handler that ends after the server does not write to a stranger's descriptor") func lateHandler()
    async throws
  {
    let server = try TestServer()
    let client = try RawClient(server.path)
    try await client.request(1, "Held", Array("h".utf8))
    #expect(await server.events.take(1) == [.began("h")])
    try await server.stop(drain: .zero)
    // Whatever numbers the server gave back are taken again, by files that must stay empty.
    let directory = try TemporaryDirectory()
    let files = (0..<64).map { open(directory.path + "/\($0)", O_RDWR | O_CREAT | O_CLOEXEC, 0o600) }
    defer { for file in files { close(file) } }
    server.gate.open()
    #expect(await server.events.take(1) == [.ended("h")])
    // The handler's answer is delivered after it ended, on the pool's thread: a second call shows that it was.
    for _ in 0..<100 { await Task.yield() }
    for file in files {
      var status = stat()
      #expect(fstat(file, &status) == 0 && status.st_size == 0)
    }
  }

  // MARK: - The socket

  @Test("the socket has the mode asked for, and never a wider one") func mode() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/s"
    // A mask of 0 is the worst case: bind alone would make the socket 0777.
    let mask = umask(0)
    let listener = cposix_listen_unix(path, 0o620, Int64(getegid()), 1)
    umask(mask)
    #expect(listener >= 0)
    #expect(try File.status(path).st_mode & 0o7777 == 0o620)
    close(listener)
  }

  @Test("a dead socket's name is taken over; a served one and any other file are left alone") func takeOver() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/s"
    let first = cposix_listen_unix(path, 0o600, -1, 1)
    #expect(first >= 0)
    #expect(cposix_listen_unix(path, 0o600, -1, 1) == -1 && errno == EADDRINUSE)
    close(first)
    let second = cposix_listen_unix(path, 0o600, -1, 1)
    #expect(second >= 0)
    close(second)
    try File.create(directory.path + "/f", mode: 0o600, contents: [1])
    #expect(cposix_listen_unix(directory.path + "/f", 0o600, -1, 1) == -1 && errno == EEXIST)
    #expect(try File.read(directory.path + "/f", limit: 10) == [1])
    #expect(cposix_listen_unix(directory.path + "/" + String(repeating: "x", count: 100), 0o600, -1, 1) == -1)
    #expect(errno == ENAMETOOLONG)
  }

  @Test("when descriptors run out the listener rests, and wakes by itself") func descriptors() async {
    await #expect(processExitsWith: .success) {
      let server = try TestServer()
      // No connection is open whose end could wake the listener; the client's descriptor is the last one.
      let probe = open("/dev/null", O_RDONLY | O_CLOEXEC)
      close(probe)
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let enough = limit
      limit.rlim_cur = rlim_t(probe) + 1
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let client = try RawClient(server.path)
      try await client.request(1, "Ping", [1])
      // Rounds for the server to fail in. Should it come too late to fail, the test shows less, but is not wrong.
      for _ in 0..<100 { sched_yield() }
      var more = enough
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &more)
      guard try await client.answer() == .init(stream: 1, result: .success([1])) else { exit(1) }
    }
  }
}
