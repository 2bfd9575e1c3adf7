import Digests
import Model
import Posix
import TestSupport
import Testing

@testable import Registry

/// Broken HTTP, silence, redirects: what must not hang the curl thread, nor carry a credential where it must not go.
@Suite(.timeLimit(.minutes(1)))
struct TransportTests {
  let repo = Repository("team/app")
  let layer = noise(100_000)

  private func head(_ lines: String) -> [UInt8] {
    Array(lines.split(separator: "\n").map { $0 + "\r\n" }.joined().utf8) + Array("\r\n".utf8)
  }

  /// A registry that answers the ping itself and leaves the rest to `answer`.
  private static func registry(
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer
  ) -> ScriptedServer.Handler {
    { request in request.path == "/v2/" ? .json("{}") : answer(request) }
  }

  private func readBlob(_ client: RegistryClient, _ descriptor: Descriptor) async throws -> [UInt8] {
    try await readAll(client.openBlob(descriptor, in: repository("team/app")))
  }

  @Test func `a blob arrives whole`() async throws {
    let layer = noise(5 << 20)
    try await withServer(Self.registry { _ in .reply(200, [], layer) }) { server in
      let bytes = try await readBlob(client(server), descriptor(of: layer))
      #expect(bytes == layer)
    }
  }

  @Test func `a body shorter than announced is a lost connection`() async throws {
    let answer = head("HTTP/1.1 200 OK\nContent-Length: 100000") + layer.prefix(10)
    try await withServer(Self.registry { _ in .raw(answer) }) { server in
      let error = try await registryError { try await readBlob(client(server), descriptor(of: layer)) }
      #expect(error.code == .connectionLost)
      #expect(error.isTransient)
    }
  }

  /// H03.
  @Test func `a chunked body cut in the middle is a lost connection`() async throws {
    let answer = head("HTTP/1.1 200 OK\nTransfer-Encoding: chunked") + Array("186A0\r\nabc".utf8)
    try await withServer(Self.registry { _ in .raw(answer) }) { server in
      let error = try await registryError { try await readBlob(client(server), descriptor(of: layer)) }
      #expect(error.code == .connectionLost)
      #expect(error.isTransient)
    }
  }

  /// H02.
  @Test(arguments: [true, false])
  func `a body longer than the descriptor is not read further`(isAnnounced: Bool) async throws {
    let promised = descriptor(of: layer)
    let sent = layer + [1]
    let answer =
      isAnnounced
      ? head("HTTP/1.1 200 OK\nContent-Length: \(sent.count)") + sent : head("HTTP/1.0 200 OK") + sent
    try await withServer(Self.registry { _ in .raw(answer) }) { server in
      let error = try await registryError { try await readBlob(client(server), promised) }
      #expect(error.code == .sizeMismatch)
      #expect(!error.isTransient)
    }
  }

  @Test func `a body that ends early but properly is a size mismatch`() async throws {
    let promised = descriptor(of: layer)
    let answer = head("HTTP/1.0 200 OK") + layer.dropLast()
    try await withServer(Self.registry { _ in .raw(answer) }) { server in
      let error = try await registryError { try await readBlob(client(server), promised) }
      #expect(error.code == .sizeMismatch)
    }
  }

  @Test func `bytes with another digest are never a success, however often they are read`() async throws {
    var other = layer
    other[500] ^= 1
    try await withServer(Self.registry { [other] _ in .reply(200, [], other) }) { server in
      let reader = try await client(server).openBlob(descriptor(of: layer), in: repository("team/app"))
      for _ in 0..<2 {
        let error = try await registryError { try await readAll(reader) }
        #expect(error.code == .digestMismatch)
        #expect(!error.isTransient)
      }
    }
  }

  @Test func `sha512 descriptors are verified too`() async throws {
    let digest = ContentHash.digest(of: layer, .sha512)
    try await withServer(Self.registry { [layer] _ in .reply(200, [], layer) }) { server in
      let bytes = try await readBlob(
        client(server), Descriptor(mediaType: "x", digest: digest, size: Int64(layer.count)))
      #expect(bytes == layer)
    }
  }

