import FoundationEssentials
import Model
import Posix
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(1)))
struct AuthenticationTests {
  let image = TestImage(layers: [])

  private var served: ScriptedServer.Answer { .reply(200, [("Content-Type", MediaType.ociManifest)], image.manifest) }

  private static func challenge(_ realm: String, _ rest: String = "") -> ScriptedServer.Answer {
    .reply(401, [("Www-Authenticate", "Bearer realm=\"\(realm)\",service=\"reg\"\(rest)")])
  }

  /// A registry with a token service under `/token` of its own; `token` answers there.
  private func withTokenRegistry(
    scope: String = "", accepts: @escaping @Sendable (String) -> Bool = { $0 == "Bearer T1" },
    token: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Answer = { _ in
      .json(#"{"token":"T1","expires_in":300}"#)
    }, _ body: (ScriptedServer) async throws -> Void
  ) async throws {
    let served = served
    let url = Box()
    try await withServer({ request in
      if request.path == "/token" { return token(request) }
      guard accepts(request.headers["authorization"] ?? "") else {
        return Self.challenge(url.value + "/token", scope)
      }
      return request.path == "/v2/" ? .json("{}") : served
    }) { server in
      url.set(server.url)
      try await body(server)
    }
  }

  private func fetch(_ client: RegistryClient, _ name: String = "latest") async throws -> FetchedManifest {
    try await client.fetchManifest(tag(name), in: repository("team/app"))
  }

  @Test func `a token is fetched with the account and the scope, and kept`() async throws {
    try await withTokenRegistry { server in
      let client = try client(server, account)
      for _ in 0..<3 { _ = try await fetch(client) }
      let tokens = server.requests.filter { $0.path == "/token" }
      #expect(tokens.map(\.query) == ["service=reg&scope=repository%3Ateam%2Fapp%3Apull"])
      let basic = "Basic " + Data("scanner:\(canary)".utf8).base64EncodedString()
      #expect(tokens.first?.headers["authorization"] == basic)
      // The password goes to the token service alone.
      #expect(server.requests.filter { $0.path != "/token" }.allSatisfy { $0.headers["authorization"] != basic })
    }
  }

  @Test func `requests that need the same token wait for one`() async throws {
    try await withTokenRegistry { server in
      let client = try client(server)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<20 { group.addTask { _ = try await fetch(client) } }
        try await group.waitForAll()
      }
      #expect(server.requests.count { $0.path == "/token" } == 1)
      #expect(server.requests.count { $0.path == "/v2/" } == 1)
      #expect(server.requests.first { $0.path == "/token" }?.headers["authorization"] == nil)
    }
  }

