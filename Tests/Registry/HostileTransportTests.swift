import Model
import TestSupport
import Testing

@testable import Registry

/// What a registry may do to the transport beyond breaking HTTP (`TransportTests`) and sending it elsewhere
/// (`RedirectTests`): the rows of the catalogue of hostile inputs are named.
@Suite(.timeLimit(.minutes(1)))
struct HostileTransportTests {
  /// H07.
  @Test(arguments: [
    Array(repeating: "gzip", count: 20).joined(separator: ", "), "br", "gzip, gzip, gzip, gzip, gzip, gzip",
  ])
  func `encodings that were not asked for, or stacked high, are refused`(encoding: String) async throws {
    try await withServer({ request in
      request.path == "/v2/"
        ? .json("{}")
        : .reply(200, [("Content-Type", MediaType.ociManifest), ("Content-Encoding", encoding)], Array("{}".utf8))
    }) { server in
      let error = try await registryError {
        try await client(server).fetchManifest(tag("1"), in: repository("a"))
      }
      #expect(error.code == .malformed)
    }
  }

  /// H15: an answer of 1991 has no status and no headers.
  @Test func `HTTP 0.9 is no HTTP`() async throws {
    try await withServer({ request in request.path == "/v2/" ? .json("{}") : .raw(Array("<html>".utf8)) }) { server in
      let error = try await registryError { try await client(server).fetchManifest(tag("1"), in: repository("a")) }
      #expect(error.isTransient)
    }
  }

  /// H17: a port that accepts and then never speaks TLS.
  @Test func `a handshake that stalls is a timeout`() async throws {
    try await withServer({ _ in .silence() }) { server in
      var timeouts = hasty
      timeouts.connect = .milliseconds(300)
      let transport = HTTPTransport(timeouts: timeouts, retries: .none, environment: [:])
      let stalled = try client("https://127.0.0.1:\(server.port)", transport: transport)
      let error = try await registryError { try await stalled.checkAPI() }
      #expect(error.code == .timeout)
      #expect(error.isTransient)
      let steps = try await stalled.test()
      #expect(steps.first?.outcome == .failed)
    }
  }

  /// H19.
  @Test func `a name that does not resolve is said to be one`() async throws {
    let error = try await registryError { try await client("http://registry.invalid").checkAPI() }
    #expect(error.code == .unreachable)
    #expect(error.isTransient)
    #expect(error.message.contains("registry.invalid does not resolve"))
  }

  /// H20.
  @Test func `cookies are not kept`() async throws {
    let flood =
      (0..<50).map { ("Set-Cookie", "c\($0)=\(String(repeating: "x", count: 500)); Path=/") }
      + [("Set-Cookie", "big=\(String(repeating: "y", count: 20_000))")]
    try await withServer({ _ in .json("{}", flood) }) { server in
      let client = try client(server, account)
      for _ in 0..<3 { _ = try await client.checkAPI() }
      #expect(server.requests.count >= 3)
      #expect(server.requests.allSatisfy { $0.headers["cookie"] == nil })
    }
  }

  /// H28: what a name looks like chooses no credential and no service.
  @Test(arguments: [
    "123456789012.dkr.ecr.eu-west-1.amazonaws.com.attacker.test", "attacker.azurecr.io.test", "gcr.io.attacker.test",
    "auth.docker.io.attacker.test",
  ])
  func `a host that looks like a cloud's is any other host`(host: String) async throws {
    try await withServer({ request in
      request.headers["authorization"] == nil
        ? .reply(401, [("WWW-Authenticate", "Basic realm=x")]) : .json(#"{"repositories":[]}"#)
    }) { server in
      let transport = HTTPTransport(
        retries: .none, mappings: [try HostMapping("\(host):80=127.0.0.1:\(server.port)")], environment: [:])
      _ = try await client("http://\(host)", account, transport: transport).checkAPI()
      let sent = Set(server.requests.compactMap { $0.headers["authorization"] })
      #expect(sent.count == 1)
      _ = try await registryError { try await client("http://\(host)", transport: transport).checkAPI() }
      #expect(Set(server.requests.compactMap { $0.headers["authorization"] }) == sent)
      #expect(server.requests.allSatisfy { $0.headers["host"] == host })
    }
  }

  /// H04: what one registry does not send keeps nobody else waiting.
  @Test func `a silent registry holds up no other`() async throws {
    try await withServer({ _ in .silence() }) { silent in
      try await withServer({ _ in .json("{}") }) { quick in
        let waiting = try client(silent)
        let tasks = (0..<8).map { _ in Task { try await waiting.checkAPI() } }
        for _ in 0..<20 { _ = try await client(quick).checkAPI() }
        for task in tasks { task.cancel() }
        for task in tasks { await #expect(throws: CancellationError.self) { try await task.value } }
      }
    }
  }
}
