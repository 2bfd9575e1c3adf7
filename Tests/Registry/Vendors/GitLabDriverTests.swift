import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct GitLabDriverTests {
  private func withGitLab(
    scopes: [String] = [], as credential: Credential = .apiKey(Secret(canary)),
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer,
    _ body: (RegistryClient, ScriptedServer) async throws -> Void
  ) async throws {
    try await withServer(answer) { server in
      let vendor = try VendorSettings(.gitlab, apiURL: server.url + "/api/v4/", scopes: scopes)
      try await body(try client(server.url, vendor, credential), server)
    }
  }

  private static func item(_ id: Int, _ path: String, status: String = "null") -> String {
    "{\"id\":\(id),\"project_id\":41,\"path\":\"\(path)\",\"status\":\(status)}"
  }

  @Test func `Projects are walked by links of whatever host, and their registries by number`() async throws {
    try await withGitLab({ request in
      switch (request.path, request.query) {
      case ("/api/v4/projects", "membership=true&per_page=1"): .json("[]")
      case ("/api/v4/projects", "membership=true&pagination=keyset&order_by=id&sort=asc&per_page=100"):
        .json(
          "[{\"id\":41,\"path_with_namespace\":\"Shop/Web\",\"container_registry_access_level\":\"enabled\"}]",
          [("Link", "<https://gitlab.outside.test/api/v4/projects?id_after=41>; rel=\"next\"")])
      case ("/api/v4/projects", "id_after=41"):
        .json("[{\"id\":42,\"container_registry_access_level\":\"disabled\"},{\"id\":43}]")
      case ("/api/v4/projects/41/registry/repositories", "page=1&per_page=100"):
        .json(
          "[\(Self.item(301, "Shop/Web")),\(Self.item(302, "shop/web/old", status: "\"delete_scheduled\""))]",
          [("x-total", "2")])
      default: .reply(404)
      }
    }) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web"])
      #expect(found[0].handle == "41/registry/repositories/301")
      #expect((summary.notImages, summary.incomplete) == (1, nil))
      #expect(
        server.requests.allSatisfy { $0.headers["private-token"] == canary && $0.headers["authorization"] == nil })
      #expect(!server.requests.contains { $0.path.contains("/42/") })
    }
  }

  @Test func `A scope is a group or a project`() async throws {
    try await withGitLab(
      scopes: ["shop", "other/tool", "nowhere"],
      { request in
        switch request.path {
        case "/api/v4/groups/shop/registry/repositories": .json("[\(Self.item(1, "shop/web"))]")
        case "/api/v4/projects/other%2Ftool/registry/repositories": .json("[\(Self.item(2, "other/tool"))]")
        case "/api/v4/projects": .json("[]")
        default: .reply(404)
        }
      }
    ) { client, _ in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web", "other/tool"])
      #expect(summary.incomplete == "nowhere is no group or project that the API key sees")
    }
  }

  @Test func `Tags come from the listing, their digest and build date one by one`() async throws {
    let digest = "sha256:" + String(repeating: "c", count: 64)
    let listed = ListedRepository(try repository("shop/web"), handle: "41/registry/repositories/301")
    try await withGitLab({ request in
      switch request.path {
      case "/api/v4/projects/41/registry/repositories/301/tags": .json("[{\"name\":\"1.4.2\"},{\"name\":\"multi\"}]")
      case "/api/v4/projects/41/registry/repositories/301/tags/1.4.2":
        .json("{\"name\":\"1.4.2\",\"digest\":\"\(digest)\",\"created_at\":\"2026-02-27T09:08:00.500+00:00\"}")
      case "/api/v4/projects/41/registry/repositories/301/tags/multi":
        .json("{\"name\":\"multi\",\"digest\":\"\(digest)\",\"created_at\":null}")
      default: .reply(404)
      }
    }) { client, _ in
      let (found, _) = try await client.allTags(of: listed)
      #expect(found.map(\.tag.name) == ["1.4.2", "multi"])
      let details = try #require(try await client.details(of: found[0].tag, in: listed))
      #expect(details.digest == Digest(digest))
      #expect(details.createdAt == Timestamp(rfc3339: "2026-02-27T09:08:00.5Z"))
      let multi = try #require(try await client.details(of: found[1].tag, in: listed))
      #expect((multi.createdAt, multi.isImage) == (nil, false))
    }
  }

  @Test func `With read_registry alone the scopes are looked for by name, and that is told`() async throws {
    try await withGitLab(
      scopes: ["shop/web", "shop"], as: .account(user: "deploy", password: Secret(canary)),
      { request in
        switch request.path {
        case "/v2/": .json("{}")
        case "/v2/shop/web/tags/list": .json("{\"tags\":[\"1\"]}")
        case let path where path.hasPrefix("/api/"): .reply(401, [], Array("{\"message\":\"401 Unauthorized\"}".utf8))
        default: .reply(404)
        }
      }
    ) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web"])
      #expect(summary.incomplete?.contains("API is closed") == true)
      // Thirty refused logins shut this machine out for an hour.
      #expect(server.requests.count { $0.path.hasPrefix("/api/") } == 1)
    }
  }

  @Test func `A password alone is told what is missing`() async throws {
    try await withGitLab(as: account, { _ in .reply(401) }) { client, _ in
      let error = try await registryError { try await client.allRepositories() }
      #expect(error.code == .unauthorized)
      #expect(error.hint?.contains("read_api") == true)
    }
  }

  @Test func `A token goes to the registry as a password`() async throws {
    try await withServer({ request in
      switch request.path {
      case "/jwt/auth": .json("{\"token\":\"t\"}")
      case "/v2/":
        .reply(
          401, [("WWW-Authenticate", "Bearer realm=\"http://\(request.headers["host"] ?? "")/jwt/auth\",service=\"x\"")]
        )
      default: request.headers["authorization"] == "Bearer t" ? .json("{\"tags\":[]}") : .reply(401)
      }
    }) { server in
      let vendor = try VendorSettings(.gitlab, apiURL: server.url)
      let client = try client(server.url, vendor, .apiKey(Secret(canary)))
      #expect(try await client.allTags(of: "shop/web").found.isEmpty)
      let login = try #require(server.requests.first { $0.path == "/jwt/auth" })
      #expect(login.headers["authorization"] == "Basic " + Base64.encoded(Array("tidewaiter:\(canary)".utf8)))
    }
  }
}