  /// As Docker Hub's registry does at times.
  @Test func `a token that is refused without a challenge is renewed where the first one came from`() async throws {
    let url = Box()
    let count = Counter()
    let served = served
    try await withServer({ request in
      switch (request.path, request.headers["authorization"] ?? "") {
      case ("/token", _): .json("{\"token\":\"T\(count.add())\"}")
      case ("/v2/", _): Self.challenge(url.value + "/token")
      case (_, "Bearer T2"): served
      default: .reply(401)
      }
    }) { server in
      url.set(server.url)
      _ = try await fetch(client(server, account))
      // The password goes to the token service alone.
      #expect(
        server.requests.allSatisfy {
          $0.path == "/token" || $0.headers["authorization"]?.hasPrefix("Basic ") != true
        })
    }
  }

  /// H25.
  @Test func `a token that is refused is renewed once a request`() async throws {
    let count = Counter()
    try await withTokenRegistry(accepts: { _ in false }, token: { _ in .json("{\"token\":\"T\(count.add())\"}") }) {
      server in
      let error = try await registryError { try await fetch(client(server, account)) }
      #expect(error.code == .unauthorized)
      #expect(!error.isTransient)
      #expect(count.count == 2)
    }
  }

  @Test func `a token that died early is renewed`() async throws {
    let count = Counter()
    try await withTokenRegistry(
      accepts: { $0 == "Bearer T\(count.count)" },
      token: { _ in .json("{\"access_token\":\"T\(count.add())\",\"token\":\"\"}") }
    ) { server in
      let client = try client(server)
      _ = try await fetch(client)
      // Somebody else's login makes ours void.
      count.add()
      _ = try await fetch(client)
      #expect(count.count == 3)
    }
  }

  @Test func `a scope the registry insists on is taken, cut down to reading`() async throws {
    try await withTokenRegistry(
      scope: ",scope=\"repository:key/team/app:pull,push,delete\"", accepts: { $0 == "Bearer good" },
      token: { request in
        .json(#"{"token":""# + (request.query.contains("key%2Fteam") ? "good" : "poor") + #""}"#)
      }
    ) { server in
      let client = try client(server)
      _ = try await fetch(client)
      _ = try await fetch(client)
      #expect(
        server.requests.filter { $0.path == "/token" }.map(\.query) == [
          "service=reg&scope=repository%3Ateam%2Fapp%3Apull",
          "service=reg&scope=repository%3Akey%2Fteam%2Fapp%3Apull",
        ])
    }
  }

  @Test func `a scope of another repository is not asked for`() {
    let own = Scope.pull(Repository("team/app") ?? { preconditionFailure() }())
    #expect(Scope(challenge: "repository:team/other:pull", wanted: own) == nil)
    #expect(Scope(challenge: "registry:catalog:*", wanted: own) == nil)
    #expect(Scope(challenge: "repository:team/app:push", wanted: own) == nil)
    #expect(Scope(challenge: "repository:steam/app:pull", wanted: own) == nil)
    #expect(Scope(challenge: "repository:team/app:pull,push", wanted: own) == nil)
    #expect(
      Scope(challenge: "repository:host:5000/team/app:metadata_read,pull", wanted: own)?.description
        == "repository:host:5000/team/app:metadata_read,pull")
  }

  /// H21.
  @Test func `a token service on another host gets nothing unless it is allowed by name`() async throws {
    try await withServer(host: "127.0.0.2", { _ in .json(#"{"token":"T1"}"#) }) { realm in
      let served = served
      try await withServer({ request in
        if request.headers["authorization"] == "Bearer T1" { return served }
        return Self.challenge(realm.url + "/token")
      }) { server in
        let error = try await registryError { try await fetch(client(server, account)) }
        #expect(error.code == .realmNotAllowed)
        #expect(!error.isTransient)
        #expect(error.hint?.contains("--allow-realm-host 127.0.0.2") == true)
        #expect(realm.requests.isEmpty)
        _ = try await fetch(client(server, account, realmHosts: ["127.0.0.2"]))
        #expect(realm.requests.count == 1)
      }
    }
  }

  /// H22.
  @Test(arguments: [
    "http://user:pw@127.0.0.1/token", "http://127.0.0.1/token#part", "ftp://127.0.0.1/token", "", "/token",
    "http://169.254.169.254/token",
  ])
  func `realms of other forms are refused`(realm: String) async throws {
    try await withServer({ _ in Self.challenge(realm) }) { server in
      let error = try await registryError { try await fetch(client(server, account)) }
      #expect(error.code == .realmNotAllowed)
    }
  }

  @Test func `an allowed realm at a metadata address is refused before a packet leaves`() async throws {
    try await withServer({ _ in Self.challenge("http://169.254.169.254/token") }) { server in
      let error = try await registryError {
        try await fetch(client(server, account, realmHosts: ["169.254.169.254"]))
      }
      #expect(error.code == .addressRefused)
    }
  }

  /// H24.
  @Test func `the token service does not redirect`() async throws {
    try await withServer({ _ in .json(#"{"token":"T1"}"#) }) { other in
      try await withTokenRegistry(token: { _ in .reply(307, [("Location", other.url + "/token")]) }) { server in
        let error = try await registryError { try await fetch(client(server, account)) }
        #expect(error.code == .redirectRefused)
        #expect(other.requests.isEmpty)
      }
    }
  }

  /// H26.
  @Test(arguments: [
    "{}", "[]", "no JSON", #"{"token":7}"#, #"{"token":"a\r\nX-Evil: 1"}"#, #"{"token":""}"#, #"{"token":"ä"}"#,
  ])
  func `a token answer that holds no token is malformed`(answer: String) async throws {
    try await withTokenRegistry(token: { _ in .json(answer) }) { server in
      let error = try await registryError { try await fetch(client(server)) }
      #expect(error.code == .malformed)
      #expect(!error.isTransient)
    }
  }

  /// H26.
  @Test(arguments: [(40_000, RegistryError.Code.malformed), (10 << 20, .tooLarge)])
  func `a token of any length is cut off`(length: Int, code: RegistryError.Code) async throws {
    let answer = #"{"token":""# + String(repeating: "t", count: length) + #""}"#
    try await withTokenRegistry(token: { _ in .json(answer) }) { server in
      let error = try await registryError { try await fetch(client(server)) }
      #expect(error.code == code)
    }
  }

  /// H26.
  @Test(arguments: ["0", "-1", "9223372036854775807", "9223372036854775808", "\"abc\"", "1.5", "null", "{}"])
  func `a token lives between a minute and a day whatever is said`(life: String) throws {
    let now = ContinuousClock.now
    let service = try WebAddress("http://127.0.0.1/token")
    let token = try BearerToken(
      answer: Array("{\"token\":\"T\",\"expires_in\":\(life)}".utf8), from: service, receivedAt: now)
    #expect(token.isUsable(at: now + .seconds(40)))
    #expect(!token.isUsable(at: now + .seconds(24 * 60 * 60)))
  }

  @Test func `an account is sent by Basic where that is asked for`() async throws {
    let served = served
    try await withServer({ request in
      guard request.headers["authorization"]?.hasPrefix("Basic ") == true else {
        return .reply(401, [("WWW-Authenticate", "BASIC realm=\"Registry Realm\"")])
      }
      return request.path == "/v2/" ? .json("{}") : served
    }) { server in
      let client = try client(server, account)
      _ = try await fetch(client)
      #expect(try await client.checkAPI().authentication == .basic)
      let error = try await registryError { try await fetch(self.client(server)) }
      #expect(error.code == .unauthorized)
    }
  }

  private func client(_ server: ScriptedServer) throws -> RegistryClient { try RegistryTests.client(server) }
  private func client(
    _ server: ScriptedServer, _ credential: Credential, realmHosts: [String] = []
  ) throws -> RegistryClient { try RegistryTests.client(server, credential, realmHosts: realmHosts) }

  @Test func `a Basic challenge for one path after a Bearer one for another is answered`() async throws {
    let url = Box()
    try await withServer({ request in
      let sent = request.headers["authorization"] ?? ""
      switch request.path {
      case "/token": return .json(#"{"token":"T1"}"#)
      case "/v2/_catalog":
        return sent.hasPrefix("Basic ")
          ? .json(#"{"repositories":["a"]}"#) : .reply(401, [("WWW-Authenticate", "Basic realm=x")])
      default: return Self.challenge(url.value + "/token")
      }
    }) { server in
      url.set(server.url)
      let summary = try await client(server, account).repositories { _ in }
      #expect(summary.accepted == 1)
    }
  }

  @Test func `an API key is sent as it is, and never to a token service`() async throws {
    let served = served
    try await withServer({ request in
      request.headers["authorization"] == "Bearer key-\(canary)" ? served : Self.challenge("http://127.0.0.1:1/token")
    }) { server in
      _ = try await fetch(client(server, .apiKey(Secret("key-\(canary)"))))
      let error = try await registryError { try await fetch(client(server, .apiKey(Secret("wrong-\(canary)")))) }
      #expect(error.code == .unauthorized)
    }
  }

  /// H30.
  @Test(arguments: ["application/json", "text/plain"])
  func `an echo of the credential is not repeated`(type: String) async throws {
    try await withServer({ request in
      if request.path == "/v2/" { return .json("{}") }
      let sent = request.headers["authorization"] ?? ""
      let padding = String(repeating: "p", count: 280)
      let words = "you sent \(sent) or \(canary) or \(padding)\(sent)"
      let body = type == "text/plain" ? words : #"{"errors":[{"code":"DENIED","message":"\#(words)"}]}"#
      return .reply(403, [("Content-Type", type)], Array(body.utf8))
    }) { server in
      for credential in [account, .apiKey(Secret(canary))] {
        let error = try await registryError { try await fetch(client(server, credential)) }
        #expect(error.code == .forbidden)
        #expect(error.message.contains("[redacted]"))
        #expect(!error.message.contains("Basic"))
      }
    }
  }

  @Test func `an echo in a field, a key or a name is not repeated either`() async throws {
    let token = String(repeating: "CANARY-token-", count: 100)
    try await withServer({ request in
      let sent = request.headers["authorization"] ?? ""
      switch request.path {
      case "/v2/": return .json("{}")
      case "/v2/a/manifests/type": return .json("{\"schemaVersion\":2,\"mediaType\":\"\(sent)\"}")
      case "/v2/a/manifests/key": return .json("{\"\(sent)\":1,\"\(sent)\":2}")
      case "/v2/a/manifests/moved": return .reply(302, [("Location", "ftp://127.0.0.1/\(sent.dropFirst(7))")])
      default: return .json("{\"repositories\":[\"\(sent)\"]}")
      }
    }) { server in
      let client = try client(server, .apiKey(Secret(token)))
      for name in ["type", "key", "moved"] {
        _ = try await registryError { try await client.fetchManifest(tag(name), in: repository("a")) }
      }
      let summary = try await client.repositories { _ in }
      #expect(summary.rejected == 1)
      #expect(!"\(summary)".contains("CANARY"))
    }
  }

  @Test func `credentials print as nothing`() {
    for credential in [account, .apiKey(Secret(canary))] {
      var dumped = ""
      dump(credential, to: &dumped)
      #expect(!"\(credential) \(String(reflecting: credential)) \(dumped)".contains("CANARY"))
    }
  }
}
