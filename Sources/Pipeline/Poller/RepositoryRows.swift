import Posix
import Registry
import StorageMessages
import Store
import Synchronization

/// The rows of the repositories that a poll has done with, on their way to the store: some hundred together, because a
/// poll of a registry that has not changed writes nothing else. What a killed daemon had not written yet is looked at again.
final class RepositoryRows: Sendable {
  private static let batch = 256

  private let store: StateStore
  private let clock: WallClock
  private let waiting = Mutex<[RepositoryKey: RepositoryRecord]>([:])

  init(store: StateStore, clock: WallClock) {
    self.store = store
    self.clock = clock
  }

  /// As it is stored.
  func row(_ key: RepositoryKey) throws -> RepositoryRecord? {
    try store.read { try $0.get(StateStore.repositories, key) }
  }

  func put(
    _ key: RepositoryKey, kind: RepositoryKind, _ state: RepositoryState, _ code: String = "", _ reason: String = "",
    poll: UInt64, tags: Int? = nil, count: Int = 0, isComplete: Bool = false
  ) async throws {
    let now = clock.now
    var record = try row(key) ?? RepositoryRecord()
    if record.firstSeenAt == 0 { record.firstSeenAt = now }
    if record.state != state || record.reasonCode != code { record.since = now }
    record.kind = kind.rawValue
    record.state = state
    record.reasonCode = code
    record.reason = reason
    record.pollId = poll
    if let tags { record.tags = UInt32(clamping: tags) }
    record.count = UInt32(clamping: count)
    if isComplete || state == .unlisted { record.listedAt = now }
    let isFull = waiting.withLock { waiting in
      waiting[key] = record
      return waiting.count >= Self.batch
    }
    if isFull { try await flush() }
  }

  /// Takes away the row of what a listing tells otherwise now: an area that is passed over whole, or not any more.
  func forget(_ key: RepositoryKey) async throws {
    try await store.write { transaction in
      try StateStore.requireIntegration(key.integration, in: transaction)
      try transaction.delete(StateStore.repositories, key)
    }
  }

  /// Writes what waits. Rows of an integration that is gone or being removed are not wanted any more.
  func flush() async throws {
    let rows = waiting.withLock { waiting in
      defer { waiting.removeAll() }
      return waiting
    }
    if rows.isEmpty { return }
    try await store.write { transaction in
      for (key, record) in rows {
        try StateStore.requireIntegration(key.integration, in: transaction)
        try transaction.put(StateStore.repositories, key, record)
      }
    }
  }
}
