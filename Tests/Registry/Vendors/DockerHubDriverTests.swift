import Model
import Posix
import Synchronization
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct DockerHubDriverTests {
  private func withHub(
    scopes: [String] = [], as credential: Credential = account,
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer,
    _ body: (RegistryClient, ScriptedServer) async throws -> Void
  ) async throws {
    try await withServer(answer) { server in
      try await body(
        try client(server.url, VendorSettings(.dockerHub, apiURL: server.url, scopes: scopes), credential), server)
    }
  }

  private static func page(_ results: [String], count: Int, next: String? = nil) -> ScriptedServer.Answer {
    .json(
      "{\"count\":\(count),\"next\":\(next.map { "\"\($0)\"" } ?? "null"),\"results\":[\(results.joined(separator: ","))]}"
    )
  }

  private static func entry(_ name: String, type: String = "\"image\"") -> String {
    "{\"name\":\"\(name)\",\"repository_type\":\(type),\"content_types\":[]}"
  }

  @Test func `The namespace is the user's, the pages come by address, and a token that dies is renewed`() async throws {
    let logins = Atomic(0)
    try await withHub({ request in
      let host = request.headers["host"] ?? ""
      if request.path == "/v2/auth/token" {
        let number = logins.add(1, ordering: .relaxed).newValue
        return .json("{\"access_token\":\"token-\(number)\"}")
      }
      guard request.path == "/v2/namespaces/scanner/repositories" else { return .reply(404) }
      switch (request.query, request.headers["authorization"]) {
      case ("page=1&page_size=100", "Bearer token-1"):
        return Self.page(
          [Self.entry("web"), Self.entry("old", type: "null")], count: 4,
          next: "http://\(host)/wrong/path?page=2&page_size=100")
      case ("page=2&page_size=100", "Bearer token-2"):
        return Self.page([Self.entry("plug", type: "\"plugin\""), Self.entry("app")], count: 4)
      default: return .reply(401)
      }
    }) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["scanner/web", "scanner/old", "scanner/app"])
      #expect((summary.incomplete, summary.notImages, summary.pages) == (nil, 1, 2))
      let login = try #require(server.requests.first { $0.path == "/v2/auth/token" })
      #expect(login.text.contains("\"identifier\":\"scanner\"") && login.text.contains("\"secret\":\"CANARY-"))
      #expect(login.headers["authorization"] == nil)
      #expect(server.requests.count { $0.path == "/v2/auth/token" } == 2)
    }
  }

  @Test func `A next page on another host is not followed, and that is told`() async throws {
    try await withHub(
      scopes: ["acme"], as: .anonymous,
      { _ in
        Self.page([Self.entry("web")], count: 2, next: "http://localhost:1/v2?page=2")
      }
    ) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["acme/web"])
      #expect(summary.incomplete?.contains("leads to another origin") == true)
      #expect(server.requests.count == 1)
    }
  }

  @Test func `Tags come with digest and push date where they are told`() async throws {
    let digest = "sha256:" + String(repeating: "a", count: 64)
    try await withHub(
      scopes: ["acme"], as: .anonymous,
      { _ in
        Self.page(
          [
            "{\"name\":\"1.4\",\"tag_last_pushed\":\"2026-02-27T09:11:42.1Z\",\"digest\":\"\(digest)\",\"content_type\":\"image\"}",
            "{\"name\":\"1.3\",\"last_updated\":\"2026-01-01T00:00:00Z\",\"digest\":7}",
            "{\"name\":\"chart\",\"content_type\":\"helm\"}",
            "{\"name\":\"sha256-\(String(repeating: "a", count: 64)).sig\"}",
          ], count: 4)
      }
    ) { client, server in
      let (found, summary) = try await client.allTags(of: "acme/web")
      #expect(found.filter { !$0.isOther }.map(\.tag.name) == ["1.4", "1.3"])
      #expect(found.count == 4 && summary.incomplete == nil)
      #expect(found[0].digest == Digest(digest))
      #expect(found[0].pushedAt == Timestamp(rfc3339: "2026-02-27T09:11:42.1Z"))
      #expect((found[0].isImage, found[1].isImage) == (true, false))
      #expect(found[1].digest == nil)
      #expect(found[1].pushedAt == Timestamp(rfc3339: "2026-01-01T00:00:00Z"))
      #expect(server.requests[0].path == "/v2/namespaces/acme/repositories/web/tags")
    }
  }

  @Test func `Official images are asked for in their namespace`() async throws {
    try await withHub(as: .anonymous, { request in request.path == "/v2/" ? .json("{}") : .reply(404) }) {
      client, server in
      _ = try await registryError { try await client.resolve(tag("3"), in: repository("alpine")) }
      #expect(server.requests.last?.path == "/v2/library/alpine/manifests/3")
    }
  }

  @Test func `All names of Docker Hub mean its registry`() throws {
    for name in ["https://docker.io", "https://hub.docker.com", "https://index.docker.io/v1"] {
      let client = try client(name, VendorSettings(.dockerHub), .anonymous)
      #expect(client.driver.base.text == "https://registry-1.docker.io")
    }
  }

  @Test func `A key without a name, and nobody without a namespace, are told what is missing`() async throws {
    try await withHub(scopes: ["acme"], as: .apiKey(Secret(canary)), { _ in .reply(500) }) { client, server in
      let error = try await registryError { try await client.allRepositories() }
      #expect(error.code == .unauthorized)
      #expect(error.hint?.contains("--username") == true)
      #expect(server.requests.isEmpty)
    }
    try await withHub(as: .anonymous, { _ in .reply(500) }) { client, _ in
      let error = try await registryError { try await client.allRepositories() }
      #expect(error.hint?.contains("--scope") == true)
    }
  }

  @Test func `A refused login says so once, with what to do`() async throws {
    try await withHub({ _ in .reply(401, [], Array("{\"detail\":\"Incorrect authentication credentials\"}".utf8)) }) {
      client, server in
      let error = try await registryError { try await client.allRepositories() }
      #expect(error.code == .unauthorized)
      #expect(error.hint?.contains("two-factor") == true)
      #expect(server.requests.count == 1)
    }
  }
}
