import Model
import TestSupport
import Testing

@testable import Registry

/// Blobs whose connection breaks in the middle.
@Suite(.timeLimit(.minutes(1)))
struct ResumeTests {
  private let layer = noise(300_000)

  private func read(_ server: ScriptedServer) async throws -> [UInt8] {
    try await readAll(client(server).openBlob(descriptor(of: layer), in: repository("team/app")))
  }

  /// All of the answer's head and `count` bytes of its body, then the end of the connection.
  private static func cut(_ body: [UInt8], after count: Int, _ head: String = "HTTP/1.1 200 OK")
    -> ScriptedServer.Answer
  {
    .raw(Array("\(head)\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body.prefix(count))
  }

  private static func start(_ request: ScriptedServer.Request) -> Int? {
    request.headers["range"].flatMap { Int($0.dropFirst("bytes=".count).dropLast()) }
  }

  private static func partHead(_ start: Int, of total: Int, last: Int? = nil) -> String {
    "HTTP/1.1 206 Partial\r\nContent-Range: bytes \(start)-\(last ?? total - 1)/\(total)"
  }

  /// A registry that sends `count` bytes at a time and then leaves, and knows ranges.
  private func breaking(after count: Int) -> ScriptedServer.Handler {
    { [layer] request in
      if request.path == "/v2/" { return .json("{}") }
      guard let start = Self.start(request) else { return Self.cut(layer, after: count) }
      return Self.cut(Array(layer[start...]), after: count, Self.partHead(start, of: layer.count))
    }
  }

  @Test func `what is missing is asked for, and nothing twice`() async throws {
    try await withServer(breaking(after: 70_000)) { server in
      let bytes = try await read(server)
      #expect(bytes == layer)
      let ranges = server.requests.filter { $0.path != "/v2/" }.map { $0.headers["range"] ?? "" }
      #expect(ranges == ["", "bytes=70000-", "bytes=140000-", "bytes=210000-", "bytes=280000-"])
    }
  }

  @Test func `a server that breaks for ever is given up`() async throws {
    try await withServer(breaking(after: 100)) { server in
      let error = try await registryError { try await read(server) }
      #expect(error.code == .connectionLost)
      #expect(error.isTransient)
      #expect(server.requests.filter { $0.path != "/v2/" }.count == 1 + BlobReader.resumesMax)
    }
  }

  @Test func `a server without ranges sends all again and it is passed over`() async throws {
    let asked = Counter()
    try await withServer({ [layer] request in
      if request.path == "/v2/" { return .json("{}") }
      return asked.add() < 3 ? Self.cut(layer, after: 70_000 * asked.count) : .reply(200, [], layer)
    }) { server in
      let bytes = try await read(server)
      #expect(bytes == layer)
    }
  }

  @Test(arguments: [
    "bytes 0-299999/300000", "bytes 70001-299999/300000", "bytes 70000-299998/300000", "bytes 70000-299999/300001",
    "bytes 70000-300000/300001", "bytes 70000-9999999999999999999/*", "bytes */300000", "items 70000-299999/300000",
    "bytes 299999-70000/300000", "", "\u{1b}[2J",
  ])
  func `a range that was not asked for is refused`(range: String) async throws {
    try await withServer({ [layer] request in
      if request.path == "/v2/" { return .json("{}") }
      guard Self.start(request) != nil else { return Self.cut(layer, after: 70_000) }
      return .reply(206, [("Content-Range", range)], Array(layer[70_000...]))
    }) { server in
      let error = try await registryError { try await read(server) }
      #expect(error.code == .malformed)
      #expect(error.isTransient)
      #expect(!error.message.utf8.contains(0x1b))
    }
  }

  @Test func `other bytes behind the right range are for the digest to find`() async throws {
    try await withServer({ [layer] request in
      if request.path == "/v2/" { return .json("{}") }
      guard let start = Self.start(request) else { return Self.cut(layer, after: 70_000) }
      return .reply(
        206, [("Content-Range", "bytes \(start)-\(layer.count - 1)/\(layer.count)")],
        noise(layer.count - start, seed: 9))
    }) { server in
      let error = try await registryError { try await read(server) }
      #expect(error.code == .digestMismatch)
      #expect(!error.isTransient)
    }
  }

  @Test func `more than was declared is not read in parts either`() async throws {
    try await withServer({ [layer] request in
      if request.path == "/v2/" { return .json("{}") }
      guard let start = Self.start(request) else { return Self.cut(layer, after: 70_000) }
      let rest = Array(layer[start...]) + [1, 2, 3]
      return .reply(206, [("Content-Range", "bytes \(start)-\(layer.count - 1)/\(layer.count)")], rest)
    }) { server in
      let error = try await registryError { try await read(server) }
      #expect(error.code == .sizeMismatch)
    }
  }

  @Test(arguments: [404, 416, 403])
  func `a refused rest ends the blob`(status: Int) async throws {
    try await withServer({ [layer] request in
      if request.path == "/v2/" { return .json("{}") }
      return Self.start(request) == nil ? Self.cut(layer, after: 70_000) : .reply(status)
    }) { server in
      let error = try await registryError { try await read(server) }
      #expect(error.code != .sizeMismatch)
      #expect(server.requests.filter { $0.headers["range"] != nil }.count == 1)
    }
  }

  @Test func `the rest is asked for at the registry, not where a redirect led`() async throws {
    let ticket = Counter()
    try await withServer(
      host: "127.0.0.2",
      { [layer] request in
        // A signed address is good for one request.
        guard request.query == "ticket=\(ticket.count)" else { return .reply(403) }
        guard let start = Self.start(request) else { return Self.cut(layer, after: 100_000) }
        return .reply(
          206, [("Content-Range", "bytes \(start)-\(layer.count - 1)/\(layer.count)")], Array(layer[start...]))
      }
    ) { store in
      try await withServer({ request in
        if request.path == "/v2/" { return .json("{}") }
        return .reply(307, [("Location", store.url + "/blob?ticket=\(ticket.add())")])
      }) { server in
        let reader = try await client(server, account).openBlob(descriptor(of: layer), in: repository("team/app"))
        let bytes = try await readAll(reader)
        #expect(bytes == layer)
        #expect(store.requests.allSatisfy { $0.headers["authorization"] == nil })
        #expect(store.requests.map { $0.headers["range"] } == [nil, "bytes=100000-"])
      }
    }
  }

  @Test func `cancelling ends the wait for the rest`() async throws {
    let (asked, hasAsked) = AsyncStream.makeStream(of: Void.self)
    try await withServer({ [layer] request in
      if request.path == "/v2/" { return .json("{}") }
      guard Self.start(request) != nil else { return Self.cut(layer, after: 70_000) }
      hasAsked.yield()
      return .silence()
    }) { server in
      let client = try client(server, concurrency: 1)
      let reader = try await client.openBlob(descriptor(of: layer), in: repository("team/app"))
      let task = Task { try await readAll(reader) }
      for await _ in asked { break }
      reader.cancel()
      await #expect(throws: CancellationError.self) { try await task.value }
      // Its permit is free again.
      _ = try await client.checkAPI()
    }
  }

  @Test(arguments: [
    ("bytes 0-0/1", true), ("bytes 5-9/*", true), ("Bytes 5-9/10", true), ("bytes 5-9/9", false),
    ("bytes 5-4/9", false),
    ("bytes -5/9", false), ("bytes 5-/9", false), ("bytes 5-9", false), ("bytes=5-9/10", false),
    ("bytes +5-9/10", false), ("bytes 5-9/10/11", false),
  ])
  func `Content-Range is read strictly`(text: String, isGood: Bool) {
    #expect((ContentRange(text) != nil) == isGood)
  }
}
