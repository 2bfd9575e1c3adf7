import API
import Model
import Posix
import StorageMessages
import Store
import Testing

@testable import Daemon

/// D7: everything that is wrong is answered together.
struct IntegrationReaderTests {
  private static func wanted(_ change: (inout API.Integration) -> Void = { _ in }) -> API.Integration {
    var wanted = API.Integration()
    wanted.name = "hub"
    wanted.type = "docker-registry"
    wanted.url = "https://registry.example:5000/sub"
    change(&wanted)
    return wanted
  }

  private func violations(_ wanted: API.Integration, secret: String = "") -> [String] {
    var reader = IntegrationReader()
    _ = reader.create(wanted, secrets: secret.isEmpty ? [:] : [.main: Secret(secret)])
    return reader.violations.map(\.field)
  }

  private static func pattern(_ text: String) -> API.Pattern {
    var pattern = API.Pattern()
    pattern.pattern = text
    return pattern
  }

  private static func authentication(_ kind: AuthenticationKind, _ user: String = "") -> Authentication {
    var authentication = Authentication()
    authentication.kind = kind
    authentication.username = user
    return authentication
  }

  @Test func `A plain integration is taken, with the defaults`() {
    var reader = IntegrationReader()
    let record = reader.create(Self.wanted(), secrets: [:])
    #expect(reader.violations.isEmpty)
    #expect(record.scanTimeoutSeconds == 1800)
    #expect(record.maxConcurrent == 8)
    #expect(record.auth == .anonymous)
  }

