import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct YandexDriverTests {
  private func withYandex(
    scopes: [String] = ["crp1"], as credential: Credential = .account(user: "iam", password: Secret(canary)),
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer,
    _ body: (RegistryClient, ScriptedServer) async throws -> Void
  ) async throws {
    try await withServer(answer) { server in
      try await body(
        try client(server.url, VendorSettings(.yandex, apiURL: server.url, scopes: scopes), credential), server)
    }
  }

  @Test func `repositories and images come by page tokens`() async throws {
    try await withYandex({ request in
      switch (request.path, request.query) {
      case ("/container-registry/v1/repositories", "registryId=crp1&pageSize=1000"):
        .json("{\"repositories\":[{\"id\":\"1\",\"name\":\"crp1/web\"}],\"nextPageToken\":\"t/1\"}")
      case ("/container-registry/v1/repositories", "registryId=crp1&pageSize=1000&pageToken=t%2F1"):
        .json("{\"repositories\":[{\"id\":\"2\",\"name\":\"crp1/team/app\"}],\"nextPageToken\":\"\"}")
      case ("/container-registry/v1/images", "repositoryName=crp1%2Fteam%2Fapp&pageSize=1000"):
        .json(
          """
          {"images":[{"id":"i1","name":"crp1/team/app","digest":"\(digest("a"))","compressedSize":"28311552",
            "tags":["1.4.2"],"createdAt":"2026-02-27T09:11:42.123Z"},{"id":"i2","digest":"\(digest("b"))"}]}
          """)
      default: .reply(404)
      }
    }) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["crp1/web", "crp1/team/app"])
      #expect(summary.incomplete == nil)
      let (tags, _) = try await client.allTags(of: try #require(found.last))
      #expect(tags.map(\.tag.name) == ["1.4.2"])
      #expect(tags[0].digest == Digest(digest("a")))
      let pushed = try time("2026-02-27T09:11:42.123Z")
      #expect(tags[0].pushedAt == pushed)
      #expect(server.requests.allSatisfy { $0.headers["authorization"] == "Bearer \(canary)" })
    }
  }

  @Test(arguments: [
    (Credential.account(user: "iam", password: Secret("t1.x")), "iam:t1.x"),
    (.account(user: "oauth", password: Secret("y0_x")), "oauth:y0_x"),
    (.apiKey(Secret("t1.x")), "iam:t1.x"), (.apiKey(Secret("y0_x")), "oauth:y0_x"),
    (.account(user: "somebody", password: Secret("p")), "somebody:p"),
  ])
  func `the registry takes each secret as the password of its kind`(credential: Credential, pair: String) async throws {
    try await withYandex(
      as: credential,
      { request in
        request.headers["authorization"] == nil
          ? .reply(401, [("WWW-Authenticate", "Basic realm=\"cr.yandex\"")]) : .json("{}")
      }
    ) { client, server in
      _ = try await client.checkAPI()
      #expect(server.requests.last?.headers["authorization"] == "Basic " + Base64.encoded(Array(pair.utf8)))
    }
  }

  @Test func `an account of no kind is told what the API takes`() async throws {
    try await withYandex(as: .account(user: "somebody", password: Secret(canary)), { _ in .json("{}") }) { client, _ in
      let error = try await registryError { try await client.allRepositories() }
      #expect(error.code == .unauthorized)
      #expect(error.hint?.contains("json_key") == true)
    }
  }

  @Test func `a registry that may not be seen leaves the listing incomplete`() async throws {
    try await withYandex(
      scopes: ["crp1", "crp2"],
      { request in
        request.query.contains("crp2")
          ? .json("{\"repositories\":[{\"name\":\"crp2/web\"}]}")
          : .reply(403, [], Array("{\"code\":7,\"message\":\"Permission denied\",\"details\":[]}".utf8))
      }
    ) { client, _ in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["crp2/web"])
      #expect(summary.incomplete?.contains("Permission denied") == true)
    }
  }
}
