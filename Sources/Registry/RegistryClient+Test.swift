import FoundationEssentials
import Model
import Posix

extension RegistryClient {
  static let clockSkewMax = Duration.seconds(30)

  /// Connects for real and tells step by step how far it came; what depends on a failed step is left out. Throws
  /// `CancellationError` alone.
  package func test() async throws -> [ConnectionStep] {
    let test = ConnectionTest(self)
    guard let ping = try await reach(test) else { return test.completed }
    testClock(ping, test)
    if driver.firstContact == nil {
      try await test.attempt(.authentication) { try await authenticationDetail(isAsked: ping.status == 401) }
    }
    // A wrong password is tried once: some registries lock the account, or this machine out.
    if !test.isRefused { try await driver.examine(test) }
    if test.isRefused { return test.completed }
    try await testListing(test)
    return test.completed
  }

  /// What the registry's `/v2/`, or what its vendor has in place of it, answers to nobody in particular; nil when a step
  /// failed on the way.
  private func reach(_ test: ConnectionTest) async throws -> HTTPResponse? {
    let ping: HTTPResponse
    do {
      ping = try await permits.withPermit {
        if let address = driver.firstContact {
          try await session.transport.send(
            HTTPRequest(.get, address, bodyMax: Self.pageBytesMax), in: session.group)
        } else {
          try await self.ping(driver.base)
        }
      }
    } catch let error as RegistryError {
      stepsBefore(error, test)
      return nil
    }
    connected(ping.connection, test)
    if driver.firstContact != nil { return ping }
    switch ping.status {
    case 200, 401:
      let version = ping.headers["docker-distribution-api-version"].map { ", version \(ForeignText.escaped($0))" } ?? ""
      test.add(.api, .ok, "the distribution API answers at \(driver.base)/v2/\(version)")
      return ping
    case 403:
      test.add(
        .api, .failed, "\(driver.base)/v2/ answers \"forbidden\" before any credential was sent",
        hint: "something in front of the registry may block this machine")
    default:
      let error = notARegistry
      test.add(.api, .failed, "\(error.message) (status \(ping.status))", hint: error.hint)
    }
    return nil
  }

  private func connected(_ connection: ConnectionInfo, _ test: ConnectionTest) {
    let http = connection.version == 3 ? "HTTP/2" : "HTTP/1.1"
    let way =
      connection.proxy.map { "through the proxy \($0)" } ?? "at \(connection.address), port \(connection.port)"
    test.add(.connect, .ok, "connected to \(driver.base.host) \(way), \(http)")
    let shown = connection.certificates.first.map { ": \($0)" } ?? ""
    if driver.base.scheme == .http {
      test.add(
        .tls, .skipped, "plain HTTP: credentials and contents can be read on the way",
        hint: "use https where the registry offers it")
    } else if endpoint.connection.tls.isInsecure {
      test.add(
        .tls, .ok, "the certificate was not verified (--insecure)\(shown)",
        hint: "give the registry's certificate authority with --ca-file instead")
    } else {
      test.add(.tls, .ok, "the certificate is good for \(driver.base.host)\(shown)")
    }
  }

  /// Which step an error of the first request belongs to, with those that must have gone well before it.
  private func stepsBefore(_ error: RegistryError, _ test: ConnectionTest) {
    switch error.code {
    case .tlsFailed:
      test.add(.connect, .ok, "connected to \(driver.base.origin)")
      test.add(.tls, .failed, error.message, hint: error.advice)
    case .unreachable, .timeout, .addressRefused, .connectionLost, .proxyFailed:
      test.add(.connect, .failed, error.message, hint: error.advice)
    default:
      test.add(.connect, .ok, "connected to \(driver.base.origin)")
      let isSecure = driver.base.scheme == .https
      test.add(.tls, isSecure ? .ok : .skipped, isSecure ? "the handshake went well" : "plain HTTP")
      test.add(.api, .failed, error.message, hint: error.advice)
    }
  }

  private func authenticationDetail(isAsked: Bool) async throws -> String {
    let version = try await checkAPI()
    let who = endpoint.credential.named
    if isAsked { return "the registry accepts \(who) (\(version.authentication.rawValue))" }
    if case .anonymous = endpoint.credential { return "the registry asks for none" }
    return "the registry answers without asking; \(who) is sent all the same, unproven"
  }

  /// Tokens are good for minutes: a clock that is further off makes them look expired, or not yet good.
  private func testClock(_ ping: HTTPResponse, _ test: ConnectionTest) {
    guard let skew = ping.clockSkew else { return test.add(.clock, .skipped, "the registry does not tell its time") }
    let seconds = abs(skew.components.seconds)
    guard seconds > Self.clockSkewMax.components.seconds else {
      return test.add(.clock, .ok, "the registry's clock and this machine's agree within \(max(1, seconds)) s")
    }
    test.add(
      .clock, .ok,
      "the registry's clock is \(seconds) s \(skew < .zero ? "behind" : "ahead of") this machine's",
      hint: "set both by NTP: tokens may be refused as expired or not yet valid")
  }
}