  @Test func `Every bad field is answered at once`() {
    let wanted = Self.wanted { wanted in
      wanted.name = "Hub"
      wanted.type = "teapot"
      wanted.url = "ftp://x"
      wanted.description = String(repeating: "d", count: 1001)
      wanted.mode = .automatic
      wanted.authentication = Self.authentication(.account)
      wanted.tls = Tls()
      wanted.tls?.caPem = "no certificate"
      wanted.criteria = [Self.pattern("ok"), Self.pattern("a:b:c")]
      wanted.never = [Self.pattern(":")]
      wanted.always = [Self.pattern("alpine:")]
      wanted.condition = API.Condition()
      wanted.condition?.kind = .latest
      wanted.scanTimeout = ProtoDuration(seconds: 9)
      wanted.platforms = ["linux", "all"]
      wanted.maxConcurrent = 65
      wanted.allowedRealmHosts = ["auth.example", "http://x"]
    }
    #expect(
      violations(wanted) == [
        "name", "type", "url", "description", "tls.ca_pem", "criteria[1]", "condition.count", "never[0]", "always[0]",
        "scan_timeout", "platforms", "platforms[0]", "max_concurrent", "allowed_realm_hosts[1]", "schedule", "secret",
      ])
  }

  static let urls = [
    "", "registry.example", "//registry.example", "https://", "https://user:pw@registry.example", "https://x/?q=1",
    "https://x/#f", "https://x:99999", "file:///etc/passwd", "https://x\u{0}y", "https://a b",
    "https://" + String(repeating: "x", count: 1 << 20),
  ]

  @Test(arguments: urls)
  func `An address that is none is a field error`(url: String) {
    #expect(violations(Self.wanted { $0.url = url }) == ["url"])
  }

  @Test(arguments: ["http://registry", "https://[::1]:5000/a/b", "HTTPS://Registry.Example/"])
  func `Addresses of every kind are taken`(url: String) {
    #expect(violations(Self.wanted { $0.url = url }) == [])
  }

  @Test(arguments: ["", "Hub", "-a", "a b", "a/b", String(repeating: "a", count: 64), "é"])
  func `A name that is none is a field error`(name: String) {
    #expect(violations(Self.wanted { $0.name = name }) == ["name"])
  }

  @Test func `A credential's parts must fit together`() {
    #expect(violations(Self.wanted { $0.authentication = Self.authentication(.account, "me") }) == ["secret"])
    #expect(violations(Self.wanted { $0.authentication = Self.authentication(.account, "me") }, secret: "pw") == [])
    #expect(violations(Self.wanted { $0.authentication = Self.authentication(.apiKey) }, secret: "key") == [])
    #expect(violations(Self.wanted { $0.authentication = Self.authentication(.apiKey) }, secret: "a b") == ["secret"])
    #expect(violations(Self.wanted(), secret: "pw") == ["secret"])
    #expect(
      violations(Self.wanted { $0.authentication = Self.authentication(.anonymous, "me") })
        == ["authentication.username"])
    #expect(
      violations(Self.wanted { $0.authentication = Self.authentication(.account, "a:b") }, secret: "pw")
        == ["authentication.username"])
    let long = String(repeating: "u", count: 1025)
    #expect(
      violations(Self.wanted { $0.authentication = Self.authentication(.account, long) }, secret: "pw")
        == ["authentication.username"])
    let longSecret = String(repeating: "s", count: 64 * 1024 + 1)
    #expect(
      violations(Self.wanted { $0.authentication = Self.authentication(.account, "me") }, secret: longSecret) == [
        "secret"
      ])
  }

  @Test func `Times and numbers keep to their bounds`() {
    for seconds in [Int64.min, -1, 9, 86_401, .max] {
      #expect(violations(Self.wanted { $0.scanTimeout = ProtoDuration(seconds: seconds) }) == ["scan_timeout"])
    }
    for seconds in [Int64(0), 10, 86_400] {
      #expect(violations(Self.wanted { $0.scanTimeout = ProtoDuration(seconds: seconds) }) == [])
    }
    #expect(violations(Self.wanted { $0.maxConcurrent = .max }) == ["max_concurrent"])
    let wanted = Self.wanted { wanted in
      wanted.condition = API.Condition()
      wanted.condition?.kind = .createdWithin
      wanted.condition?.days = .max
      wanted.condition?.years = .max
    }
    #expect(violations(wanted) == ["condition"])
  }

  @Test func `A bad pattern is named by its list, its place in it, and the place of the character`() {
    var reader = IntegrationReader()
    let wanted = Self.wanted { wanted in
      wanted.criteria = [Self.pattern("team/*"), Self.pattern("4"), Self.pattern("a b"), Self.pattern("a:b:c")]
      wanted.never = [Self.pattern("x"), Self.pattern("team/")]
      wanted.always = Array(repeating: Self.pattern("x"), count: 1_001)
    }
    _ = reader.create(wanted, secrets: [:])
    #expect(
      reader.violations.map { "\($0.field): \($0.description)" } == [
        "criteria[2]: pattern \"a b\": \" \" at position 2 cannot be in the name of a repository; "
          + "use lower-case letters, digits, \".\", \"_\", \"-\", \"/\" and * for anything",
        "criteria[3]: pattern \"a:b:c\": \":\" at position 4 is a second colon; write name:tag",
        "never[1]: pattern \"team/\": \"/\" at position 5 has nothing after it; write team/* for everything under team",
        "always: the list has 1001 patterns; at most 1000 are allowed: replace several by one with *",
      ])
  }

  private static func condition(
    _ kind: ConditionKind, days: UInt32 = 0, months: UInt32 = 0, years: UInt32 = 0, count: UInt32 = 0
  ) -> API.Integration {
    wanted { wanted in
      var condition = API.Condition()
      condition.kind = kind
      condition.days = days
      condition.months = months
      condition.years = years
      condition.count = count
      wanted.condition = condition
    }
  }

  @Test func `A bad condition is named by the part of it that is wrong`() {
    #expect(violations(Self.condition(.createdWithin, days: 36_501)) == ["condition.days"])
    #expect(violations(Self.condition(.createdWithin, months: .max)) == ["condition.months"])
    #expect(violations(Self.condition(.createdWithin, years: 101)) == ["condition.years"])
    #expect(violations(Self.condition(.createdWithin, days: 1, years: 1)) == ["condition"])
    #expect(violations(Self.condition(.latest, count: 0)) == ["condition.count"])
    #expect(violations(Self.condition(.latest, count: 10_001)) == ["condition.count"])
    #expect(violations(Self.condition(ConditionKind(rawValue: 99))) == ["condition.kind"])
    #expect(violations(Self.condition(.latest, count: 10_000)) == [])
  }

  @Test func `Created within is within 60 days where nothing else is said`() {
    var reader = IntegrationReader()
    let record = reader.create(Self.condition(.createdWithin), secrets: [:])
    #expect(reader.violations.isEmpty)
    let shown = API.Integration(record).condition
    #expect(shown?.days == 60 && shown?.months == 0 && shown?.years == 0)
    let months = API.Integration(reader.create(Self.condition(.createdWithin, months: 2), secrets: [:])).condition
    #expect(months?.days == 0 && months?.months == 2)
  }

  @Test func `However much is wrong, the answer stays small`() {
    let wanted = Self.wanted { wanted in
      wanted.platforms = Array(repeating: "", count: 300_000)
      wanted.allowedRealmHosts = Array(repeating: "", count: 300_000)
      wanted.criteria = Array(repeating: Self.pattern(":"), count: 1000)
      wanted.never = Array(repeating: Self.pattern("x"), count: 100_000)
    }
    let fields = violations(wanted)
    #expect(fields.count <= IntegrationReader.violationsMaximum)
    var reader = IntegrationReader()
    let paths = Set((0..<10_000).map { "field \($0) " + String(repeating: "x", count: 300) })
    _ = reader.update(IntegrationRecord(), as: wanted, paths: paths, secrets: [:])
    #expect(reader.violations.count <= IntegrationReader.violationsMaximum)
    #expect(reader.violations.allSatisfy { $0.description.utf8.count < 200 })
  }

  // MARK: - Updates

  private static let account: IntegrationRecord = {
    var record = IntegrationRecord()
    record.name = "hub"
    record.type = "docker-registry"
    record.url = "https://registry.example"
    record.auth = .account
    record.username = "me"
    record.hasSecret = true
    record.credentialGeneration = 4
    return record
  }()

  private func update(
    _ current: IntegrationRecord, paths: Set<String>, secret: String = "", _ change: (inout API.Integration) -> Void
  ) -> (record: IntegrationRecord, secret: SecretChange, violations: [String]) {
    var reader = IntegrationReader()
    let update = reader.update(
      current, as: Self.wanted(change), paths: paths, secrets: secret.isEmpty ? [:] : [.main: Secret(secret)])
    return (update.record, update.secrets[.main] ?? .keep, reader.violations.map(\.field))
  }

  @Test func `Only what the mask names is changed`() {
    let result = update(Self.account, paths: ["description"]) { wanted in
      wanted.description = "new"
      wanted.url = "https://elsewhere.example"
      wanted.rescan = true
    }
    #expect(result.record.description == "new")
    #expect(result.record.url == Self.account.url)
    #expect(!result.record.rescan)
    #expect(result.secret == .keep)
    #expect(result.violations == [])
  }

  static let guarding: [(String, @Sendable (inout API.Integration) -> Void)] = [
    ("url", { $0.url = "https://elsewhere.example" }),
    (
      "tls",
      { wanted in
        wanted.tls = Tls()
        wanted.tls?.insecure = true
      }
    ),
    ("allowed_realm_hosts", { $0.allowedRealmHosts = ["auth.example"] }),
  ]

  @Test(arguments: guarding.indices)
  func `A change that could lead the secret elsewhere drops it, and what was confirmed with it`(index: Int) {
    let (path, change) = Self.guarding[index]
    let dropped = update(Self.account, paths: [path], change)
    #expect(dropped.secret == .drop)
    #expect(dropped.violations == [])
    let replaced = update(Self.account, paths: [path, "secret"], secret: "new", change)
    #expect(replaced.secret == .replace(Secret("new")))
    // Without a secret there is nothing to drop, and what the old registry confirmed must not count either (D15).
    var anonymous = Self.account
    anonymous.auth = .anonymous
    anonymous.username = ""
    anonymous.hasSecret = false
    let moved = update(anonymous, paths: [path], change)
    #expect(moved.secret == .keep)
    #expect(moved.record.credentialGeneration == 5)
    #expect(update(anonymous, paths: ["description"]) { $0.description = "x" }.record.credentialGeneration == 4)
  }

  @Test func `A secret that the mask does not name is refused, not dropped silently`() {
    let result = update(Self.account, paths: ["description"], secret: "new") { $0.description = "x" }
    #expect(result.violations == ["secret"])
  }

  @Test func `An integration whose secret is gone can still be edited, and asks for it with its credential`() {
    var bare = Self.account
    bare.hasSecret = false
    #expect(update(bare, paths: ["description"]) { $0.description = "x" }.violations == [])
    let kind = update(bare, paths: ["authentication"]) { $0.authentication = Self.authentication(.account, "you") }
    #expect(kind.violations == ["secret"])
    #expect(update(Self.account, paths: ["secret"]) { _ in }.violations == ["secret"])
  }

  @Test func `A field that is none is named`() {
    #expect(
      update(Self.account, paths: ["name", "id", "has_secret"]) { _ in }.violations
        == Array(repeating: "update_mask", count: 3))
  }

  @Test func `What is unsafe is said`() {
    var record = Self.account
    record.url = "HTTP://registry.example"
    record.insecure = true
    record.hasSecret = false
    #expect(API.Integration(record).warnings.count == 3)
  }
}
