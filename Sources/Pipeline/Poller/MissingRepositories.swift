import Model
import Posix
import Registry
import StorageMessages
import Store

/// Repositories that were listed once and are not any more. Each is asked for once, since a listing may pass one by, or be
/// of less than it was: of other scopes, for a credential with fewer rights.
struct MissingRepositories: Sendable {
  /// One that is there though it is not listed is asked for again after so long.
  private static let checkedAgainAfter: Int64 = 86_400 * 1_000_000_000

  let integration: IntegrationRecord
  let client: RegistryClient
  let store: StateStore
  let now: Timestamp

  enum Finding: Sendable {
    case gone
    /// It lies in an area that is passed over whole, and was looked into as long as that was not so.
    case passedOver(RepositoryKind)
    /// It is there all the same.
    case unlisted
    case unreadable(RegistryError)
  }

  private struct HasTag: Error {}

  /// What became of those that the store has and `names` has not, by hash; without those that `poll` has done with. Throws
  /// what the registry says against all of them.
  func found(
    names: Set<Int>, areas: [ListingSummary.PassedOver] = [], except poll: UInt64 = 0
  ) async throws -> [(key: RepositoryKey, record: RepositoryRecord, finding: Finding)] {
    let candidates = try store.read { transaction in
      var found: [(RepositoryKey, RepositoryRecord)] = []
      try transaction.scan(StateStore.repositories, prefix: { $0.append(integration.id) }) { key, record in
        if !names.contains(key.repository.hashValue), poll == 0 || record.pollId != poll, needsLook(record) {
          found.append((key, record))
        }
        return true
      }
      return found
    }
    let kinds = Dictionary(areas.map { ($0.name, $0.kind) }) { first, _ in first }
    let findings = try await concurrentMap(candidates, limit: { client.endpoint.concurrentRequestsMax }) {
      candidate -> Finding in
      let (key, record) = candidate
      if let kind = Self.areas(above: key.repository).lazy.compactMap({ kinds[$0] }).first { return .passedOver(kind) }
      return try await look(for: key, record)
    }
    return zip(candidates, findings).map { ($0.0, $0.1, $1) }
  }

  /// `a` and `a/b` for `a/b/c`.
  private static func areas(above repository: String) -> [String] {
    repository.indices.filter { repository[$0] == "/" }.map { String(repository[..<$0]) }
  }

  private func needsLook(_ record: RepositoryRecord) -> Bool {
    switch record.state {
    case .gone: false
    case .unlisted: now.nanosecondsSince1970 - record.listedAt >= Self.checkedAgainAfter
    default: true
    }
  }

  private func look(for key: RepositoryKey, _ record: RepositoryRecord) async throws -> Finding {
    // What was passed over was never looked into.
    guard record.state != .skipped, let repository = Repository(key.repository) else { return .gone }
    do {
      _ = try await client.tags(of: ListedRepository(repository)) { _ in throw HasTag() }
      return .gone
    } catch is HasTag {
      return .unlisted
    } catch let error as RegistryError where !error.concernsRegistry || error.code == .unauthorized {
      return error.code == .notFound ? .gone : .unreadable(error)
    }
  }
}
