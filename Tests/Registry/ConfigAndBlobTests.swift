import Model
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(1)))
struct ConfigAndBlobTests {
  let image = TestImage(layers: [noise(100)])

  private func fetch(
    _ descriptor: Descriptor, serving bytes: [UInt8], status: Int = 200
  ) async throws -> FetchedConfig {
    var fetched: FetchedConfig?
    try await withServer({ $0.path == "/v2/" ? .json("{}") : .reply(status, [], bytes) }) { server in
      fetched = try await client(server).fetchConfig(descriptor, in: repository("team/app"))
    }
    return try #require(fetched)
  }

  private func parse(_ text: String) throws -> ImageConfig { try ImageConfig.parse(Array(text.utf8), subject: "x") }

  @Test func `a config gives what is used of it`() async throws {
    let fetched = try await fetch(image.configDescriptor, serving: image.config)
    let config = fetched.config
    #expect(fetched.bytes == image.config)
    #expect(config.created == "2026-02-01T08:00:00.5Z")
    #expect(config.platform == Platform("linux/amd64"))
    #expect(config.diffIDs == image.layers.map { descriptor(of: $0).digest })
    #expect(config.history.map(\.createdBy) == ["COPY . /app", "USER web"])
    #expect(config.history.map(\.isEmptyLayer) == [false, true])
    #expect(config.user == "web")
    #expect(config.environment == ["PATH=/bin"])
    #expect(config.exposedPorts == ["80/tcp"])
    #expect(config.labels == ["a": "b"])
  }

  @Test func `size and digest of a config are verified`() async throws {
    let promised = image.configDescriptor
    var other = image.config
    other[5] ^= 1
    for (bytes, code) in [
      (other, RegistryError.Code.digestMismatch), (image.config + [32], .sizeMismatch),
      (Array(image.config.dropLast()), .sizeMismatch), (noise(100_000), .sizeMismatch),
    ] {
      let error = try await registryError { try await fetch(promised, serving: bytes) }
      #expect(error.code == code)
      #expect(!error.isTransient)
    }
    let huge = Descriptor(mediaType: "x", digest: promised.digest, size: Int64.max)
    #expect(try await registryError { try await fetch(huge, serving: []) }.code == .tooLarge)
    #expect(try await registryError { try await fetch(promised, serving: [], status: 404) }.code == .notFound)
  }

  /// H50.
  @Test(arguments: [
    "{}", "[]", "{\"rootfs\":{\"diff_ids\":[\"sha256:x\"]}}", "{\"rootfs\":{\"diff_ids\":7}}", "{\"rootfs\":7}",
  ])
  func `what is no config is malformed`(text: String) async throws {
    #expect(try await registryError { try parse(text) }.code == .malformed)
  }

  /// H40.
  @Test(arguments: [
    "null", "\"\"", "\"0001-01-01T00:00:00Z\"", "\"9999-12-31T23:59:59+14:00\"", "\"yesterday\"",
  ])
  func `a creation date is passed on as it is`(date: String) throws {
    let config = try parse("{\"created\":\(date),\"rootfs\":{}}")
    #expect((config.created ?? "") == date.filter { $0 != "\"" }.replacing("null", with: ""))
  }

  /// H54.
  @Test func `texts of any length are cut`() throws {
    let long = String(repeating: "ä", count: 100_000)
    let config = try parse(
      """
      {"created":"\(long)","rootfs":{"diff_ids":null},"history":[{"created_by":"\(long)"},{}],
      "config":{"User":"\(long)","Env":["\(long)"],"Labels":{"\(long)":"\(long)"},"ExposedPorts":null}}
      """)
    #expect(config.created == nil)
    let most = ImageConfig.textBytesMax + "…".utf8.count
    #expect(config.history.map { $0.createdBy.utf8.count <= most } == [true, true])
    #expect(config.user.utf8.count <= most)
    #expect(config.environment.allSatisfy { $0.utf8.count <= most })
    #expect(config.labels.allSatisfy { $0.key.utf8.count <= most && $0.value.utf8.count <= most })
    #expect(!config.user.unicodeScalars.contains("\u{fffd}"))
  }

  // MARK: confirming blobs

  private func confirm(
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer
  ) async throws -> (Bool, [ScriptedServer.Request]) {
    var result = (false, [ScriptedServer.Request]())
    try await withServer({ $0.path == "/v2/" ? .json("{}") : answer($0) }) { server in
      let isThere = try await client(server).confirmBlob(image.digest, in: repository("team/app"))
      result = (isThere, server.requests.filter { $0.path != "/v2/" })
    }
    return result
  }

  @Test func `a blob is confirmed by HEAD`() async throws {
    let there = try await confirm { _ in .reply(200) }
    #expect(there.0 && there.1.count == 1)
    let gone = try await confirm { _ in .reply(404) }
    #expect(!gone.0 && gone.1.count == 1)
  }

  @Test(arguments: [405, 501, 403, 401])
  func `a blob is confirmed by one byte where HEAD is refused`(status: Int) async throws {
    for (answer, isThere) in [(206, true), (200, true), (404, false), (403, false), (416, false), (401, false)] {
      let (confirmed, requests) = try await confirm { request in
        request.method == "HEAD" ? .reply(status) : .reply(answer, [], [1])
      }
      #expect(confirmed == isThere)
      #expect(requests.last?.headers["range"] == "bytes=0-0")
    }
  }

  @Test(arguments: [429, 500, 503])
  func `a registry in trouble confirms nothing and denies nothing`(status: Int) async throws {
    let error = try await registryError { try await confirm { _ in .reply(status) } }
    #expect(error.isTransient)
  }

  @Test func `open blobs count as running requests until they end`() async throws {
    let layer = image.layers[0]
    try await withServer({ $0.path == "/v2/" ? .json("{}") : .reply(200, [], layer) }) { server in
      let client = try client(server, concurrency: 1)
      for _ in 0..<3 {
        let bytes = try await readAll(client.openBlob(descriptor(of: layer), in: repository("team/app")))
        #expect(bytes == layer)
      }
      // Dropped unread, and refused: both give their permit back.
      _ = try await client.openBlob(descriptor(of: layer), in: repository("team/app"))
      _ = try await registryError {
        try await client.openBlob(
          Descriptor(mediaType: "x", digest: descriptor(of: layer).digest, size: 1), in: repository("team/app"))
      }
      let held = try await client.openBlob(descriptor(of: layer), in: repository("team/app"))
      let waiting = Task { try await client.checkAPI() }
      waiting.cancel()
      await #expect(throws: CancellationError.self) { try await waiting.value }
      held.cancel()
      _ = try await client.checkAPI()
    }
  }
}
