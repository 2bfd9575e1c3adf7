import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct QuayDriverTests {
  private func withQuay(
    scopes: [String] = ["shop"], as credential: Credential = .apiKey(Secret(canary)),
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer,
    _ body: (RegistryClient, ScriptedServer) async throws -> Void
  ) async throws {
    try await withServer(answer) { server in
      try await body(try client(server.url, VendorSettings(.quay, scopes: scopes), credential), server)
    }
  }

  private static func item(_ name: String, state: String = "NORMAL") -> String {
    "{\"namespace\":\"shop\",\"name\":\"\(name)\",\"kind\":\"image\",\"state\":\"\(state)\"}"
  }

  @Test func `An OAuth token lists by the API, page by opaque token`() async throws {
    try await withQuay({ request in
      switch (request.path, request.query) {
      case ("/api/v1/repository", "namespace=shop&last_modified=true&repo_kind=image"):
        .json(
          "{\"repositories\":[\(Self.item("web")),\(Self.item("mirror", state: "MIRROR"))],\"next_page\":\"gA+/=\"}")
      case ("/api/v1/repository", "namespace=shop&last_modified=true&repo_kind=image&next_page=gA%2B%2F%3D"):
        .json("{\"repositories\":[\(Self.item("app")),\(Self.item("dead", state: "MARKED_FOR_DELETION"))]}")
      default: .reply(404)
      }
    }) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web", "shop/mirror", "shop/app"])
      #expect((summary.notImages, summary.incomplete) == (1, nil))
      #expect(server.requests.allSatisfy { $0.headers["authorization"] == "Bearer \(canary)" })
    }
  }

  @Test func `An organisation that caches another registry is passed over`() async throws {
    try await withQuay({ request in
      request.path == "/api/v1/organization/shop/proxycache"
        ? .json("{\"upstream_registry\":\"docker.io/library\"}") : .reply(500)
    }) { client, _ in
      let (found, summary) = try await client.allRepositories()
      #expect(found.isEmpty)
      #expect(summary.passedOver == [.remote: 1])
    }
  }

  @Test func `A robot lists by the catalog and keeps to the scopes`() async throws {
    try await withQuay(
      as: .account(user: "shop+kcs", password: Secret(canary)),
      { request in
        switch (request.path, request.query) {
        case ("/v2/", _): .json("{}")
        case ("/v2/_catalog", "n=100"):
          .json(
            "{\"repositories\":[\"shop/web\",\"other/app\"]}",
            [("Link", "</v2/_catalog?n=100&next_page=gAAA>; rel=\"next\"")])
        case ("/v2/_catalog", "n=100&next_page=gAAA"): .json("{\"repositories\":[\"shop/app\"]}")
        case ("/v2/shop/web/tags/list", _): .json("{\"tags\":[\"1\"]}")
        default: .reply(404)
        }
      }
    ) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web", "shop/app"])
      #expect(summary.incomplete == nil)
      let (tags, _) = try await client.allTags(of: found[0])
      #expect(tags.map(\.tag.name) == ["1"])
      #expect(!server.requests.contains { $0.path.hasPrefix("/api/") })
    }
  }

  @Test func `Tags come with digest and push date, page by number`() async throws {
    let digest = "sha256:" + String(repeating: "d", count: 64)
    try await withQuay({ request in
      switch (request.path, request.query) {
      case ("/api/v1/repository/shop/web/tag/", "onlyActiveTags=true&page=1&limit=100"):
        .json(
          "{\"tags\":[{\"name\":\"1\",\"manifest_digest\":\"\(digest)\",\"start_ts\":1772183502}],\"has_additional\":true}"
        )
      case ("/api/v1/repository/shop/web/tag/", "onlyActiveTags=true&page=2&limit=100"):
        .json("{\"tags\":[{\"name\":\"2\",\"start_ts\":\"soon\"}],\"has_additional\":false}")
      default: .reply(404)
      }
    }) { client, _ in
      let (found, summary) = try await client.allTags(of: "shop/web")
      #expect(found.map(\.tag.name) == ["1", "2"])
      #expect(found[0].digest == Digest(digest))
      #expect(found[0].pushedAt == Timestamp(seconds: 1_772_183_502))
      #expect(found[1].pushedAt == nil)
      #expect(summary.incomplete == nil)
    }
  }
}