  /// H05.
  @Test func `silence after the connection is a timeout`() async throws {
    try await withServer({ _ in .silence() }) { server in
      let error = try await registryError {
        try await client(server, transport: HTTPTransport(timeouts: hasty, retries: .none)).fetchManifest(
          tag("latest"), in: repository("team/app"))
      }
      #expect(error.code == .timeout)
      #expect(error.isTransient)
    }
  }

  @Test func `progress alone does not keep a slow blob alive`() async throws {
    let answer = head("HTTP/1.1 200 OK\nContent-Length: 100000")
    try await withServer(Self.registry { _ in .drip(answer, milliseconds: 10) }) { server in
      let transport = HTTPTransport(timeouts: hasty)
      let error = try await registryError {
        try await readBlob(client(server, transport: transport), descriptor(of: layer))
      }
      #expect(error.code == .stalled)
      #expect(error.isTransient)
    }
  }

  /// H04.
  @Test func `without a floor rate a slow blob comes to its end, and one that stands still does not`() async throws {
    var timeouts = hasty
    timeouts.bytesPerSecondMin = 0
    let transport = HTTPTransport(timeouts: timeouts)
    let slow = [UInt8](repeating: UInt8(ascii: "x"), count: 100)
    let start = head("HTTP/1.1 200 OK\nContent-Length: 100")
    try await withServer(Self.registry { _ in .drip(start, milliseconds: 10) }) { server in
      let bytes = try await readBlob(client(server, transport: transport), descriptor(of: slow))
      #expect(bytes == slow)
    }
    try await withServer(Self.registry { _ in .silence(after: start + slow.prefix(10)) }) { server in
      let error = try await registryError {
        try await readBlob(client(server, transport: transport), descriptor(of: slow))
      }
      #expect(error.code == .timeout)
      #expect(error.isTransient)
    }
  }

  /// H05.
  @Test func `a cancelled request leaves a silent registry at once`() async throws {
    let (asked, hasAsked) = AsyncStream.makeStream(of: Void.self)
    try await withServer({ _ in
      hasAsked.yield()
      return .silence()
    }) { server in
      let client = try client(server)
      let task = Task { try await client.checkAPI() }
      for await _ in asked { break }
      task.cancel()
      await #expect(throws: CancellationError.self) { try await task.value }
    }
  }

  @Test func `a cancelled reader does not wait for a silent registry`() async throws {
    let answer = head("HTTP/1.1 200 OK\nContent-Length: 100000") + layer.prefix(10)
    try await withServer(Self.registry { _ in .silence(after: answer) }) { server in
      let client = try client(server, concurrency: 1)
      let reader = try await client.openBlob(descriptor(of: layer), in: repository("team/app"))
      let task = Task { try await readAll(reader) }
      reader.cancel()
      await #expect(throws: CancellationError.self) { try await task.value }
      // Its permit is free again.
      _ = try await client.checkAPI()
    }
  }

  @Test func `a transport that shuts down ends what runs`() async throws {
    let (asked, hasAsked) = AsyncStream.makeStream(of: Void.self)
    try await withServer({ _ in
      hasAsked.yield()
      return .silence()
    }) { server in
      let transport = HTTPTransport()
      let client = try client(server, transport: transport)
      let task = Task { try await client.checkAPI() }
      for await _ in asked { break }
      transport.shutDown()
      await #expect(throws: CancellationError.self) { try await task.value }
      await #expect(throws: CancellationError.self) { try await client.checkAPI() }
    }
  }

  /// H06.
  @Test(arguments: [(lines: 1, length: 70_000), (lines: 6000, length: 10)])
  func `endless headers are cut off`(lines: Int, length: Int) async throws {
    let line = "X: " + String(repeating: "a", count: length) + "\n"
    let answer = head("HTTP/1.1 200 OK\n" + String(repeating: line, count: lines))
    try await withServer(Self.registry { _ in .raw(answer) }) { server in
      let error = try await registryError {
        try await client(server).fetchManifest(tag("latest"), in: repository("team/app"))
      }
      #expect(error.code == .tooLarge)
    }
  }

