import Model
import TestSupport
import Testing

@testable import Registry

/// Redirects are followed by our rules: the credential stays with the registry's own origin.
@Suite(.timeLimit(.minutes(1)))
struct RedirectTests {
  let layer = noise(50_000)

  private func read(_ client: RegistryClient) async throws -> [UInt8] {
    try await readAll(client.openBlob(descriptor(of: layer), in: repository("team/app")))
  }

  private static func redirecting(to location: String, status: Int = 307) -> ScriptedServer.Handler {
    { request in
      if request.path == "/v2/" { return .json("{}") }
      return .reply(status, [("Location", location)])
    }
  }

  @Test(arguments: [301, 302, 303, 307, 308])
  func `a blob elsewhere is read without the credential`(status: Int) async throws {
    try await withServer(host: "127.0.0.2", { [layer] _ in .reply(200, [], layer) }) { store in
      try await withServer(Self.redirecting(to: store.url + "/bucket?signature=1", status: status)) { server in
        let bytes = try await read(client(server, account))
        #expect(bytes == layer)
        #expect(server.requests.last?.headers["authorization"] != nil)
        #expect(store.requests.map(\.target) == ["/bucket?signature=1"])
        #expect(store.requests.allSatisfy { $0.headers["authorization"] == nil })
      }
    }
  }

  @Test func `the same host at another port is another origin`() async throws {
    try await withServer({ [layer] _ in .reply(200, [], layer) }) { store in
      try await withServer(Self.redirecting(to: store.url + "/x")) { server in
        _ = try await read(client(server, account))
        #expect(store.requests.allSatisfy { $0.headers["authorization"] == nil })
      }
    }
  }

  @Test func `a redirect within the registry keeps the credential`() async throws {
    try await withServer({ [layer] request in
      switch request.path {
      case "/v2/": .json("{}")
      case "/moved": .reply(200, [], layer)
      default: .reply(302, [("Location", "/moved")])
      }
    }) { server in
      _ = try await read(client(server, account))
      #expect(server.requests.last?.headers["authorization"] != nil)
    }
  }

  @Test func `once it has left, the credential does not come back`() async throws {
    let home = Box()
    try await withServer(host: "127.0.0.2", { _ in .reply(302, [("Location", home.value + "/back")]) }) { away in
      try await withServer({ [layer] request in
        switch request.path {
        case "/v2/": .json("{}")
        case "/back": .reply(200, [], layer)
        default: .reply(302, [("Location", away.url + "/x")])
        }
      }) { server in
        home.set(server.url)
        _ = try await read(client(server, account))
        #expect(server.requests.last?.path == "/back")
        #expect(server.requests.last?.headers["authorization"] == nil)
      }
    }
  }

  @Test func `a challenge from where a redirect led is not answered`() async throws {
    try await withServer(
      host: "127.0.0.2", { _ in .reply(401, [("WWW-Authenticate", "Basic realm=\"x\"")]) }
    ) { away in
      try await withServer(Self.redirecting(to: away.url + "/x")) { server in
        let error = try await registryError { try await read(client(server, account)) }
        #expect(error.code == .unauthorized)
        #expect(away.requests.allSatisfy { $0.headers["authorization"] == nil })
      }
    }
  }

  /// H09.
  @Test func `a loop ends`() async throws {
    try await withServer(Self.redirecting(to: "/v2/again")) { server in
      let error = try await registryError { try await read(client(server)) }
      #expect(error.code == .redirectRefused)
      #expect(!error.isTransient)
      #expect(server.requests.count == 1 + 1 + RegistryClient.redirectsMax)
    }
  }

  /// H10.
  @Test(arguments: [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "dict://127.0.0.1/x",
    "http://user:\(canary)@127.0.0.1/x", "http://", "http://[::1", "http://127.0.0.1:99999/",
  ])
  func `addresses that are no web addresses are refused`(location: String) async throws {
    try await withServer(Self.redirecting(to: location)) { server in
      let error = try await registryError { try await read(client(server)) }
      #expect(error.code == .redirectRefused)
      #expect(!error.isTransient)
    }
  }

  @Test(arguments: [
    "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://0.0.0.0/", "http://[::]/",
    "http://[::ffff:169.254.169.254]/", "http://[::ffff:0.0.0.0]/", "http://2852039166/", "http://0251.0376.0251.0376/",
    "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::1]/", "http://[fd00:ec2::254]/", "http://100.100.100.200/",
    "http://224.0.0.1/",
  ])
  func `addresses of metadata services and no host are refused before a packet leaves`(location: String) async throws {
    try await withServer(Self.redirecting(to: location)) { server in
      let error = try await registryError { try await read(client(server)) }
      #expect(error.code == .addressRefused)
      #expect(!error.isTransient)
    }
  }
}
