import API
import Posix
import ProtobufRuntime
import StorageMessages
import Store
import Testing

@testable import Daemon

/// No credential follows an edit to another host (D7).
struct SecretDropTests {
  private static let record: IntegrationRecord = {
    var record = IntegrationRecord()
    record.name = "it"
    record.type = "artifactory"
    record.url = "https://art.example"
    record.repositoryAccess = "repository-path"
    record.auth = .account
    record.username = "me"
    record.proxy = "http://me@proxy.example"
    record.clientCertificatePem = [1]
    for field in SecretField.allCases { record[field] = true }
    record.credentialGeneration = 4
    return record
  }()

  private func update(
    _ paths: Set<String>, secrets: [SecretField: Secret] = [:], known: Set<SecretField> = [],
    _ change: (inout API.Integration) -> Void
  ) -> (update: IntegrationReader.Update, violations: [String]) {
    var wanted = API.Integration(Self.record)
    change(&wanted)
    var reader = IntegrationReader()
    let update = reader.update(Self.record, as: wanted, paths: paths, secrets: secrets, known: known)
    return (update, reader.violations.map(\.field))
  }

  static let moves: [(path: String, gone: [SecretField], change: @Sendable (inout API.Integration) -> Void)] = [
    ("type", [.main, .sessionToken, .clientKey], { $0.type = "acr" }),
    ("url", [.main, .sessionToken, .clientKey], { $0.url = "https://elsewhere.example" }),
    ("api_url", [.main, .sessionToken, .clientKey], { $0.apiUrl = "https://elsewhere.example" }),
    ("proxy", SecretField.allCases, { $0.proxy?.url = "http://me@elsewhere.example" }),
    ("tls.ca_pem", SecretField.allCases, { $0.tls?.caPem = "x" }),
    ("tls.insecure", SecretField.allCases, { $0.tls?.insecure = true }),
    ("allowed_realm_hosts", [.main, .sessionToken, .clientKey], { $0.allowedRealmHosts = ["auth.example"] }),
    ("repository_access", [.main, .sessionToken, .clientKey], { $0.repositoryAccess = "subdomain" }),
    ("authentication.kind", [.main, .sessionToken], { $0.authentication?.kind = .apiKey }),
    ("authentication.username", [.main, .sessionToken], { $0.authentication?.username = "you" }),
    ("description", [], { $0.description = "x" }),
    ("scopes", [], { $0.scopes = ["team"] }),
    ("include_remote", [], { $0.includeRemote = true }),
    ("requests_per_second", [], { $0.requestsPerSecond = 3 }),
  ]

  @Test(arguments: moves.indices)
  func `A change drops the secrets that it could lead elsewhere, and says so`(index: Int) {
    let move = Self.moves[index]
    let result = update([move.path], move.change).update
    #expect(result.dropped == move.gone)
    #expect(result.secrets == Dictionary(uniqueKeysWithValues: move.gone.map { ($0, .drop) }))
    #expect(result.changed == [move.path])
  }

  @Test func `Those given anew with the change stay`() {
    let (result, violations) = update(["url", "secret"], secrets: [.main: Secret("new")]) {
      $0.url = "https://elsewhere.example"
    }
    #expect(violations == [])
    #expect(result.secrets[.main] == .replace(Secret("new")))
    #expect(result.dropped == [.sessionToken, .clientKey])
  }

  @Test func `A session token belongs to the key it came with`() {
    let result = update(["secret"], secrets: [.main: Secret("new")]) { _ in }.update
    #expect(result.dropped == [.sessionToken])
  }

  @Test func `What is stored already changes nothing, unless it moves`() {
    let same = update(["secret", "url"], secrets: [.main: Secret("same")], known: [.main]) { _ in }.update
    #expect(same.changed == [])
    #expect(same.secrets == [:])
    let moved = update(["secret", "url"], secrets: [.main: Secret("same")], known: [.main]) {
      $0.url = "https://elsewhere.example"
    }.update
    #expect(moved.changed == ["url", "secret"])
    #expect(moved.secrets[.main] == .replace(Secret("same")))
  }

  @Test func `A part of a message can be changed alone`() {
    let result = update(["tls.insecure"]) { wanted in
      wanted.tls = Tls()
      wanted.tls?.insecure = true
    }.update
    #expect(result.record.insecure)
    #expect(result.record.clientCertificatePem == Self.record.clientCertificatePem)
    let user = update(["authentication.username"]) { wanted in
      wanted.authentication = Authentication()
      wanted.authentication?.username = "you"
    }.update
    #expect(user.record.auth == .account)
    #expect(user.record.username == "you")
  }

  @Test func `Another certificate wants its key`() {
    let changed = update(["tls.client_certificate_pem"]) { $0.tls?.clientCertificatePem = "x" }
    #expect(changed.violations.contains("client_key_pem"))
  }

  @Test func `A message with secrets prints without them`() {
    var request = CreateIntegrationRequest()
    request.secret = Array("CANARY".utf8)
    request.proxyPassword = Array("CANARY".utf8)
    var dumped = ""
    dump(request, to: &dumped)
    for text in ["\(request)", String(reflecting: request), dumped, request.json.text()] {
      #expect(!text.contains("CANARY"))
      #expect(!text.contains("67"))
      #expect(!text.contains("Q0FOQVJZ"))
    }
  }
}
