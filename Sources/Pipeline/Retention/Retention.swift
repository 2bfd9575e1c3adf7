import Logging
import Posix
import Queue
import StorageMessages
import Store
import Synchronization

/// Removes what is kept no longer: once a day, early when the store is nearly full, and when somebody asks.
///
/// A collection that is cut short has removed what it has removed; the next one begins anew and finds less.
package final class Retention: Sendable {
  private static let day: Int64 = 86_400 * 1_000_000_000
  /// How often the size of the store is looked at, and the least time between two collections for its sake.
  private static let lookInterval = Duration.seconds(600)
  private static let earlyInterval: Int64 = 3_600 * 1_000_000_000
  /// When the last collection ended, seconds since 1970.
  private static let collectedFact = "collected_at"

  private struct State {
    var task: Task<Void, Never>?
    var isStopping = false
  }

  private let settings: RetentionSettings
  private let store: StateStore
  private let queue: JobQueue
  private let reader: SerialThread
  private let clock: WallClock
  private let log: Logger
  /// One collection at a time: the second finds what the first has left.
  private let turn = Permits(1)
  private let state = Mutex(State())

  package init(
    _ settings: RetentionSettings, store: StateStore, queue: JobQueue, reader: SerialThread, clock: WallClock,
    log: Logger
  ) {
    self.settings = settings
    self.store = store
    self.queue = queue
    self.reader = reader
    self.clock = clock
    self.log = log
  }

  /// Removes what is kept no longer, or tells what would be. Throws `CancellationError` when the daemon stops meanwhile.
  /// `actor` is who wants it, "" for the daemon itself.
  package func collect(dryRun: Bool, actor: String = "") async throws -> RetentionOutcome {
    try await turn.withPermit {
      let now = clock.now
      var outcome = RetentionOutcome(isDryRun: dryRun, try await size())
      outcome.startedAt = now
      let sweeper = Sweeper(store: store, reader: reader, isDryRun: dryRun) { [self] in
        if state.withLock(\.isStopping) { throw CancellationError() }
      }
      try await RetentionRules(settings: settings, store: store, queue: queue, sweeper: sweeper, now: now)
        .apply(to: &outcome)
      outcome.endedAt = clock.now
      if dryRun { return outcome }
      try await record(outcome, actor)
      outcome.after = try await size()
      return outcome
    }
  }

  private func size() async throws -> StoreSize { try await reader.run { [store] in try store.size() } }

  private func record(_ outcome: RetentionOutcome, _ actor: String) async throws {
    try await store.write { [store] transaction in
      try transaction.put(StateStore.meta, Self.collectedFact, UInt64(max(0, outcome.endedAt / 1_000_000_000)))
      if outcome.count == 0 { return }
      var event = EventRecord(.storeCollected, time: outcome.endedAt)
      event.detail = outcome.summary
      event.actor = actor
      try store.append(event, in: transaction)
    }
    if outcome.count > 0 {
      log.info("what is kept no longer was removed", metadata: ["removed": "\(outcome.summary)"])
    }
  }

  // MARK: - In the background

  /// Begins to collect by itself.
  package func start() {
    state.withLock { state in
      if state.isStopping || state.task != nil { return }
      state.task = Task { await run() }
    }
  }

  /// Ends collections, those that others wait for too.
  package func stop() async {
    let task = state.withLock { state in
      state.isStopping = true
      return state.task
    }
    task?.cancel()
    await task?.value
  }

  private func run() async {
    while !state.withLock(\.isStopping) {
      do {
        if try await isDue() { _ = try await collect(dryRun: false) }
      } catch is CancellationError {
        return
      } catch {
        log.error("what is kept no longer cannot be removed", metadata: ["error": "\(error)"])
      }
      do { try await Task.sleep(for: Self.lookInterval) } catch { return }
    }
  }

  /// Whether a day has gone by since the last collection, or the store is nearly full and the last one not just over. After
  /// a clock that was set back, too.
  func isDue() async throws -> Bool {
    guard let last = try store.read({ try $0.get(StateStore.meta, Self.collectedFact) }) else { return true }
    let elapsed = clock.now - Int64(clamping: min(last, UInt64.max >> 31)) * 1_000_000_000
    if elapsed < 0 || elapsed >= Self.day { return true }
    guard elapsed >= Self.earlyInterval else { return false }
    return try await size().isNearlyFull
  }
}
