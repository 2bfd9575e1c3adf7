import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(2)))
struct ACRDriverTests {
  private static let tags = """
    {"registry":"x.azurecr.io","imageName":"shop/web","tags":[
     {"name":"1.4.2","digest":"\(digest("a"))","createdTime":"2026-02-27T09:11:42.1234567Z",
      "lastUpdateTime":"2026-02-28T09:11:42.1234567Z","signed":false,"changeableAttributes":{"readEnabled":true}},
     {"name":"locked","digest":"\(digest("b"))","changeableAttributes":{"readEnabled":false}}]}
    """

  @Test func `an account sees tags with digests and dates, by a token for seeing them`() async throws {
    try await withServer({ request in
      if request.path == "/oauth2/token" {
        return request.query == "service=x.azurecr.io&scope=repository%3Ashop%2Fweb%3Ametadata_read"
          && request.headers["authorization"]?.hasPrefix("Basic ") == true
          ? .json("{\"access_token\":\"m\"}") : .reply(401)
      }
      guard request.headers["authorization"] == "Bearer m" else {
        let realm = "http://\(request.headers["host"] ?? "")/oauth2/token"
        return .reply(401, [("WWW-Authenticate", "Bearer realm=\"\(realm)\",service=\"x.azurecr.io\"")])
      }
      switch (request.path, request.query) {
      case ("/acr/v1/shop/web/_tags", "n=1000&orderby=timedesc"):
        return .json(
          Self.tags, [("Link", "</acr/v1/shop/web/_tags?last=locked&n=1000&orderby=timedesc>; rel=\"next\"")])
      case ("/acr/v1/shop/web/_tags", _): return .json("{\"tags\":[{\"name\":\"0.1\"}]}")
      default: return .reply(404)
      }
    }) { server in
      let (found, summary) = try await client(server.url, VendorSettings(.acr)).allTags(of: "shop/web")
      #expect(found.map(\.tag.name) == ["1.4.2", "0.1"])
      #expect(found[0].digest == Digest(digest("a")))
      let pushed = try time("2026-02-28T09:11:42.1234567Z")
      #expect(found[0].pushedAt == pushed)
      #expect(summary.rejectedExamples.map(\.name) == ["locked"])
      #expect(server.requests.filter { $0.path == "/oauth2/token" }.count == 1)
    }
  }

  /// An Entra ID login: exchange, refresh token, token of a scope.
  private static func entra(
    _ request: ScriptedServer.Request, exchange: ScriptedServer.Answer, refreshToken: String
  ) -> ScriptedServer.Answer {
    switch request.path {
    case "/oauth2/exchange": return exchange
    case "/oauth2/token":
      guard request.method == "POST", request.text.contains("&refresh_token=\(refreshToken)") else {
        return .reply(401)
      }
      guard request.text.contains("&scope=") else { return .reply(400) }
      return .json(
        "{\"access_token\":\"\(request.text.contains("_catalog") || request.text.contains("catalog") ? "c" : "m")\"}")
    default:
      let wanted = ["/v2/", "/v2/_catalog"].contains(request.path) ? "Bearer c" : "Bearer m"
      guard request.headers["authorization"] == wanted else {
        let realm = "http://\(request.headers["host"] ?? "")/oauth2/token"
        return .reply(401, [("WWW-Authenticate", "Bearer realm=\"\(realm)\",service=\"x.azurecr.io\"")])
      }
      return request.path == "/v2/_catalog" ? .json("{\"repositories\":[\"shop/web\"]}") : .json(Self.tags)
    }
  }

  @Test func `a token of Entra ID is exchanged twice, by POST`() async throws {
    try await withServer({
      Self.entra($0, exchange: .json("{\"refresh_token\":\"refresh-1\"}"), refreshToken: "refresh-1")
    }) { server in
      let client = try client(server.url, VendorSettings(.acr), .apiKey(Secret(canary)))
      let (found, _) = try await client.allRepositories()
      #expect(found.map(\.repository.path) == ["shop/web"])
      let (tags, _) = try await client.allTags(of: found[0])
      #expect(tags.map(\.tag.name) == ["1.4.2"])
      let exchanges = server.requests.filter { $0.path == "/oauth2/exchange" }
      #expect(exchanges.count == 1)
      #expect(
        exchanges[0].text
          == "grant_type=access_token&service=127.0.0.1&access_token=CANARY-9f2c-secret%2Fslash")
      let tokens = server.requests.filter { $0.path == "/oauth2/token" }
      #expect(tokens[0].text.contains("service=x.azurecr.io&scope=registry%3Acatalog%3A%2A&refresh_token=refresh-1"))
      #expect(tokens[1].text.contains("scope=repository%3Ashop%2Fweb%3Ametadata_read"))
      #expect(!server.requests.contains { $0.headers["authorization"]?.hasPrefix("Basic") == true })
    }
  }

  @Test func `the bare API is asked with a scope too`() async throws {
    try await withServer({
      Self.entra($0, exchange: .json("{\"refresh_token\":\"refresh-1\"}"), refreshToken: "refresh-1")
    }) { server in
      let steps = try await client(server.url, VendorSettings(.acr), .apiKey(Secret(canary))).test()
      #expect(steps.first { $0.name == .authentication }?.outcome == .ok)
    }
  }

  @Test func `a refresh token of the registry serves as it is`() async throws {
    try await withServer({
      Self.entra($0, exchange: .reply(401), refreshToken: "CANARY-9f2c-secret%2Fslash")
    }) { server in
      let client = try client(server.url, VendorSettings(.acr), .apiKey(Secret(canary)))
      let (found, _) = try await client.allRepositories()
      #expect(found.count == 1)
    }
  }

  @Test func `a key that is neither is refused, without a trace of it`() async throws {
    try await withServer({ request in
      let echo = Array("{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"\(request.text) \(canary)\"}]}".utf8)
      if request.path.hasPrefix("/oauth2") { return .reply(401, [], echo) }
      let realm = "http://\(request.headers["host"] ?? "")/oauth2/token"
      return .reply(401, [("WWW-Authenticate", "Bearer realm=\"\(realm)\",service=\"x\"")])
    }) { server in
      let client = try client(server.url, VendorSettings(.acr), .apiKey(Secret(canary)))
      let error = try await registryError { try await client.allRepositories() }
      #expect(error.code == .unauthorized)
      #expect(server.requests.filter { $0.path == "/oauth2/token" }.count <= 2)
    }
  }

  @Test func `scopes narrow the catalog`() async throws {
    try await withServer({ request in
      request.path == "/v2/_catalog"
        ? .json("{\"repositories\":[\"shop\",\"shop/web\",\"shopping\",\"x\"]}") : .json("{}")
    }) { server in
      let (found, _) = try await client(server.url, VendorSettings(.acr, scopes: ["shop"])).allRepositories()
      #expect(found.map(\.repository.path) == ["shop", "shop/web"])
    }
  }
}
