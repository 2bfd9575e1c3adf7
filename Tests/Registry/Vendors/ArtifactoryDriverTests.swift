import FoundationEssentials
import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct ArtifactoryDriverTests {
  private static let keys = """
    [{"key":"docker-local","type":"LOCAL","packageType":"Docker"},{"key":"fed","type":"federated","packageType":"docker"},
     {"key":"hub","type":"REMOTE","packageType":"Docker"},{"key":"docker","type":"VIRTUAL","packageType":"Docker"},
     {"key":"oci-local","type":"LOCAL","packageType":"OCI"},{"key":"charts","type":"LOCAL","packageType":"HelmOCI"},
     {"key":"maven","type":"LOCAL","packageType":"maven"}]
    """

  private static func item(
    _ path: String, _ name: String = "manifest.json", letter: Character = "a",
    modified: String = "2026-02-27T09:11:42.100Z"
  ) -> String {
    """
    {"repo":"k","path":"\(path)","name":"\(name)","created":"2026-02-27T09:11:42.123Z","modified":"\(modified)",
     "sha256":"\(String(repeating: letter, count: 64))"}
    """
  }

  private static func results(_ items: [String], end: Int, total: Int, more: String = "") -> ScriptedServer.Answer {
    .json(
      """
      {"results":[\(items.joined(separator: ","))],"range":{"start_pos":0,"end_pos":\(end),"total":\(total)\(more)}}
      """)
  }

  /// A whole server on one address. `search` answers to a query; nil leaves the query language closed.
  private static func server(
    accepts: @escaping @Sendable (ScriptedServer.Request) -> Bool = {
      $0.headers["authorization"]?.hasPrefix("Basic ") == true
    },
    search: (@Sendable (String) -> ScriptedServer.Answer)? = nil
  ) -> ScriptedServer.Handler {
    { request in
      guard accepts(request) else {
        return .reply(401, [], Array("{\"errors\":[{\"status\":401,\"message\":\"Bad credentials\"}]}".utf8))
      }
      let version = [("X-JFrog-Version", "Artifactory/7.98.9 79809900")]
      switch request.path {
      case "/artifactory/api/system/ping": return .reply(200, version, Array("OK".utf8))
      case "/artifactory/api/repositories": return .json(keys)
      case "/artifactory/api/search/aql":
        return search.map { $0(request.text) }
          ?? .reply(403, [], Array("{\"errors\":[{\"status\":403,\"message\":\"no\"}]}".utf8))
      case "/artifactory/api/docker/docker-local/v2/_catalog":
        return catalog(request.query)
      case let path where path.hasSuffix("/_catalog"): return .json("{\"repositories\":[\"x\"]}")
      case "/v2/docker-local/team/app/tags/list":
        return .json("{\"name\":\"team/app\",\"tags\":[\"1.0\",\"\(digest("d"))\"]}")
      case "/v2/": return .json("{}")
      default: return .reply(404)
      }
    }
  }

  /// `last` is a number, and the path lacks the key.
  private static func catalog(_ query: String) -> ScriptedServer.Answer {
    switch query {
    case "n=100": .json("{\"repositories\":[\"team/app\"]}", [("Link", "</v2/_catalog?last=1&n=100>; rel=\"next\"")])
    case "last=1&n=100": .json("{\"repositories\":[\"team/web\"]}")
    case "n=1000": .json("{\"repositories\":[\"team/app\",\"team/web\"]}")
    default: .reply(400)
    }
  }

  private static func searching(
    _ search: @escaping @Sendable (String) -> ScriptedServer.Answer
  ) -> ScriptedServer.Handler { server(search: search) }

  @Test func `local and federated keys are listed, each by its native catalog`() async throws {
    try await withServer(Self.server()) { server in
      let (found, summary) = try await client(server.url, VendorSettings(.artifactory)).allRepositories()
      #expect(
        found.map(\.repository.path) == ["docker-local/team/app", "docker-local/team/web", "fed/x", "oci-local/x"])
      #expect(summary.passedOver == [.remote: 1, .virtual: 1])
      #expect(summary.incomplete == nil)
    }
  }

  @Test func `a key in the address means that key`() async throws {
    try await withServer(Self.server()) { server in
      let (found, summary) = try await client(server.url + "/fed", VendorSettings(.artifactory)).allRepositories()
      #expect(found.map(\.repository.path) == ["fed/x"])
      #expect(summary.passedOver.isEmpty)
      let (none, virtual) = try await client(server.url + "/docker", VendorSettings(.artifactory)).allRepositories()
      #expect(none.isEmpty)
      #expect(virtual.passedOver == [.virtual: 1])
      let (_, missing) = try await client(server.url, VendorSettings(.artifactory, scopes: ["vault"])).allRepositories()
      #expect(missing.incomplete?.contains("vault") == true)
    }
  }

  @Test func `a search gives tags with digests and dates, page by page`() async throws {
    try await withServer(
      Self.searching { query in
        guard query.contains("\"repo\":\"docker-local\",\"path\":{\"$match\":\"team/app/*\"}") else {
          return .reply(400)
        }
        return query.contains(".offset(0).limit(1000)")
          ? Self.results(
            [
              Self.item("team/app/1.0"), Self.item("team/app/sub/9.9"), Self.item("team/app/_uploads"),
              Self.item("team/app/\(digest("e"))"), Self.item("team/app/sha256__ee"),
            ], end: 5, total: 7)
          : Self.results(
            [
              Self.item("team/app/2.0", letter: "b", modified: "2026-03-01T11:11:42.123+02:00"),
              Self.item("team/app/1.0", "list.manifest.json", letter: "c", modified: "2026-03-02T00:00:00.000Z"),
            ], end: 7, total: 7)
      }
    ) { server in
      let (found, summary) = try await client(server.url, VendorSettings(.artifactory))
        .allTags(of: "docker-local/team/app")
      #expect(found.map(\.tag.name) == ["1.0", "2.0"])
      #expect(found[0].digest == Digest(digest("c")))
      let pushed = try time("2026-03-01T09:11:42.123Z")
      #expect(found[1].pushedAt == pushed)
      #expect(summary.incomplete == nil)
      let searches = server.requests.filter { $0.path.hasSuffix("/aql") }
      #expect(searches.count == 2)
      #expect(searches[0].headers["content-type"] == "text/plain")
      #expect(searches[1].text.contains(".offset(5)"))
      #expect(!searches[0].text.contains("sort"))
    }
  }

  @Test func `a search that the server cuts is incomplete`() async throws {
    try await withServer(
      Self.searching { _ in
        Self.results([Self.item("team/app/1.0")], end: 1, total: 1, more: ",\"notification\":\"results are trimmed\"")
      }
    ) { server in
      let (_, summary) = try await client(server.url, VendorSettings(.artifactory)).allTags(of: "docker-local/team/app")
      #expect(summary.incomplete?.contains("results are trimmed") == true)
    }
  }

  @Test func `a search that ends early is incomplete`() async throws {
    try await withServer(
      Self.searching { query in
        query.contains(".offset(0)")
          ? Self.results([Self.item("team/app/1.0")], end: 1, total: 3) : Self.results([], end: 1, total: 3)
      }
    ) { server in
      let (found, summary) = try await client(server.url, VendorSettings(.artifactory))
        .allTags(of: "docker-local/team/app")
      #expect(found.count == 1)
      #expect(summary.incomplete?.contains("counts 3 entries") == true)
    }
  }

  @Test func `without searches the distribution's list serves, and they are not asked for again`() async throws {
    try await withServer(Self.server()) { server in
      let client = try client(server.url, VendorSettings(.artifactory))
      for _ in 1...2 {
        let (found, _) = try await client.allTags(of: "docker-local/team/app")
        #expect(found.map(\.tag.name) == ["1.0"])
      }
      #expect(server.requests.filter { $0.path.hasSuffix("/aql") }.count == 1)
    }
  }

  @Test func `cached images of a remote key come from its cache`() async throws {
    try await withServer(
      Self.searching { query in
        query.contains("\"repo\":\"hub-cache\"")
          ? Self.results(
            [Self.item("library/alpine/3.18"), Self.item("library/alpine/3.19", letter: "b")], end: 2, total: 2)
          : .reply(400)
      }
    ) { server in
      let vendor = try VendorSettings(.artifactory, scopes: ["hub"], includesRemote: true)
      let client = try client(server.url, vendor)
      let (found, summary) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["hub/library/alpine"])
      #expect(found[0].kind == .remote)
      #expect(summary.incomplete == nil)
      let (tags, _) = try await client.allTags(of: found[0])
      #expect(tags.map(\.tag.name) == ["3.18", "3.19"])
      #expect(!server.requests.contains { $0.path.contains("/hub/") })
    }
  }

  @Test(arguments: [
    ("AKC" + canary, "x-jfrog-art-api", 1), ("eyJ" + canary, "authorization", 1), (canary, "authorization", 2),
  ])
  func `a key is sent as what it is taken for`(secret: String, header: String, tries: Int) async throws {
    let wanted = header == "authorization" ? "Bearer " + secret : secret
    try await withServer(Self.server(accepts: { $0.headers[header] == wanted })) { server in
      let client = try client(server.url, VendorSettings(.artifactory), .apiKey(Secret(secret)))
      let (found, _) = try await client.allRepositories()
      #expect(found.count == 4)
      #expect(server.requests.filter { $0.path.hasSuffix("/ping") }.count == tries)
      _ = try await client.checkAPI()
      let last = try #require(server.requests.last)
      #expect(last.path == "/v2/" && last.headers[header] == wanted)
    }
  }

  @Test func `a key that is refused either way is refused`() async throws {
    try await withServer(Self.server(accepts: { _ in false })) { server in
      let client = try client(server.url, VendorSettings(.artifactory), .apiKey(Secret(canary)))
      let error = try await registryError { try await client.allRepositories() }
      #expect(error.code == .unauthorized)
      #expect(error.message.contains("Bad credentials"))
    }
  }

  @Test func `by port the key is in names alone, and found by what it holds`() async throws {
    let handler = Self.server()
    try await withServer(handler) { main in
      try await withServer({ request in
        switch request.path {
        case "/v2/_catalog":
          Self.catalog(request.query)
        case "/v2/team/app/tags/list": .json("{\"tags\":[\"1.0\"]}")
        case "/v2/": .json("{}")
        default: .reply(404)
        }
      }) { port in
        let given = try VendorSettings(
          .artifactory, apiURL: main.url, repositoryKeys: ["docker-local"], repositoryAccess: .port)
        let client = try client(port.url, given)
        let (found, _) = try await client.allRepositories()
        #expect(found.map(\.repository.path) == ["docker-local/team/app", "docker-local/team/web"])
        let route = try await client.driver.route(for: repository("docker-local/team/app"))
        #expect(route.base.text == port.url && route.name.path == "team/app")
        let error = try await registryError { try await client.driver.route(for: repository("other/app")) }
        #expect(error.message.contains("docker-local alone"))

        let found2 = try VendorSettings(.artifactory, apiURL: main.url, repositoryAccess: .port)
        let discovering = RegistryClient(
          try RegistryEndpoint(url: port.url, vendor: found2, credential: account), transport: patient)
        let route2 = try await discovering.driver.route(for: repository("docker-local/team/app"))
        #expect(route2.name.path == "team/app")
        let error2 = try await registryError { try await discovering.driver.route(for: repository("other/app")) }
        #expect(error2.message.contains("docker-local alone"))
      }
    }
  }

  @Test func `by port a key that cannot be told from others is asked for`() async throws {
    try await withServer(Self.server()) { main in
      try await withServer({ _ in .json("{\"repositories\":[\"x\"]}") }) { port in
        let vendor = try VendorSettings(.artifactory, apiURL: main.url, repositoryAccess: .port)
        let error = try await registryError { try await client(port.url, vendor).allRepositories() }
        #expect(error.message.contains("3 keys hold the same images"))
        #expect(error.hint?.contains("--repository-key") == true)
      }
    }
  }

  @Test func `by port without the product's API only the key's name is needed`() async throws {
    try await withServer({ request in
      switch request.path {
      case "/v2/_catalog": .json("{\"repositories\":[\"team/app\"]}")
      case "/v2/": .json("{}")
      default: .reply(404)
      }
    }) { server in
      let vendor = try VendorSettings(
        .artifactory, apiURL: server.url, repositoryKeys: ["docker-local"], repositoryAccess: .port)
      let (found, _) = try await client(server.url, vendor).allRepositories()
      #expect(found.map(\.repository.path) == ["docker-local/team/app"])
      let nameless = try VendorSettings(.artifactory, apiURL: server.url, repositoryAccess: .port)
      let error = try await registryError { try await client(server.url, nameless).allRepositories() }
      #expect(error.hint?.contains("--repository-key") == true)
    }
  }

  @Test(arguments: [
    ("https://art.example.com", "docker-local/team/app", "https://docker-local.art.example.com"),
    ("https://docker-local.art.example.com", "docker-local/team/app", "https://docker-local.art.example.com"),
  ])
  func `by subdomain the key stands before the host`(url: String, path: String, base: String) async throws {
    try await withServer(Self.server()) { server in
      let client = try client(
        url, VendorSettings(.artifactory, apiURL: server.url + "/artifactory", repositoryAccess: .subdomain))
      let route = try await client.driver.route(for: repository(path))
      #expect(route.base.text == base)
      #expect(route.name.path == "team/app")
    }
  }

  @Test func `by repository path the key stays in the path`() async throws {
    let client = try client("https://art.example.com/docker-local", VendorSettings(.artifactory))
    let route = try await client.driver.route(for: repository("docker-local/team/app"))
    #expect(route.base.text == "https://art.example.com")
    #expect(route.name.path == "docker-local/team/app")
    let error = try await registryError { try await client.driver.route(for: repository("app")) }
    #expect(error.hint?.contains("REPOSITORY-KEY") == true)
  }

  @Test func `the connection test tells version, rights and what the secret is`() async throws {
    try await withServer(
      Self.server(accepts: { $0.headers["authorization"]?.hasPrefix("Bearer eyJ") == true }) { _ in
        Self.results([], end: 0, total: 0)
      }
    ) { server in
      let token = "eyJh.\(JSONWebToken.base64URL(Data("{\"exp\":1772400000}".utf8))).c2ln"
      let steps = try await client(server.url, VendorSettings(.artifactory), .apiKey(Secret(token))).test()
      let text = steps.map { "\($0.detail) \($0.hint ?? "")" }.joined(separator: "\n")
      // No image is served to be read.
      #expect(outcomes(steps).allSatisfy { $0.value != .failed || $0.key == .read }, "\(text)")
      #expect(text.contains("Artifactory/7.98.9"))
      #expect(text.contains("2026-03-01T21:20:00Z"))
      #expect(text.contains("docker-local may be read"))
    }
  }
}
