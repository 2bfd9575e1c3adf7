/// One line of a connection test.
package struct ConnectionStep: Sendable, Hashable {
  package enum Name: String, Sendable, CaseIterable {
    case connect, tls
    /// The distribution API.
    case api
    /// How far the registry's clock is from ours.
    case clock
    case authentication
    /// The vendor's own API: reached, of which version, and who we are to it.
    case vendor
    /// A right of the vendor's minimum-rights table.
    case rights
    /// Until when the credential is good.
    case credential
    case list
    case repositories
    /// Local, remote and virtual ones among them.
    case kinds
    /// An image that was listed can be read.
    case read
  }

  package enum Outcome: String, Sendable { case ok, failed, skipped }

  package let name: Name
  package let outcome: Outcome
  package let detail: String
  /// What to do; of a step that went well, what should be known about it.
  package let hint: String?

  init(_ name: Name, _ outcome: Outcome, _ detail: String, hint: String? = nil) {
    self.name = name
    self.outcome = outcome
    self.detail = detail
    self.hint = hint
  }
}

/// A connection test on its way: its steps so far.
package final class ConnectionTest {
  let client: RegistryClient
  private(set) var steps: [ConnectionStep] = []

  init(_ client: RegistryClient) { self.client = client }

  func add(_ name: ConnectionStep.Name, _ outcome: ConnectionStep.Outcome, _ detail: String, hint: String? = nil) {
    steps.append(ConnectionStep(name, outcome, detail, hint: hint))
  }

  /// Runs a step that says in one line what came back. A failure becomes a failed step, with the error's hint unless
  /// `hint` knows better; then the result is false.
  @discardableResult
  func attempt(
    _ name: ConnectionStep.Name, hint: String? = nil, _ body: () async throws -> String
  ) async throws -> Bool {
    do {
      add(name, .ok, try await body())
      return true
    } catch let error as RegistryError {
      add(name, .failed, error.message, hint: hint ?? error.advice)
      return false
    }
  }

  /// Whether who we are was not accepted: everything that follows would meet the same.
  var isRefused: Bool { steps.contains { $0.name == .authentication && $0.outcome == .failed } }

  /// The steps, with those that every test has and this one did not come to.
  var completed: [ConnectionStep] {
    let common: [ConnectionStep.Name] = [.connect, .tls, .api, .authentication, .list]
    return steps
      + common.filter { name in !steps.contains { $0.name == name } }.map {
        ConnectionStep($0, .skipped, "an earlier step failed")
      }
  }
}
