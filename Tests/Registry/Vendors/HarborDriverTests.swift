import Model
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct HarborDriverTests {
  private func withHarbor(
    path: String = "", scopes: [String] = [], includesRemote: Bool = false,
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer,
    _ body: (RegistryClient, ScriptedServer) async throws -> Void
  ) async throws {
    try await withServer(answer) { server in
      let vendor = try VendorSettings(.harbor, scopes: scopes, includesRemote: includesRemote)
      try await body(try client(server.url + path, vendor, account), server)
    }
  }

  @Sendable private static func serve(_ request: ScriptedServer.Request) -> ScriptedServer.Answer {
    switch request.path {
    case "/api/v2.0/projects":
      .json(
        """
        [{"name":"shop","registry_id":0},{"name":"2026"},{"name":"hub-proxy","registry_id":2,"repo_count":11}]
        """, [("X-Total-Count", "3")])
    case "/api/v2.0/projects/shop/repositories":
      .json("[{\"name\":\"shop/web/front\"},{\"name\":\"shop/app\"}]", [("X-Total-Count", "2")])
    case "/api/v2.0/projects/2026/repositories": .json("[{\"name\":\"2026/x\"},{\"id\":7}]", [("X-Total-Count", "2")])
    case "/api/v2.0/projects/hub-proxy/repositories": .json("[{\"name\":\"hub-proxy/library/alpine\"}]")
    default: .reply(404)
    }
  }

  @Test(arguments: ["", "/harbor/projects", "/api/v2.0/"])
  func `Projects are listed one by one, whatever was pasted after the address`(path: String) async throws {
    try await withHarbor(path: path, Self.serve) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web/front", "shop/app", "2026/x"])
      #expect(summary.passedOver == [.remote: 11])
      #expect((summary.rejected, summary.incomplete) == (1, nil))
      #expect(server.requests.allSatisfy { $0.headers["authorization"]?.hasPrefix("Basic ") == true })
      #expect(server.requests.allSatisfy { $0.headers["x-is-resource-name"] == "true" })
    }
  }

  @Test func `Remote ones are handed out where they are wanted`() async throws {
    try await withHarbor(scopes: ["hub-proxy"], includesRemote: true, Self.serve) { client, _ in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["hub-proxy/library/alpine"])
      #expect(found.map(\.kind) == [.remote])
      #expect(summary.passedOver.isEmpty)
    }
  }

  @Test func `A scope that is not there is told`() async throws {
    try await withHarbor(scopes: ["shop", "vault"], Self.serve) { client, _ in
      let (found, summary) = try await client.allRepositories()
      #expect(found.count == 2)
      #expect(summary.incomplete == "the project vault is not visible")
    }
  }

  @Test func `Artifacts give tags, digests and both dates; names are encoded twice`() async throws {
    let digest = "sha256:" + String(repeating: "b", count: 64)
    func artifact(_ type: String, _ media: String, _ tags: String) -> String {
      """
      {"type":"\(type)","manifest_media_type":"\(media)","digest":"\(digest)","push_time":"2026-02-27T09:11:42.123Z",
      "extra_attrs":{"created":"2026-02-27T09:08:00.5Z"},"tags":\(tags)}
      """
    }
    let tags = "[{\"name\":\"1\",\"push_time\":\"2026-02-28T00:00:00.000Z\"},{\"name\":\"2\"}]"
    for (media, isIndex) in [(MediaType.ociManifest, false), (MediaType.ociIndex, true)] {
      let page = "[\(artifact("IMAGE", media, tags))]"
      try await withHarbor({ request in
        request.path == "/api/v2.0/projects/shop/repositories/web%252Ffront/artifacts" ? .json(page) : .reply(404)
      }) { client, server in
        let (found, _) = try await client.allTags(of: "shop/web/front")
        #expect(found.map(\.tag.name) == ["1", "2"])
        #expect(found.allSatisfy { $0.digest == Digest(digest) && $0.isImage })
        #expect(found[0].pushedAt == Timestamp(rfc3339: "2026-02-28T00:00:00Z"))
        #expect(found[1].pushedAt == Timestamp(rfc3339: "2026-02-27T09:11:42.123Z"))
        // The date of an index is that of its platforms' configs.
        #expect(found[0].createdAt == (isIndex ? nil : Timestamp(rfc3339: "2026-02-27T09:08:00.5Z")))
        #expect(server.requests[0].query.contains("q=tags%3D*"))
      }
    }
    let chart =
      "[\(artifact("CHART", MediaType.ociManifest, tags)),\(artifact("IMAGE", MediaType.ociManifest, "null"))]"
    try await withHarbor({ _ in .json(chart) }) { client, _ in
      let (found, summary) = try await client.allTags(of: "shop/app")
      #expect(!found.isEmpty && found.allSatisfy { $0.isOther && !$0.isImage })
      #expect(summary.incomplete == nil)
    }
  }

  @Test func `A robot that may only pull lists tags by the distribution API`() async throws {
    try await withHarbor({ request in
      switch request.path {
      case "/v2/": .json("{}")
      case "/v2/shop/app/tags/list": .json("{\"tags\":[\"1\"]}")
      default: .reply(403)
      }
    }) { client, _ in
      let (tags, _) = try await client.allTags(of: "shop/app")
      #expect(tags.map(\.tag.name) == ["1"])
    }
  }
}
