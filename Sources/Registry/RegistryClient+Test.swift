import Model
import Posix

/// One line of a connection test.
package struct ConnectionStep: Sendable, Hashable {
  package enum Name: String, Sendable, CaseIterable { case connect, tls, api, authentication, catalog }
  package enum Outcome: String, Sendable { case ok, failed, skipped }

  package let name: Name
  package let outcome: Outcome
  package let detail: String
  package let hint: String?

  init(_ name: Name, _ outcome: Outcome, _ detail: String, hint: String? = nil) {
    self.name = name
    self.outcome = outcome
    self.detail = detail
    self.hint = hint
  }
}

extension RegistryClient {
  /// Connects for real and tells step by step how far it came; what comes after a failure is skipped. Throws
  /// `CancellationError` alone.
  package func test() async throws -> [ConnectionStep] {
    var steps: [ConnectionStep] = []
    var isAsked = false
    do {
      let ping = try await permits.withPermit { try await self.ping() }
      steps += connected(ping.connection)
      isAsked = ping.status == 401
      let version = versionStep(ping)
      steps.append(version)
      guard version.outcome == .ok else { return completed(steps) }
    } catch let error as RegistryError {
      return completed(steps + stepsBefore(error))
    }
    do {
      steps.append(try await authenticationStep(isAsked: isAsked))
    } catch let error as RegistryError {
      return completed(steps + [ConnectionStep(.authentication, .failed, error.message, hint: error.hint)])
    }
    steps.append(try await catalogStep())
    return steps
  }

  private func connected(_ connection: ConnectionInfo) -> [ConnectionStep] {
    let http = connection.version == 3 ? "HTTP/2" : "HTTP/1.1"
    let connect = ConnectionStep(
      .connect, .ok, "connected to \(endpoint.url.host) at \(connection.address), port \(connection.port), \(http)")
    let tls =
      if endpoint.url.scheme == .http {
        ConnectionStep(
          .tls, .skipped, "plain HTTP: credentials and contents can be read on the way",
          hint: "use https where the registry offers it")
      } else if endpoint.connection.tls.isInsecure {
        ConnectionStep(
          .tls, .ok, "the certificate was not verified (--insecure)",
          hint: "give the registry's certificate authority with --ca-file instead")
      } else {
        ConnectionStep(.tls, .ok, "the certificate is valid for \(endpoint.url.host)")
      }
    return [connect, tls]
  }

  /// Which step an error of the first request belongs to, with those that must have gone well before it.
  private func stepsBefore(_ error: RegistryError) -> [ConnectionStep] {
    let reached = ConnectionStep(.connect, .ok, "connected to \(endpoint.url.origin)")
    switch error.code {
    case .tlsFailed: return [reached, ConnectionStep(.tls, .failed, error.message, hint: error.hint)]
    case .unreachable, .timeout, .addressRefused, .connectionLost:
      return [ConnectionStep(.connect, .failed, error.message, hint: error.hint)]
    default:
      let tls = ConnectionStep(
        .tls, endpoint.url.scheme == .https ? .ok : .skipped,
        endpoint.url.scheme == .https ? "the handshake went well" : "plain HTTP")
      return [reached, tls, ConnectionStep(.api, .failed, error.message, hint: error.hint)]
    }
  }

  private func versionStep(_ ping: HTTPResponse) -> ConnectionStep {
    switch ping.status {
    case 200, 401:
      let version = ping.headers["docker-distribution-api-version"].map { ", version \(ForeignText.escaped($0))" } ?? ""
      return ConnectionStep(.api, .ok, "the distribution API answers at \(apiURL(""))\(version)")
    case 403:
      return ConnectionStep(
        .api, .failed, "\(apiURL("")) answers \"forbidden\" before any credential was sent",
        hint: "something in front of the registry may block this machine")
    default:
      let error = notARegistry
      return ConnectionStep(.api, .failed, "\(error.message) (status \(ping.status))", hint: error.hint)
    }
  }

  private func authenticationStep(isAsked: Bool) async throws -> ConnectionStep {
    let version = try await checkAPI()
    let who = endpoint.credential.named
    if isAsked {
      return ConnectionStep(
        .authentication, .ok, "the registry accepts \(who) (\(version.authentication.rawValue))")
    }
    if case .anonymous = endpoint.credential {
      return ConnectionStep(.authentication, .ok, "the registry asks for none")
    }
    return ConnectionStep(
      .authentication, .ok, "the registry answers without asking; \(who) is sent all the same, unproven")
  }

  private func catalogStep() async throws -> ConnectionStep {
    var call = Call(
      .get, apiURL("_catalog", query: "n=\(Self.pageSizeDefault)"), scope: .catalog, bodyMax: Self.pageBytesMax)
    call.headers = [("Accept", "application/json")]
    call.acceptsGzip = true
    let byHand = "images can still be added by hand, by their full name"
    do {
      let exchange = try await perform(call)
      guard exchange.status == 200 else {
        return ConnectionStep(.catalog, .failed, exchange.error.message, hint: byHand)
      }
      let names = try NamePage.names(
        in: exchange.response.body, key: "repositories", subject: exchange.subject)
      let hasMore = LinkHeader.next(in: exchange.response.headers.all("link")) != nil
      let count = names.count { $0.flatMap { Repository($0) } != nil }
      return ConnectionStep(
        .catalog, .ok, hasMore ? "\(count) repositories on the first page, and more" : "\(count) repositories")
    } catch let error as RegistryError {
      return ConnectionStep(.catalog, .failed, error.message, hint: byHand)
    }
  }

  private func completed(_ steps: [ConnectionStep]) -> [ConnectionStep] {
    steps
      + ConnectionStep.Name.allCases.dropFirst(steps.count).map {
        ConnectionStep($0, .skipped, "an earlier step failed")
      }
  }
}
