import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)), .enabled(if: TestKey.isPossible, "needs the openssl tool"))
struct GARDriverTests {
  /// Serves Google's API, its token service and the registry on one address.
  private func withGoogle(
    scopes: [String] = ["p"], includesRemote: Bool = false,
    _ answer: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer,
    _ body: (RegistryClient, ScriptedServer) async throws -> Void
  ) async throws {
    let key = try TestKey()
    let issued = Counter()
    try await withServer({ request in
      request.path == "/token"
        ? .json("{\"access_token\":\"ya29.\(issued.add())\",\"expires_in\":3599,\"token_type\":\"Bearer\"}")
        : answer(request)
    }) { server in
      let file = """
        {"type":"service_account","client_email":"scan@p.example.com","private_key":\(try quoted(key.pem)),
         "token_uri":"\(server.url)/token"}
        """
      let vendor = try VendorSettings(
        .gar, apiURL: server.url, scopes: scopes, region: "europe-west1", includesRemote: includesRemote)
      try await body(
        try client(server.url, vendor, .apiKey(Secret(file)), realmHosts: ["127.0.0.1"]), server)
    }
  }

  private static let areas = "/v1/projects/p/locations/europe-west1/repositories"

  private static func area(_ id: String, format: String = "DOCKER", mode: String = "STANDARD_REPOSITORY") -> String {
    """
    {"name":"projects/p/locations/europe-west1/repositories/\(id)","format":"\(format)","mode":"\(mode)"}
    """
  }

  private static func image(_ name: String, _ letter: Character, _ tags: String) -> String {
    """
    {"name":"projects/p/locations/europe-west1/repositories/docker/dockerImages/\(name)@\(digest(letter))","tags":[\(tags)],
     "uploadTime":"2026-02-27T09:11:42Z","buildTime":"2026-02-26T00:00:00Z","mediaType":"\(MediaType.ociManifest)"}
    """
  }

