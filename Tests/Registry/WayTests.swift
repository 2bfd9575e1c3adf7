import CCurlShim
import Model
import Posix
import TestSupport
import Testing

@testable import Registry

/// The way to a registry: proxies, mapped hosts, client certificates, and which addresses an answer may lead to.
@Suite(.timeLimit(.minutes(1)))
struct WayTests {
  // MARK: proxies

  @Test(
    arguments: [
      ("http://proxy.test", "http://proxy.test:3128", nil), ("HTTP://Proxy.Test:80/", "http://proxy.test:80", nil),
      ("https://proxy.test", "https://proxy.test:443", nil), ("socks5://10.0.0.1", "socks5://10.0.0.1:1080", nil),
      ("socks5h://u%40x@[::1]:9", "socks5h://[::1]:9", "u@x"), ("http://[::1]", "http://[::1]:3128", nil),
    ] as [(String, String, String?)])
  func `a proxy is read and shown without its user`(text: String, shown: String, user: String?) throws {
    let proxy = try ProxyServer(text)
    #expect(proxy.description == shown)
    #expect(proxy.user == user)
  }

  @Test(arguments: [
    "", "proxy.test:3128", "ftp://proxy.test", "http://", "http://proxy.test/path", "http://proxy.test?x",
    "http://proxy.test#x", "http://user:secret@proxy.test", "http://@proxy.test", "http://u%0Ax@proxy.test",
    "http://u%zz@proxy.test", "http://u%f@proxy.test", "http://proxy.test:0", "http://proxy.test:65536", "http://a b",
    "http://" + String(repeating: "a", count: 3000),
  ])
  func `what is no proxy is refused by name of the setting`(text: String) {
    let error = #expect(throws: RegistryEndpoint.Malformed.self) { try ProxyServer(text) }
    #expect(error?.field == "proxy")
    #expect(error?.reason.contains("secret") == false)
  }

  @Test func `a password goes with a user name`() throws {
    #expect(throws: RegistryEndpoint.Malformed.self) { try ProxyServer("http://proxy.test", password: Secret("x")) }
    _ = try ProxyServer("http://u@proxy.test", password: Secret("x"))
    #expect(try ProxyChoice("") == .environment)
    #expect(try ProxyChoice("none") == .direct)
  }

  private static let environment = [
    "http_proxy": "http://plain.test:1", "HTTPS_PROXY": "user:p%40ss@secure.test:2",
    "no_proxy": "example.test, .dotted.test,10.0.0.0/8 192.0.2.7,[2001:db8::]/32,port.test:5000",
  ]

  @Test(
    arguments: [
      ("http://a.test", "http://plain.test:1"), ("https://a.test", "http://secure.test:2"),
      ("https://example.test", nil), ("https://sub.example.test", nil),
      ("https://notexample.test", "http://secure.test:2"),
      ("https://dotted.test", nil), ("https://a.dotted.test:5000", nil), ("https://10.1.2.3", nil),
      ("https://11.1.2.3", "http://secure.test:2"), ("http://192.0.2.7", nil),
      ("http://192.0.2.8", "http://plain.test:1"),
      ("https://[2001:db8::1]", nil), ("https://[2001:db9::1]", "http://secure.test:2"), ("https://EXAMPLE.test.", nil),
    ] as [(String, String?)])
  func `the environment's proxies and exceptions are honoured`(url: String, proxy: String?) throws {
    let proxies = EnvironmentProxies(Self.environment)
    #expect(try proxies.proxy(for: WebAddress(url))?.description == proxy)
  }

