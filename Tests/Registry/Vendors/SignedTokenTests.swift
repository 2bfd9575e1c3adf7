import FoundationEssentials
import Model
import Posix
import Testing

@testable import Registry

@Suite(.enabled(if: TestKey.isPossible, "needs the openssl tool"))
struct SignedTokenTests {
  private let now = Timestamp(seconds: 1_772_400_000)

  private func endpoint(allowing host: String? = nil) throws -> RegistryEndpoint {
    try RegistryEndpoint(url: "https://europe-west1-docker.pkg.dev", allowedRealmHosts: host.map { [$0] } ?? [])
  }

  @Test func `a Google service account signs with RS256`() throws {
    let key = try TestKey()
    let file = Secret(
      """
      {"type":"service_account","project_id":"p","private_key_id":"k1","client_email":"scan@p.example.com",
       "private_key":\(try quoted(key.pem)),"token_uri":"https://oauth2.googleapis.com/token"}
      """)
    let account = try GoogleServiceAccount(file, for: endpoint())
    #expect(account.tokenAddress.text == "https://oauth2.googleapis.com/token")
    let token = try account.assertion(at: now)
    try key.verify(token, isPSS: false)
    let (header, payload) = try TestKey.objects(token)
    #expect(header == ["alg": "RS256", "typ": "JWT", "kid": "k1"])
    #expect(
      payload == [
        "iss": "scan@p.example.com", "scope": "https://www.googleapis.com/auth/cloud-platform.read-only",
        "aud": "https://oauth2.googleapis.com/token", "iat": "1772400000", "exp": "1772403600",
      ])
  }

  @Test(arguments: ["http://oauth2.googleapis.com/token", "https://oauth2.googleapis.com.evil.example/token"])
  func `a key file that sends the assertion elsewhere is refused`(address: String) async throws {
    let key = try TestKey()
    let file = Secret(
      """
      {"type":"service_account","client_email":"a@b","private_key":\(try quoted(key.pem)),"token_uri":"\(address)"}
      """)
    let error = try await registryError { try GoogleServiceAccount(file, for: endpoint()) }
    #expect(error.code == .realmNotAllowed)
  }

  @Test func `another token service can be allowed by name`() throws {
    let key = try TestKey()
    let file = Secret(
      """
      {"type":"service_account","client_email":"a@b","private_key":\(try quoted(key.pem)),
       "token_uri":"https://tokens.example.com/x"}
      """)
    let account = try GoogleServiceAccount(file, for: endpoint(allowing: "tokens.example.com"))
    #expect(account.tokenAddress.host == "tokens.example.com")
  }

  @Test func `a Yandex authorized key signs with PS256`() throws {
    let key = try TestKey()
    let file = Secret(
      """
      {"id":"ajek","service_account_id":"aje1","created_at":"2026-01-01T00:00:00Z","key_algorithm":"RSA_2048",
       "private_key":\(try quoted("PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <ajek>\n" + key.pem))}
      """)
    let audience = "https://iam.api.cloud.yandex.net/iam/v1/tokens"
    let token = try YandexAuthorizedKey(file).assertion(for: audience, at: now)
    try key.verify(token, isPSS: true)
    let (header, payload) = try TestKey.objects(token)
    #expect(header == ["alg": "PS256", "typ": "JWT", "kid": "ajek"])
    #expect(payload == ["iss": "aje1", "aud": audience, "iat": "1772400000", "exp": "1772403600"])
  }

  @Test func `short keys and other texts are refused without a trace of them`() async throws {
    let short = try TestKey(bits: 1_024)
    for pem in [short.pem, canary, "", "-----BEGIN PRIVATE KEY-----\n\(canary)\n-----END PRIVATE KEY-----\n"] {
      #expect(throws: SigningKey.Refused.self) { try SigningKey(pem: Secret(pem)) }
      let file = Secret("{\"id\":\"k\",\"service_account_id\":\"a\",\"private_key\":\(try quoted(pem))}")
      let error = try await registryError { try YandexAuthorizedKey(file) }
      #expect(error.code == .unauthorized)
    }
  }

  @Test(arguments: [
    "", "{", "[]", "{}", "{\"type\":\"authorized_user\"}", "{\"type\":\"service_account\",\"client_email\":\"a\"}",
    String(repeating: "[", count: 20_000),
  ])
  func `what is no key file is refused`(text: String) async throws {
    let google = try await registryError { try GoogleServiceAccount(Secret(text), for: endpoint()) }
    let yandex = try await registryError { try YandexAuthorizedKey(Secret(text)) }
    #expect([.unauthorized, .malformed].contains(google.code))
    #expect([.unauthorized, .malformed].contains(yandex.code))
  }

  @Test func `an encrypted key is refused without asking anybody`() throws {
    // The header alone makes libcrypto want a pass phrase.
    let pem = """
      -----BEGIN RSA PRIVATE KEY-----
      Proc-Type: 4,ENCRYPTED
      DEK-Info: AES-128-CBC,00000000000000000000000000000000

      AAAA
      -----END RSA PRIVATE KEY-----

      """
    #expect(throws: SigningKey.Refused.self) { try SigningKey(pem: Secret(pem)) }
  }
}

struct TokenClaimsTests {
  @Test(arguments: [
    ("{\"exp\":1772400000,\"tid\":\"t-1\"}", 1_772_400_000, "t-1"),
    ("{\"exp\":1772400000.7}", 1_772_400_001, nil), ("{}", nil, nil), ("{\"exp\":1e300}", nil, nil),
  ])
  func `what a web token tells about itself`(payload: String, seconds: Int64?, tenant: String?) throws {
    let body = JSONWebToken.base64URL(Data(payload.utf8))
    let claims = try #require(JSONWebToken.claims(of: Secret("eyJh.\(body).c2ln")))
    #expect(claims.expiresAt == seconds.map { Timestamp(seconds: $0) })
    #expect(claims.tenant == tenant)
  }

  @Test(arguments: ["", "opaque", "a.b", "a.b.c.d", "a.!!.c", "a.eyJ.c", "a.W10.c"])
  func `an opaque token tells nothing`(text: String) {
    #expect(JSONWebToken.claims(of: Secret(text)) == nil)
  }
}
