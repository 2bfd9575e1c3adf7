import Model
import Posix
import TestSupport
import Testing

@testable import Registry

struct EndpointTests {
  @Test(arguments: [
    ("https://registry.test", "https://registry.test/v2/"), ("HTTPS://Registry.Test/", "https://registry.test/v2/"),
    ("http://registry.test:80", "http://registry.test/v2/"),
    ("https://registry.test:8443/a/b/", "https://registry.test:8443/a/b/v2/"),
    ("http://[::1]:5000", "http://[::1]:5000/v2/"), ("http://127.0.0.1:5000/x", "http://127.0.0.1:5000/x/v2/"),
  ])
  func `addresses with ports, paths and literals are kept`(text: String, api: String) throws {
    let call = RegistryClient.Call(.get, try client(text).driver.base, "", scope: nil, bodyMax: 0)
    #expect(call.url.text == api)
  }

  @Test(arguments: [
    "", "registry.test", "registry.test:5000", "ftp://registry.test", "https://", "https://registry.test?x=1",
    "https://registry.test?", "https://registry.test/#", "https://user@registry.test", "https://user:pw@registry.test",
    "https://registry.test:0", "https://registry.test:70000", "https://registry test", "https://registry.test/\n",
    "https://[::1",
  ])
  func `other addresses are refused by field`(text: String) {
    let error = #expect(throws: RegistryEndpoint.Malformed.self) { try RegistryEndpoint(url: text) }
    #expect(error?.field == "url")
  }

  @Test func `credentials that no header can hold are refused`() {
    let cases: [(Credential, String)] = [
      (.account(user: "a:b", password: Secret("x")), "user"), (.account(user: "", password: Secret("x")), "user"),
      (.account(user: "a\nb", password: Secret("x")), "user"), (.apiKey(Secret("a b")), "api-key"),
      (.apiKey(Secret("")), "api-key"), (.apiKey(Secret("a\r\nX: y")), "api-key"),
    ]
    for (credential, field) in cases {
      let error = #expect(throws: RegistryEndpoint.Malformed.self) {
        try RegistryEndpoint(url: "https://registry.test", credential: credential)
      }
      #expect(error?.field == field)
    }
  }

  @Test func `a CA file without a certificate is refused`() {
    let error = #expect(throws: RegistryEndpoint.Malformed.self) {
      try RegistryEndpoint(url: "https://registry.test", caPEM: Array("-----BEGIN CERTIFICATE-----".utf8))
    }
    #expect(error?.field == "ca-file")
  }

  @Test(arguments: [
    ("37", 37), ("0", 1), ("-1", 1), ("999999999", 3600), ("99999999999999999999999", 3600),
    ("Thu, 01 Jan 1970 00:00:01 GMT", 1), ("Sun, 01 Mar 2200 10:00:00 GMT", 3600),
    ("Tue, 14 Nov 2023 22:14:20 GMT", 60), ("x", nil), ("", nil), ("1.5", nil),
  ])
  func `Retry-After is held between a second and an hour`(text: String, seconds: Int?) {
    #expect(RateHeaders.retryAfter(text, now: 1_700_000_000) == seconds.map { .seconds($0) })
  }

  @Test(
    .timeLimit(.minutes(1)),
    arguments: [
      (401, "", RegistryError.Code.unauthorized, false), (403, "", .forbidden, false), (404, "", .notFound, false),
      (403, "NAME_UNKNOWN", .notFound, false), (400, "", .requestRefused, false), (405, "", .requestRefused, false),
      (408, "", .timeout, true), (429, "", .rateLimited, true), (400, "TOOMANYREQUESTS", .rateLimited, true),
      (500, "", .serverError, true), (503, "", .serverError, true), (404, "UNAVAILABLE", .serverError, true),
      (400, "invalid_grant", .unauthorized, false), (204, "", .malformed, false), (304, "", .malformed, false),
    ])
  func `each status has its code`(status: Int, code: String, expected: RegistryError.Code, isTransient: Bool)
    async throws
  {
    let body = code.isEmpty ? "<html>\u{1b}[2J" : "{\"errors\":[{\"code\":\"\(code)\",\"message\":\"\\u001b[2J\"}]}"
    try await withServer({ request in
      request.path == "/v2/"
        ? .json("{}") : .reply(status, [("Retry-After", "7")], status == 204 || status == 304 ? [] : Array(body.utf8))
    }) { server in
      let error = try await registryError { try await client(server).fetchManifest(tag("1"), in: repository("a")) }
      #expect(error.code == expected)
      #expect(error.isTransient == isTransient)
      #expect(error.retryAfter == (isTransient ? .seconds(7) : nil))
      #expect(!error.message.utf8.contains(0x1b))
    }
  }

  @Test func `what does not answer is unreachable`() async throws {
    // Port 1 is nobody's; one that was free a moment ago may be another test's by now.
    for url in ["http://127.0.0.1:1", "http://no-such-host.invalid"] {
      let error = try await registryError { try await client(url).checkAPI() }
      #expect(error.code == .unreachable)
      #expect(error.isTransient)
      let steps = try await client(url).test()
      #expect(steps.map(\.name) == [.connect, .tls, .api, .authentication, .list])
      #expect(steps.map(\.outcome) == [.failed, .skipped, .skipped, .skipped, .skipped])
    }
  }

  @Test func `what is no registry is said to be none`() async throws {
    try await withServer({ _ in .reply(404) }) { server in
      #expect(try await registryError { try await client(server).checkAPI() }.code == .notARegistry)
      let went = try await outcomes(client(server).test())
      #expect(
        went == [
          .connect: .ok, .tls: .skipped, .api: .failed, .authentication: .skipped, .list: .skipped,
        ])
    }
  }

  @Test func `secrets are cut out of foreign texts`() {
    let redactor = Redactor([Secret(canary), Secret("abc"), Secret("")])
    #expect(redactor.redact("x \(canary) y \(canary)") == "x [redacted] y [redacted]")
    #expect(redactor.redact("x CANARY-9f2c-secret\\/slash y") == "x [redacted] y")
    #expect(redactor.redactForeign("xabcx") == "[redacted]")
    #expect(redactor.redact("xabcx") == "xabcx")
    #expect(redactor.redact("type CANARY-9f2…, CANARY…") == "type [redacted]…, CANARY…")
    #expect(redactor.redact("nothing") == "nothing")
  }
}
