import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct GHCRDriverTests {
  private func withGitHub(
    scopes: [String] = ["Octo-Org"], as credential: Credential = .apiKey(Secret(canary)),
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer,
    _ body: (RegistryClient, ScriptedServer) async throws -> Void
  ) async throws {
    try await withServer(answer) { server in
      try await body(
        try client(server.url, VendorSettings(.ghcr, apiURL: server.url, scopes: scopes), credential), server)
    }
  }

  private static func package(_ name: String) -> String {
    "{\"id\":9,\"name\":\"\(name)\",\"package_type\":\"container\"}"
  }

  @Test func `packages of an organisation come by links`() async throws {
    try await withGitHub({ request in
      switch request.query {
      case "package_type=container&per_page=100":
        .json(
          "[\(Self.package("web")),\(Self.package("tools/lint"))]",
          [("Link", "<http://\(request.headers["host"] ?? "")/orgs/Octo-Org/packages?page=2>; rel=\"next\"")])
      case "page=2": .json("[\(Self.package("API"))]")
      default: .reply(404)
      }
    }) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["octo-org/web", "octo-org/tools/lint", "octo-org/api"])
      #expect(found[1].handle == "/orgs/Octo-Org/packages/container/tools%2Flint/versions")
      #expect(summary.incomplete == nil)
      let request = try #require(server.requests.first)
      #expect(request.headers["authorization"] == "Bearer \(canary)")
      #expect(request.headers["accept"] == "application/vnd.github+json")
      #expect(request.headers["x-github-api-version"] == "2022-11-28")
      #expect(request.headers["user-agent"]?.isEmpty == false)
    }
  }

  @Test func `a user is asked for where there is no organisation, and one owner costs no other`() async throws {
    try await withGitHub(
      scopes: ["someone", "nobody", "../../admin"],
      { request in
        request.path.hasPrefix("/users/someone/") ? .json("[\(Self.package("web"))]") : .reply(404)
      }
    ) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["someone/web"])
      #expect(summary.incomplete?.contains("nobody") == true)
      #expect(summary.incomplete?.contains("admin") == true)
      #expect(!server.requests.contains { $0.path.contains("admin") })
    }
  }

  @Test func `versions give tags, digests and push dates`() async throws {
    let versions = """
      [{"id":1,"name":"\(digest("a"))","created_at":"2026-02-27T09:11:42Z","updated_at":"2026-03-01T00:00:00Z",
        "metadata":{"package_type":"container","container":{"tags":["1.4.2","latest"]}}},
       {"id":2,"name":"\(digest("b"))","created_at":"2026-02-27T09:11:42Z","metadata":{"container":{"tags":[]}}}]
      """
    try await withGitHub({ request in
      request.path == "/orgs/octo-org/packages/container/tools%2Flint/versions" ? .json(versions) : .reply(404)
    }) { client, server in
      let (found, _) = try await client.allTags(of: "octo-org/tools/lint")
      #expect(found.map(\.tag.name) == ["1.4.2", "latest"])
      #expect(found[0].digest == Digest(digest("a")))
      let pushed = try time("2026-02-27T09:11:42Z")
      #expect(found[0].pushedAt == pushed)
      #expect(server.requests.last?.query == "per_page=100&state=active")
    }
  }

  @Test func `the limit that comes as forbidden is a limit`() async throws {
    try await withGitHub({ _ in
      .reply(
        403, [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "99999999999")], Array("{\"message\":\"no\"}".utf8))
    }) { client, _ in
      let error = try await registryError { try await client.allTags(of: "octo-org/web") }
      #expect(error.code == .rateLimited)
      #expect(error.retryAfter == .seconds(3600))
    }
  }

  @Test func `a key without the right is no limit`() async throws {
    try await withGitHub({ _ in
      .reply(
        403, [("X-RateLimit-Remaining", "4999")], Array("{\"message\":\"You need read:packages, \(canary)\"}".utf8))
    }) { client, _ in
      let error = try await registryError { try await client.allTags(of: "octo-org/web") }
      #expect(error.code == .forbidden)
      #expect(error.message.contains("read:packages"))
    }
  }

  @Test func `the registry takes the key as a password`() async throws {
    try await withGitHub({ request in
      switch request.path {
      case "/token": .json("{\"token\":\"pull\"}")
      default:
        request.headers["authorization"] == "Bearer pull"
          ? .json("{}")
          : .reply(
            401,
            [("WWW-Authenticate", "Bearer realm=\"http://\(request.headers["host"] ?? "")/token\",service=\"ghcr.io\"")]
          )
      }
    }) { client, server in
      _ = try await client.checkAPI()
      let asked = try #require(server.requests.first { $0.path == "/token" })
      #expect(asked.headers["authorization"] == "Basic " + Base64.encoded(Array("token:\(canary)".utf8)))
    }
  }

  @Test func `the connection test tells the token's end and what is missing`() async throws {
    try await withGitHub(
      scopes: ["octo-org", "other"],
      { request in
        if request.path == "/v2/" { return .json("{}") }
        return request.path.hasPrefix("/orgs/octo-org/")
          ? .json(
            "[]",
            [
              ("GitHub-Authentication-Token-Expiration", "2026-12-01 10:00:00 UTC"), ("X-RateLimit-Remaining", "4990"),
            ]) : .reply(404)
      }
    ) { client, _ in
      let steps = try await client.test()
      let text = steps.map { "\($0.detail) \($0.hint ?? "")" }.joined(separator: "\n")
      #expect(outcomes(steps)[.rights] == .failed)
      #expect(outcomes(steps)[.credential] == .ok)
      #expect(text.contains("2026-12-01 10:00:00 UTC"))
      #expect(text.contains("read:packages"))
    }
  }
}
