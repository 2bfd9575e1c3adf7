import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct ECRDriverTests {
  private static let key = Credential.account(user: "AKIAEXAMPLE", password: Secret(canary))

  /// Serves the API and `/v2/` on one address.
  private func withECR(
    scopes: [String] = [], includesRemote: Bool = false, sessionToken: Secret? = nil,
    transport: HTTPTransport = patient,
    _ answer: @escaping @Sendable (_ action: String, _ request: ScriptedServer.Request) -> ScriptedServer.Answer,
    _ body: (RegistryClient, ScriptedServer) async throws -> Void
  ) async throws {
    try await withServer({ request in
      answer(request.headers["x-amz-target"]?.split(separator: ".").last.map(String.init) ?? "v2", request)
    }) { server in
      let vendor = try VendorSettings(
        .ecr, apiURL: server.url, scopes: scopes, region: "eu-west-1", includesRemote: includesRemote,
        sessionToken: sessionToken)
      try await body(try client(server.url, vendor, Self.key, transport: transport), server)
    }
  }

  private static func failure(_ type: String, status: Int = 400) -> ScriptedServer.Answer {
    .reply(status, [], Array("{\"__type\":\"com.amazonaws.ecr#\(type)\",\"message\":\"no, \(canary)\"}".utf8))
  }

  @Test func `repositories come page by page, cached ones apart`() async throws {
    try await withECR({ action, request in
      switch (action, request.text.contains("nextToken\":\"two")) {
      case ("DescribePullThroughCacheRules", _):
        .json("{\"pullThroughCacheRules\":[{\"ecrRepositoryPrefix\":\"hub\",\"registryId\":\"1\"}],\"nextToken\":null}")
      case ("DescribeRepositories", false):
        .json(
          "{\"repositories\":[{\"repositoryName\":\"shop/web\"},{\"repositoryName\":\"hub/alpine\"}],\"nextToken\":\"two\"}"
        )
      case ("DescribeRepositories", true):
        .json("{\"repositories\":[{\"repositoryName\":\"hubble\"},{\"repositoryName\":\"Bad\"}]}")
      default: .reply(404)
      }
    }) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web", "hubble"])
      #expect(summary.passedOver == [.remote: 1])
      #expect(summary.rejected == 1)
      #expect(summary.incomplete == nil)
      let request = try #require(server.requests.last)
      let signature = try #require(request.headers["authorization"])
      #expect(signature.hasPrefix("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"))
      #expect(signature.contains("/eu-west-1/ecr/aws4_request, SignedHeaders="))
      #expect(request.headers["content-type"] == "application/x-amz-json-1.1")
      #expect(request.text.contains("\"maxResults\":1000"))
    }
  }

  @Test func `scopes narrow by prefix and name the account`() async throws {
    try await withECR(
      scopes: ["123456789012", "shop"],
      { action, _ in
        action == "DescribeRepositories"
          ? .json("{\"repositories\":[{\"repositoryName\":\"shop/web\"},{\"repositoryName\":\"shopping\"}]}")
          : Self.failure("AccessDeniedException")
      }
    ) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web"])
      #expect(summary.incomplete == nil)
      #expect(server.requests.allSatisfy { $0.text.contains("\"registryId\":\"123456789012\"") })
    }
  }

  @Test func `tags come with digest, push date and kind`() async throws {
    let images = """
      {"imageDetails":[
       {"imageDigest":"\(digest("a"))","imageTags":["1.0","latest"],"imagePushedAt":1772183502.5,
        "imageManifestMediaType":"\(MediaType.dockerManifest)",
        "artifactMediaType":"application/vnd.docker.container.image.v1+json","imageStatus":"ACTIVE"},
       {"imageDigest":"\(digest("b"))","imageTags":["old"],"imageStatus":"ARCHIVED"},
       {"imageDigest":"\(digest("c"))","imageTags":["chart"],"artifactMediaType":"application/vnd.cncf.helm.config.v1+json"},
       {"imageTags":7},{"imageDigest":"nonsense","imageTags":["odd"],"imagePushedAt":1e300}],"nextToken":null}
      """
    try await withECR({ _, _ in .json(images) }) { client, server in
      let (found, summary) = try await client.allTags(of: "shop/web")
      #expect(found.map(\.tag.name) == ["1.0", "latest", "chart", "odd"])
      #expect(found.map(\.isOther) == [false, false, true, false])
      #expect(found[0].digest == Digest(digest("a")))
      #expect(found[0].pushedAt == Timestamp(seconds: 1_772_183_502, nanoseconds: 500_000_000))
      #expect(found[3].digest == nil && found[3].pushedAt == nil)
      #expect(summary.rejected == 2)
      #expect(server.requests.first?.text.contains("\"tagStatus\":\"TAGGED\"") == true)
    }
  }

  @Test(arguments: [
    ScriptedServer.Answer.reply(401, [("WWW-Authenticate", "Basic realm=\"ecr\"")]),
    .reply(403, [], Array("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"Your token has expired.\"}]}".utf8)),
  ])
  func `the registry's password is fetched, used and renewed`(refusal: ScriptedServer.Answer) async throws {
    let fetched = Counter()
    try await withECR({ action, request in
      if action == "GetAuthorizationToken" {
        let token = Base64.encoded(Array("AWS:password-\(fetched.add())".utf8))
        return .json(
          "{\"authorizationData\":[{\"authorizationToken\":\"\(token)\",\"expiresAt\":99999999999.1}]}")
      }
      // The first password has died.
      switch request.headers["authorization"] {
      case "Basic " + Base64.encoded(Array("AWS:password-2".utf8)): return .json("{}")
      case nil: return .reply(401, [("WWW-Authenticate", "Basic realm=\"ecr\"")])
      default: return refusal
      }
    }) { client, server in
      let version = try await client.checkAPI()
      #expect(version.authentication == .basic)
      #expect(fetched.count == 2)
      _ = try await client.checkAPI()
      #expect(fetched.count == 2)
    }
  }

  @Test func `a temporary key sends its token, signed`() async throws {
    try await withECR(
      sessionToken: Secret("session-" + canary), { _, _ in .json("{\"imageDetails\":[]}") }
    ) { client, server in
      _ = try await client.allTags(of: "shop/web")
      let request = try #require(server.requests.last)
      #expect(request.headers["x-amz-security-token"] == "session-" + canary)
      #expect(request.headers["authorization"]?.contains("x-amz-security-token") == true)
    }
  }

  @Test(arguments: [
    ("AccessDeniedException", RegistryError.Code.forbidden),
    ("UnrecognizedClientException", .unauthorized), ("InvalidSignatureException", .unauthorized),
    ("ExpiredTokenException", .unauthorized), ("RepositoryNotFoundException", .notFound),
    ("ValidationException", .requestRefused),
  ])
  func `failures mean what their type says`(type: String, code: RegistryError.Code) async throws {
    try await withECR({ _, _ in Self.failure(type) }) { client, _ in
      let error = try await registryError { try await client.allTags(of: "shop/web") }
      #expect(error.code == code)
      #expect(error.message.contains(type))
    }
  }

  @Test func `a throttle of status 400 is waited for`() async throws {
    let asked = Counter()
    let persistent = HTTPTransport(retries: RetryPolicy(retriesMax: 1, delay: .milliseconds(1)))
    try await withECR(
      transport: persistent,
      { _, _ in
        asked.add() > 1
          ? .json("{\"imageDetails\":[]}")
          : .reply(400, [("Retry-After", "1")], Array("{\"__type\":\"ThrottlingException\"}".utf8))
      }
    ) { client, _ in
      let (_, summary) = try await client.allTags(of: "shop/web")
      #expect(summary.incomplete == nil)
      #expect(asked.count == 2)
    }
  }

  @Test func `without a region nothing is guessed`() async throws {
    let client = try client("https://ecr.example.com", VendorSettings(.ecr), Self.key)
    let error = try await registryError { try await client.allRepositories() }
    #expect(error.hint?.contains("--region") == true)
  }

  @Test func `another account than the address's is refused`() async throws {
    let client = try client(
      "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com", VendorSettings(.ecr, scopes: ["210987654321"]), Self.key)
    let error = try await registryError { try await client.allRepositories() }
    #expect(error.code == .requestRefused)
  }

  @Test func `the connection test tells of the missing right`() async throws {
    try await withECR({ action, _ in
      switch action {
      case "GetAuthorizationToken":
        .json("{\"authorizationData\":[{\"authorizationToken\":\"QVdTOnBhc3M=\",\"expiresAt\":1772400000.1}]}")
      case "DescribePullThroughCacheRules": Self.failure("AccessDeniedException")
      case "DescribeRepositories": .json("{\"repositories\":[{\"repositoryName\":\"shop/web\"}]}")
      default: .json("{}")
      }
    }) { client, _ in
      let steps = try await client.test()
      #expect(outcomes(steps)[.vendor] == .ok)
      #expect(outcomes(steps)[.rights] == .failed)
      #expect(outcomes(steps)[.repositories] == .ok)
      let text = steps.map { "\($0.detail) \($0.hint ?? "")" }.joined(separator: "\n")
      #expect(text.contains("2026-03-01T21:20:00Z"))
      #expect(text.contains("ecr:DescribePullThroughCacheRules"))
      #expect(!text.contains("CANARY"))
    }
  }
}