  @Test(arguments: [("garbage", 1), ("", 0), ("HTTP/1.1", 1), ("HTTP/1.1 100 Continue", 5000)])
  func `what is no HTTP fails and may be tried again`(line: String, count: Int) async throws {
    let answer = Array(String(repeating: line + "\r\n\r\n", count: count).utf8)
    try await withServer(Self.registry { _ in .raw(answer) }) { server in
      let error = try await registryError {
        try await client(server).fetchManifest(tag("latest"), in: repository("team/app"))
      }
      #expect(error.isTransient || error.code == .tooLarge)
    }
  }

  @Test func `a kept connection that was closed meanwhile is replaced in silence`() async throws {
    let image = TestImage(layers: [])
    try await withServer(
      Self.registry { request in
        request.target.hasSuffix("first")
          ? .replyAndClose(200, [("Content-Type", MediaType.ociManifest)], image.manifest)
          : .reply(200, [("Content-Type", MediaType.ociManifest)], image.manifest)
      }
    ) { server in
      let client = try client(server)
      _ = try await client.fetchManifest(tag("first"), in: repository("team/app"))
      _ = try await client.fetchManifest(tag("second"), in: repository("team/app"))
      #expect(Set(server.requests.map(\.connection)).count == 2)
    }
  }

  /// H16.
  @Test func `integrations do not share connections`() async throws {
    try await withServer({ _ in .json("{}") }) { server in
      let clients = [
        try client(server, account), try client(server, .account(user: "other", password: Secret(canary))),
      ]
      for _ in 0..<3 {
        for client in clients { _ = try await client.checkAPI() }
      }
      var users: [Int: Set<String>] = [:]
      for request in server.requests {
        if let sent = request.headers["authorization"] { users[request.connection, default: []].insert(sent) }
      }
      #expect(users.count == 2)
      #expect(users.values.allSatisfy { $0.count == 1 })
    }
  }

  @Test func `each request has its own method, whatever the last one on its handle had`() async throws {
    try await withServer({ request in .json("{}") }) { server in
      let group = patient.makeGroup()
      let methods: [HTTPRequest.Method] = [.head, .post, .head, .get, .head, .post, .get, .head]
      for method in methods {
        var request = HTTPRequest(method, try WebAddress(server.url), bodyMax: 1000)
        if method == .post { request.content = Secret(Array("items.find()".utf8)) }
        _ = try await patient.send(request, in: group)
      }
      #expect(server.requests.map(\.method) == methods.map(\.rawValue))
    }
  }

  @Test func `the gzip of a manifest is bounded by what comes out of it`() async throws {
    let bomb = try gzipOfZeros(byteCount: 64 << 20)
    try await withServer(
      Self.registry { _ in
        .reply(200, [("Content-Type", MediaType.ociManifest), ("Content-Encoding", "gzip")], bomb)
      }
    ) { server in
      let error = try await registryError {
        try await client(server).fetchManifest(tag("latest"), in: repository("team/app"))
      }
      #expect(error.code == .tooLarge)
    }
  }

  private func gzipOfZeros(byteCount: Int) throws -> [UInt8] {
    let scratch = try TemporaryDirectory()
    let path = scratch.path + "/zeros"
    try Command.run(["sh", "-c", "head -c \(byteCount) /dev/zero | gzip -9 > \(path)"])
    return try File.read(path, limit: 1 << 20)
  }

  @Test func `a reader that waits pauses the sender and loses nothing`() throws {
    let resumed = Counter()
    let buffer = StreamBuffer(resume: { resumed.add() }, stop: {})
    var sent = 0
    let piece = noise(16 * 1024)
    func fill() -> Bool {
      while true {
        switch piece.withUnsafeBytes({ buffer.append($0) }) {
        case .taken: sent += piece.count
        case .full: return true
        case .abandoned: return false
        }
      }
    }
    let isFull = fill()
    #expect(isFull)
    #expect(sent == StreamBuffer.bytesMax)
    var received = 0
    while resumed.count == 0 { received += try buffer.read()?.count ?? 0 }
    #expect(sent - received == StreamBuffer.resumeBelow)
    let isFullAgain = fill()
    #expect(isFullAgain)
    buffer.finish(.success(()))
    while let chunk = try buffer.read() {
      #expect(chunk.count <= StreamBuffer.chunkBytes)
      received += chunk.count
    }
    #expect(received == sent)
    buffer.cancel()
    let isTaken = fill()
    #expect(!isTaken)
  }
}