  @Test func `what the environment may say beside that`() throws {
    func proxy(_ url: String, _ environment: [String: String]) throws -> ProxyServer? {
      try EnvironmentProxies(environment).proxy(for: WebAddress(url))
    }
    let secure = try #require(try proxy("https://a.test", Self.environment))
    #expect(secure.user == "user")
    #expect(secure.password == Secret("p@ss"))
    // Set by clients of a web server that starts programs.
    #expect(try proxy("http://a.test", ["HTTP_PROXY": "http://x.test:1"]) == nil)
    #expect(try proxy("http://a.test", ["ALL_PROXY": "socks5://x.test"])?.description == "socks5://x.test:1080")
    #expect(try proxy("http://a.test", ["http_proxy": "", "all_proxy": "x.test:1"])?.description == "http://x.test:1")
    #expect(try proxy("https://a.test", ["https_proxy": "x.test:1", "NO_PROXY": "*"]) == nil)
    let error = #expect(throws: RegistryEndpoint.Malformed.self) {
      try proxy("https://a.test", ["https_proxy": "gopher://x:secret@y"])
    }
    #expect(error?.field == "https_proxy")
    #expect(error?.reason.contains("secret") == false)
    #expect(try proxy("http://a.test", ["https_proxy": "gopher://x"]) == nil)
  }

  /// H12 and H18: a proxy may live on loopback, what an answer leads to through it may not.
  @Test func `a proxy's own address says nothing of where it leads`() async throws {
    try await withServer({ request in
      request.target.contains("/v2/") && !request.target.contains("blobs")
        ? .json("{}") : .reply(307, [("Location", "http://169.254.169.254/latest/meta-data")])
    }) { proxy in
      let endpoint = try RegistryEndpoint(
        url: "http://registry.example.test", proxy: .proxy(ProxyServer("http://127.0.0.1:\(proxy.port)")))
      let client = client(endpoint)
      _ = try await client.checkAPI()
      #expect(proxy.requests.first?.target == "http://registry.example.test/v2/")
      let error = try await registryError {
        try await client.openBlob(descriptor(of: [1]), in: repository("team/app"))
      }
      #expect(error.code == .addressRefused)
      #expect(proxy.requests.allSatisfy { !$0.target.contains("169.254") })
    }
  }

  // MARK: mapped hosts

  @Test(arguments: [
    "a.test:443=127.0.0.1:8443", "[2001:db8::1]:443=[::1]:1", "192.0.2.1:80=10.0.0.1:65535",
  ])
  func `a mapping is shown as it was written`(text: String) throws {
    #expect(try HostMapping(text).description == text)
  }

  @Test(arguments: [
    "", "=", "a.test", "a.test:443", "a.test:443=", "a.test=127.0.0.1:1", "a.test:443=127.0.0.1", "a.test:443=b.test:1",
    "a.test:0=127.0.0.1:1", "a.test:+1=127.0.0.1:1", "a.test:65536=127.0.0.1:1", "a.test:443=127.0.0.1:1=x",
    "a.test/x:443=127.0.0.1:1", "u@a.test:443=127.0.0.1:1", "::1:443=127.0.0.1:1", "a.test:443=::1:1",
    ":443=127.0.0.1:1",
    "a.test:443=127.0.0.1:\u{1b}1",
  ])
  func `what is no mapping is refused`(text: String) {
    let error = #expect(throws: HostMapping.Malformed.self) { try HostMapping(text) }
    #expect(error?.description.utf8.contains(0x1b) == false)
  }

  /// What a host may see and where it may lead are questions of its name, whatever its address is.
  @Test func `a mapped host is asked by its name`() async throws {
    try await withServer({ request in
      request.headers["host"] == "registry.example.test"
        ? .reply(401, [("WWW-Authenticate", "Bearer realm=\"http://tokens.example.test/token\"")])
        : .json(#"{"token":"T"}"#)
    }) { server in
      let mappings = try ["registry.example.test", "tokens.example.test"].map {
        try HostMapping("\($0):80=127.0.0.1:\(server.port)")
      }
      let transport = HTTPTransport(retries: .none, mappings: mappings, environment: [:])
      let url = "http://registry.example.test"
      let strict = try client(url, account, transport: transport)
      let error = try await registryError { try await strict.fetchManifest(tag("1"), in: repository("a")) }
      #expect(error.code == .realmNotAllowed)
      #expect(server.requests.allSatisfy { $0.headers["host"] == "registry.example.test" })
      let allowing = try client(url, account, realmHosts: ["tokens.example.test"], transport: transport)
      _ = try await registryError { try await allowing.fetchManifest(tag("1"), in: repository("a")) }
      #expect(server.requests.contains { $0.headers["host"] == "tokens.example.test" })
    }
  }

  // MARK: addresses

  @Test(arguments: [
    ("8.8.8.8", ccurl_address_ordinary), ("127.0.0.1", ccurl_address_loopback),
    ("127.255.255.255", ccurl_address_loopback),
    ("10.0.0.1", ccurl_address_private), ("172.16.0.1", ccurl_address_private), ("172.32.0.1", ccurl_address_ordinary),
    ("192.168.1.1", ccurl_address_private), ("100.64.0.1", ccurl_address_private),
    ("100.128.0.1", ccurl_address_ordinary),
    ("100.100.100.200", ccurl_address_link_local), ("169.254.169.254", ccurl_address_link_local),
    ("0.0.0.0", ccurl_address_unspecified), ("255.255.255.255", ccurl_address_unspecified),
    ("::1", ccurl_address_loopback), ("::", ccurl_address_unspecified), ("fe80::1", ccurl_address_link_local),
    ("fd00::1", ccurl_address_private), ("fd00:ec2::254", ccurl_address_link_local),
    ("2001:db8::1", ccurl_address_ordinary),
    ("::ffff:10.0.0.1", ccurl_address_private), ("::ffff:127.0.0.1", ccurl_address_loopback),
    ("64:ff9b::a00:1", ccurl_address_private), ("2002:7f00:1::", ccurl_address_loopback), ("name", 0),
  ])
  func `addresses are told apart`(text: String, kind: UInt32) { #expect(ccurl_address_kind(text) == kind) }

  /// H23, on the address that the name leads to. The mapping stands for a name server that the registry's owner runs.
  @Test(arguments: ["127.0.0.1", "169.254.169.254", "[::1]", "0.0.0.0"])
  func `a public registry's answers lead to no nearer address`(address: String) async throws {
    try await withServer({ _ in .json(#"{"token":"T"}"#) }) { server in
      let mapping = try HostMapping("tokens.example.test:80=\(address):\(server.port)")
      let transport = HTTPTransport(retries: .none, mappings: [mapping], environment: [:])
      let group = transport.makeGroup()
      let url = try WebAddress("http://tokens.example.test/token")
      // Nothing was answered by the registry yet, so it counts as public.
      let error = try await registryError {
        try await transport.send(HTTPRequest(.get, url, destination: .namedByAnswer, bodyMax: 100), in: group)
      }
      #expect(error.code == .addressRefused)
      #expect(server.requests.isEmpty)
      let allowed = HTTPRequest(.get, url, destination: .allowedByName, bodyMax: 100)
      let refused = try await registryError { try await transport.send(allowed, in: group) }
      #expect(refused.code == .addressRefused)
    }
  }

  @Test(arguments: ["http://10.0.0.1/", "http://192.168.7.7/x", "http://[fd00::7]/", "http://172.20.0.1/"])
  func `literals of private networks are no name`(location: String) async throws {
    let transport = HTTPTransport(retries: .none, environment: [:])
    let request = HTTPRequest(.get, try WebAddress(location), destination: .namedByAnswer, bodyMax: 100)
    let error = try await registryError { try await transport.send(request, in: transport.makeGroup()) }
    #expect(error.code == .addressRefused)
    #expect(error.message.contains("private network"))
  }

  @Test func `where one integration's registry lives counts for no other`() async throws {
    try await withServer({ _ in .json("{}") }) { server in
      let transport = HTTPTransport(
        retries: .none, mappings: [try HostMapping("two.example.test:80=127.0.0.1:\(server.port)")], environment: [:])
      let group = transport.makeGroup()
      let url = try WebAddress("http://two.example.test/")
      _ = try await transport.send(HTTPRequest(.get, url, bodyMax: 100), in: group)
      // The registry now counts as one on this machine, and so do its answers.
      _ = try await transport.send(HTTPRequest(.get, url, destination: .namedByAnswer, bodyMax: 100), in: group)
      let other = transport.makeGroup()
      let error = try await registryError {
        try await transport.send(HTTPRequest(.get, url, destination: .namedByAnswer, bodyMax: 100), in: other)
      }
      #expect(error.code == .addressRefused)
    }
  }

  // MARK: client certificates

  @Test(.enabled(if: Command.path(of: "openssl") != nil, "openssl is not installed"))
  func `a client certificate is checked with its key`() throws {
    let scratch = try TemporaryDirectory()
    func make(_ name: String) throws {
      try Command.run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=\(name)", "-keyout", "\(scratch.path)/\(name).key", "-out", "\(scratch.path)/\(name).pem",
      ])
    }
    try make("one")
    try make("two")
    try Command.run([
      "openssl", "pkcs8", "-topk8", "-in", "\(scratch.path)/one.key", "-passout", "pass:x", "-out",
      "\(scratch.path)/locked.key",
    ])
    func read(_ name: String) throws -> [UInt8] { try File.read("\(scratch.path)/\(name)", limit: 1 << 16) }
    _ = try ClientIdentity(certificate: read("one.pem"), key: Secret(read("one.key")))
    for (certificate, key, field) in [
      ("one.pem", "two.key", "client-key"), ("one.pem", "locked.key", "client-key"),
      ("one.pem", "one.pem", "client-key"),
      ("one.key", "one.key", "client-cert"),
    ] {
      let error = #expect(throws: RegistryEndpoint.Malformed.self) {
        try ClientIdentity(certificate: read(certificate), key: Secret(read(key)))
      }
      #expect(error?.field == field)
    }
    #expect(throws: RegistryEndpoint.Malformed.self) { try ClientIdentity(certificate: [], key: Secret([])) }
    // One authority that cannot be read spoils the others.
    let broken = try read("one.pem") + Array("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".utf8)
    #expect(throws: RegistryEndpoint.Malformed.self) { try RegistryEndpoint(url: "https://a.test", caPEM: broken) }
    _ = try RegistryEndpoint(url: "https://a.test", caPEM: read("one.pem") + read("two.pem"))
  }
}