  @Test func `images come with their tags, whatever their order`() async throws {
    try await withGoogle({ request in
      switch (request.path, request.query) {
      case (Self.areas, "pageSize=1000"):
        .json(
          """
          {"repositories":[\(Self.area("docker")),\(Self.area("mvn", format: "MAVEN")),
           \(Self.area("cache", mode: "REMOTE_REPOSITORY")),\(Self.area("all", mode: "VIRTUAL_REPOSITORY"))]}
          """)
      case (Self.areas + "/docker/dockerImages", "pageSize=1000"):
        .json(
          """
          {"dockerImages":[\(Self.image("web", "a", "\"1.0\"")),\(Self.image("team%2Fapp", "b", "\"x\""))],
           "nextPageToken":"t"}
          """)
      case (Self.areas + "/docker/dockerImages", "pageSize=1000&pageToken=t"):
        .json("{\"dockerImages\":[\(Self.image("web", "c", "\"2.0\",\"latest\"")),\(Self.image("web", "d", ""))]}")
      default: .reply(404)
      }
    }) { client, server in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["p/docker/team/app", "p/docker/web"])
      #expect(summary.passedOver == [.remote: 1, .virtual: 1])
      #expect(summary.incomplete == nil)
      let count = server.requests.count
      let (tags, tagSummary) = try await client.allTags(of: found[1])
      #expect(tags.map(\.tag.name) == ["1.0", "2.0", "latest"])
      #expect(tags[2].digest == Digest(digest("c")))
      let (pushed, built) = (try time("2026-02-27T09:11:42Z"), try time("2026-02-26T00:00:00Z"))
      #expect(tags[2].pushedAt == pushed)
      #expect(tags[2].createdAt == built)
      #expect(tagSummary.accepted == 3)
      #expect(server.requests.count == count)
      #expect(server.requests.last?.headers["authorization"] == "Bearer ya29.1")
    }
  }

  @Test func `an access token that dies between two pages is renewed`() async throws {
    try await withGoogle({ request in
      switch (request.query, request.headers["authorization"]) {
      case ("pageSize=1000", "Bearer ya29.1"): .json("{\"repositories\":[],\"nextPageToken\":\"t\"}")
      case ("pageSize=1000&pageToken=t", "Bearer ya29.2"): .json("{\"repositories\":[]}")
      default:
        .reply(401, [], Array("{\"error\":{\"code\":401,\"message\":\"expired\",\"status\":\"UNAUTHENTICATED\"}}".utf8))
      }
    }) { client, server in
      let (_, summary) = try await client.allRepositories()
      #expect(summary.incomplete == nil)
      #expect(server.requests.filter { $0.path == "/token" }.count == 2)
    }
  }

  @Test func `a key that Google does not know is refused, once for all projects`() async throws {
    let key = try TestKey()
    try await withServer({ _ in
      .reply(400, [], Array("{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}".utf8))
    }) { server in
      let file = """
        {"type":"service_account","client_email":"a@b","private_key":\(try quoted(key.pem)),
         "token_uri":"\(server.url)/token"}
        """
      let vendor = try VendorSettings(.gar, apiURL: server.url, scopes: ["p", "q"], region: "europe-west1")
      let client = try client(server.url, vendor, .apiKey(Secret(file)), realmHosts: ["127.0.0.1"])
      let error = try await registryError { try await client.allRepositories() }
      #expect(error.code == .unauthorized)
      #expect(error.message.contains("Invalid JWT Signature."))
      #expect(server.requests.count == 1)
    }
  }

  @Test func `the token service sees a form with the assertion`() async throws {
    try await withGoogle({ _ in .json("{}") }) { client, server in
      _ = try await client.allRepositories()
      let asked = try #require(server.requests.first { $0.path == "/token" })
      #expect(asked.text.hasPrefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ"))
      #expect(asked.headers["authorization"] == nil)
    }
  }

  @Test func `without the listing, tags come from the registry's extended list`() async throws {
    try await withGoogle({ request in
      request.path == "/v2/p/docker/web/tags/list"
        ? .json(
          """
          {"child":[],"manifest":{"\(digest("a"))":{"imageSizeBytes":"100","mediaType":"\(MediaType.dockerManifest)",
           "tag":["1.0"],"timeCreatedMs":"1772183280500","timeUploadedMs":"1772183502000"}},"name":"p/docker/web",
           "tags":["1.0","2.0"]}
          """) : .json("{}")
    }) { client, server in
      let (tags, _) = try await client.allTags(of: "p/docker/web")
      #expect(tags.map(\.tag.name) == ["1.0", "2.0"])
      #expect(tags[0].createdAt == Timestamp(seconds: 1_772_183_280, nanoseconds: 500_000_000))
      #expect(tags[0].pushedAt == Timestamp(seconds: 1_772_183_502))
      #expect(tags[1].digest == nil)
      let sent = try #require(server.requests.last?.headers["authorization"])
      #expect(sent.hasPrefix("Basic " + Base64.encoded(Array("_json_key:{\"".utf8)).prefix(14)))
    }
  }

  @Test func `a project that may not be seen leaves the listing incomplete`() async throws {
    try await withGoogle(
      scopes: ["p", "q/docker"],
      { request in
        switch request.path {
        case Self.areas:
          .reply(403, [], Array("{\"error\":{\"code\":403,\"message\":\"no\",\"status\":\"PERMISSION_DENIED\"}}".utf8))
        case let path where path.hasSuffix("/repositories"):
          .json("{\"repositories\":[\(Self.area("docker")),\(Self.area("other"))]}")
        case let path where path.hasSuffix("/repositories/docker/dockerImages"):
          .json("{\"dockerImages\":[\(Self.image("web", "a", "\"1\""))]}")
        default: .reply(404)
        }
      }
    ) { client, _ in
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["q/docker/web"])
      #expect(summary.incomplete?.hasPrefix("p: ") == true)
    }
  }
}

struct RepositoryGatheringTests {
  private func tag(_ name: String) throws -> ListedTag {
    ListedTag(
      try #require(Tag(name)), digest: Digest(digest("e")), pushedAt: Timestamp(seconds: -1, nanoseconds: 7))
  }

  @Test func `what was held comes out as it went in`() async throws {
    var tags = HeldTags()
    let put = [
      try tag("1"), ListedTag(try #require(Tag("plain"))),
      ListedTag(
        try #require(Tag("all")), digest: Digest("sha512:" + String(repeating: "0f", count: 64)),
        createdAt: Timestamp(seconds: 1_772_183_502, nanoseconds: 999_999_999)),
    ]
    for tag in put { tags.append(tag) }
    var got: [ListedTag] = []
    try await tags.forEach { got.append($0) }
    #expect(got == put)
    #expect(tags.count == 3)
  }

  @Test func `too much of it is handed out without tags, each once`() throws {
    var gathering = RepositoryGathering(bytesMax: 1_000)
    var early: [String] = []
    for number in 1...20 { early += gathering.add("r\(number % 10)", try tag("\(number)")) }
    #expect(Set(early).count == 10)
    #expect(early.count == 10)
    #expect(gathering.rest().isEmpty)
  }

  @Test func `what fits is handed out at the end`() throws {
    var gathering = RepositoryGathering()
    for number in 1...20 {
      let early = gathering.add("r\(number % 2)", try tag("\(number)"))
      #expect(early.isEmpty)
    }
    let nothing = gathering.add("r3", nil)
    #expect(nothing.isEmpty)
    let rest = gathering.rest()
    #expect(rest.map(\.path) == ["r0", "r1", "r3"])
    #expect(rest.map(\.tags.count) == [10, 10, 0])
  }
}
