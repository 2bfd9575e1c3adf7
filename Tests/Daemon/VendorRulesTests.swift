import API
import Posix
import Registry
import StorageMessages
import Store
import Testing

@testable import Daemon

/// What the settings of each type must and may be (D1, D2 and the table of settings).
struct VendorRulesTests {
  /// The least that each type takes.
  private static func wanted(_ type: String) -> API.Integration {
    var wanted = API.Integration()
    wanted.name = "it"
    wanted.type = type
    if type != "docker-hub" { wanted.url = "https://registry.example" }
    if type == "gitlab" { wanted.apiUrl = "https://gitlab.example" }
    if ["quay", "ghcr", "gar", "yandex"].contains(type) { wanted.scopes = ["team"] }
    if type == "ecr" { wanted.region = "eu-west-1" }
    var authentication = Authentication()
    authentication.kind = type == "gar" ? .apiKey : .account
    authentication.username = type == "gar" ? "" : "me"
    wanted.authentication = authentication
    return wanted
  }

  private static func secret(_ type: String) -> Secret { Secret(type == "gar" ? #"{"type":"service_account"}"# : "pw") }

  private func violations(
    _ type: String, secrets: [SecretField: Secret] = [:], _ change: (inout API.Integration) -> Void
  ) -> [String] {
    var wanted = Self.wanted(type)
    change(&wanted)
    var reader = IntegrationReader()
    var secrets = secrets
    if wanted.authentication?.kind != .anonymous { secrets[.main] = secrets[.main] ?? Self.secret(type) }
    _ = reader.create(wanted, secrets: secrets)
    return reader.violations.map(\.field)
  }

  @Test func `Every type that has a driver has rules, and no other`() {
    #expect(Set(VendorRules.types) == Set(RegistryType.allCases.map(\.rawValue)))
  }

  @Test(arguments: VendorRules.types)
  func `The least of each type is taken`(type: String) {
    #expect(violations(type) { _ in } == [])
  }

  struct Case: CustomTestStringConvertible, Sendable {
    let type: String
    let what: String
    let fields: [String]
    let change: @Sendable (inout API.Integration) -> Void
    var testDescription: String { "\(type): \(what)" }

    init(
      _ type: String, _ what: String, _ fields: [String], _ change: @escaping @Sendable (inout API.Integration) -> Void
    ) {
      self.type = type
      self.what = what
      self.fields = fields
      self.change = change
    }
  }

  private static func authentication(_ kind: AuthenticationKind, _ user: String = "") -> Authentication {
    var authentication = Authentication()
    authentication.kind = kind
    authentication.username = user
    return authentication
  }

  static let cases: [Case] =
    [
      Case("docker-hub", "another address", []) { $0.url = "https://mirror.example" },
      Case("docker-hub", "anonymous needs a namespace", ["scopes"]) { $0.authentication = authentication(.anonymous) },
      Case("docker-hub", "anonymous with a namespace", []) {
        $0.authentication = authentication(.anonymous)
        $0.scopes = ["library"]
      },
      Case("docker-hub", "a key needs a user", ["scopes", "authentication.username"]) {
        $0.authentication = authentication(.apiKey)
      },
      Case("docker-hub", "a key with a user", []) { $0.authentication = authentication(.apiKey, "me") },
      Case("harbor", "no key", ["authentication.kind"]) { $0.authentication = authentication(.apiKey) },
      Case("harbor", "anonymous", []) { $0.authentication = authentication(.anonymous) },
      Case("artifactory", "keys go with ports", ["repository_keys"]) { $0.repositoryKeys = ["docker-local"] },
      Case("artifactory", "keys with a port", []) {
        $0.repositoryAccess = "port"
        $0.repositoryKeys = ["docker-local"]
      },
      Case("artifactory", "no such access", ["repository_access"]) { $0.repositoryAccess = "path" },
      Case("artifactory", "a number has no subdomain", ["repository_access"]) {
        $0.repositoryAccess = "subdomain"
        $0.url = "https://10.0.0.1"
      },
      Case("artifactory", "a key", []) { $0.authentication = authentication(.apiKey) },
      Case("nexus", "no key", ["authentication.kind"]) { $0.authentication = authentication(.apiKey) },
      Case("nexus", "not anonymous", ["authentication.kind"]) { $0.authentication = authentication(.anonymous) },
      Case("nexus", "a connector's key", []) { $0.repositoryKeys = ["docker-hosted"] },
      Case("nexus", "no access", ["repository_access"]) { $0.repositoryAccess = "port" },
      Case("gitlab", "no API address", ["api_url"]) { $0.apiUrl = "" },
      Case("gitlab", "a malformed API address", ["api_url"]) { $0.apiUrl = "gitlab.example" },
      Case("gitlab", "a token", []) { $0.authentication = authentication(.apiKey) },
      Case("docker-registry", "an API address", ["api_url"]) { $0.apiUrl = "https://api.example" },
      Case("docker-registry", "a region", ["region"]) { $0.region = "eu-west-1" },
      Case("ecr", "no region", ["region"]) { $0.region = "" },
      Case("ecr", "the address tells the region", []) {
        $0.region = ""
        $0.url = "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com"
      },
      Case("ecr", "no region of that form", ["region"]) { $0.region = "EU west" },
      Case("ecr", "no key", ["authentication.kind"]) { $0.authentication = authentication(.apiKey) },
      Case("gar", "no account", ["authentication.kind"]) { $0.authentication = authentication(.account, "me") },
      Case("acr", "a key", []) { $0.authentication = authentication(.apiKey) },
      Case("yandex", "a key", []) { $0.authentication = authentication(.apiKey) },
    ]
    + ["quay", "ghcr", "gar", "yandex"].map { type in Case(type, "no scope", ["scopes"]) { $0.scopes = [] } }
    + VendorRules.types.filter { $0 != "docker-hub" }.map { type in Case(type, "no address", ["url"]) { $0.url = "" } }

  @Test(arguments: cases)
  func `Each type has its rules`(one: Case) {
    #expect(violations(one.type, one.change) == one.fields)
  }

  @Test func `Docker Hub's address is filled in, whatever people call it`() {
    for url in ["", "https://docker.io", "https://index.docker.io/v1/", "https://hub.docker.com/u/me"] {
      var wanted = Self.wanted("docker-hub")
      wanted.url = url
      var reader = IntegrationReader()
      #expect(reader.create(wanted, secrets: [.main: Secret("x")]).url == VendorRules.dockerHub)
    }
  }

  @Test func `Secrets beside the main one must belong to something`() {
    let token: [SecretField: Secret] = [.sessionToken: Secret("t")]
    #expect(violations("ecr", secrets: token) { _ in } == [])
    #expect(violations("ecr", secrets: [.sessionToken: Secret("a b")]) { _ in } == ["session_token"])
    #expect(violations("harbor", secrets: token) { _ in } == ["session_token"])
    #expect(violations("harbor", secrets: [.clientKey: Secret("k")]) { _ in } == ["client_key_pem"])
    let password: [SecretField: Secret] = [.proxyPassword: Secret("p")]
    #expect(violations("harbor", secrets: password) { _ in } == ["proxy_password"])
    var proxy = API.Proxy()
    proxy.url = "socks5://proxy.example:1080"
    #expect(violations("harbor", secrets: password) { $0.proxy = proxy } == ["proxy_password"])
    proxy.url = "socks5://me@proxy.example:1080"
    #expect(violations("harbor", secrets: password) { $0.proxy = proxy } == [])
    for url in ["proxy.example", "ftp://x", "http://", "http://me:pw@x", "http://x/y", "http://x?y", "http://@x"] {
      proxy.url = url
      #expect(violations("harbor") { $0.proxy = proxy } == ["proxy.url"], "\(url)")
    }
    #expect(violations("gar", secrets: [.main: Secret("key")]) { _ in } == ["secret"])
  }

  @Test func `Names, limits and hours keep to their form`() {
    for scope in [
      "", "a b", "/a", "a/", "a//b", "..", "a/../b", "a?b", "a#b", "a%2fb", String(repeating: "a", count: 256),
    ] {
      #expect(violations("harbor") { $0.scopes = [scope] } == ["scopes[0]"], "\(scope)")
    }
    #expect(violations("harbor") { $0.scopes = ["team/sub", "robot.x", "example.com:project"] } == [])
    #expect(violations("harbor") { $0.scopes = ["a", "a"] } == ["scopes[1]"])
    #expect(violations("nexus") { $0.repositoryKeys = ["a/b"] } == ["repository_keys[0]"])
    for hours in ["8-9", "08:00", "08:00-08:00", "24:00-01:00", "08:60-09:00", "08:00-09:00-10:00", "０8:00-09:00"] {
      #expect(violations("harbor") { $0.quietHours = hours } == ["quiet_hours"], "\(hours)")
    }
    #expect(violations("harbor") { $0.quietHours = "22:00-06:00" } == [])
    #expect(violations("harbor") { $0.requestsPerSecond = 10_001 } == ["requests_per_second"])
    #expect(violations("harbor") { $0.bytesPerSecond = 1023 } == ["bytes_per_second"])
    #expect(violations("harbor") { $0.bytesPerSecond = .max } == ["bytes_per_second"])
    #expect(violations("harbor") { $0.maxScans = 257 } == ["max_scans"])
    #expect(violations("harbor") { $0.maxImageBytes = .max } == ["max_image_bytes"])
    #expect(
      violations("harbor") {
        $0.maxScans = 256
        $0.maxImageBytes = UInt64(Int64.max)
      } == [])
  }
}
