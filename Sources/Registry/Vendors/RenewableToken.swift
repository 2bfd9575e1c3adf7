import Posix
import Synchronization

/// A token of a vendor's API: fetched when first needed, kept while it lives, fetched anew when it is refused. However
/// many requests wait for one, it is fetched once.
final class RenewableToken: Sendable {
  private let fetch: @Sendable () async throws -> BearerToken
  private let kept = Mutex<BearerToken?>(nil)
  private let flight = SingleFlight<String, BearerToken>()

  init(_ fetch: @escaping @Sendable () async throws -> BearerToken) { self.fetch = fetch }

  func current() async throws -> Secret {
    if let usable { return usable.token }
    return try await flight.value(for: "") {
      if let usable { return usable }
      let token = try await fetch()
      kept.withLock { $0 = token }
      return token
    }.token
  }

  /// After a refusal: another token than the refused one, which somebody else may have fetched already.
  func renewed(after stale: Secret) async throws -> Secret { try await renewal(after: stale).token }

  /// The same, and whether the token was fetched for this refusal: one that somebody else had fetched may have died since.
  func renewal(after stale: Secret) async throws -> (token: Secret, isNew: Bool) {
    let isNew = kept.withLock { kept in
      guard kept?.token == stale else { return false }
      kept = nil
      return true
    }
    return (try await current(), isNew)
  }

  private var usable: BearerToken? { kept.withLock { $0.flatMap { $0.isUsable(at: .now) ? $0 : nil } } }
}
