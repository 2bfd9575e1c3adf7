import Logging
import Posix
import Registry
import Selection
import StorageMessages
import Store
import Synchronization

/// Polls: runs over every repository and tag of an integration's registry that choose images and queue them. One poll of
/// an integration at a time.
package final class Poller: Sendable {
  private struct Live {
    /// Running until its end is stored.
    var record: PollRecord
    let task: Task<Void, Never>
  }

  private struct State {
    /// By integration.
    var live: [UInt64: Live] = [:]
    /// Integrations whose poll is being created.
    var starting: Set<UInt64> = []
    var isStopping = false
  }

  private let store: StateStore
  private let registries: RegistryClients
  private let intake: Intake
  private let clock: WallClock
  private let log: Logger
  /// How long to wait before trying again to store what became of a poll.
  private let storeRetry: Duration
  private let state = Mutex(State())

  package init(
    store: StateStore, registries: RegistryClients, intake: Intake, clock: WallClock, log: Logger,
    storeRetry: Duration = .seconds(2)
  ) {
    self.storeRetry = storeRetry
    self.store = store
    self.registries = registries
    self.intake = intake
    self.clock = clock
    self.log = log
  }

  package struct Stopping: Error {}
  package struct AlreadyStarting: Error {}

  /// The poll as it stands: while it runs, as of now.
  package func poll(_ key: PollKey) throws -> PollRecord? {
    let live = state.withLock { $0.live[key.integration]?.record }
    if let live, live.id == key.poll { return live }
    return try store.poll(key)
  }

  /// Starts a poll, or returns the one that runs. `actor` is who wants it, for the event log. Throws `RegistryError` where
  /// the integration's settings cannot be used.
  package func start(_ integration: IntegrationRecord, actor: String = "") async throws -> PollRecord {
    let client = try registries.client(for: integration)
    let criteria = try Criteria(integration)
    let running = try state.withLock { state throws -> PollRecord? in
      if state.isStopping { throw Stopping() }
      if let live = state.live[integration.id] { return live.record }
      guard state.starting.insert(integration.id).inserted else { throw AlreadyStarting() }
      return nil
    }
    if let running { return running }
    defer { state.withLock { _ = $0.starting.remove(integration.id) } }
    let record = try await store.createPoll(integration: integration.id, now: clock.now, actor: actor)
    let run = PollRun(
      integration: integration, client: client, criteria: criteria, store: store, intake: intake, clock: clock,
      poll: record.id
    ) { [self] change in
      state.withLock { state in
        guard var live = state.live.removeValue(forKey: integration.id) else { return }
        change(&live.record)
        state.live[integration.id] = live
      }
    }
    try state.withLock { state in
      // The next start of the daemon finds the poll that was created and records it as interrupted.
      if state.isStopping { throw Stopping() }
      // Under the lock, so that nobody who wants to end the poll finds it without its task.
      state.live[integration.id] = Live(record: record, task: Task { await complete(run, integration) })
    }
    return record
  }

  private func complete(_ run: PollRun, _ integration: IntegrationRecord) async {
    var log = log
    log[metadataKey: "integration"] = "\(integration.name)"
    log[metadataKey: "poll"] = "\(run.poll)"
    log.info("poll begins")
    let failure: (any Error)?
    do {
      // A removal that began before this poll could be seen has not ended it.
      guard try store.integration(id: integration.id) != nil else { throw CancellationError() }
      try await run.run()
      failure = nil
    } catch {
      failure = error
    }
    guard var record = state.withLock({ $0.live[integration.id]?.record }) else { return }
    record.finishedAt = clock.now
    Self.conclude(&record, failure, isStopped: Task.isCancelled)
    let isStored = await put(record, log)
    state.withLock { _ = $0.live.removeValue(forKey: integration.id) }
    guard isStored else { return }
    log.info(
      "poll ended",
      metadata: [
        "state": "\(record.state.name)", "repositories": "\(record.repositoriesDone)", "tags": "\(record.tags)",
        "queued": "\(record.queued)", "errors": "\(record.errorCount)", "error": "\(record.errorMessage)",
      ])
  }

  /// Stores the record of a poll that has ended; tries until that has worked, or nobody waits for it any more.
  private func put(_ record: PollRecord, _ log: Logger) async -> Bool {
    while true {
      do {
        try await store.putPoll(record)
        return true
      } catch {
        log.error("the poll's record cannot be stored", metadata: ["error": "\(error)"])
        // Cancelled by a stop or a removal: the next start records the poll as interrupted, or nobody asks for it.
        do { try await Task.sleep(for: storeRetry) } catch { return false }
      }
    }
  }

  private static func conclude(_ record: inout PollRecord, _ failure: (any Error)?, isStopped: Bool) {
    switch failure {
    case nil: record.state = .finished
    case .some(let error) where isStopped || error is CancellationError:
      record.state = .interrupted
      record.errorCode = "INTERRUPTED"
      record.errorMessage = "the poll was stopped"
      record.errorHint = "poll again"
    case let error as RegistryError:
      record.state = .failed
      record.errorCode = error.code.rawValue
      record.errorMessage = error.message
      record.errorHint = error.advice
    case let error as StoreError:
      record.state = .failed
      record.errorCode = error.code.rawValue
      record.errorMessage = error.message
      record.errorHint = error.hint
    case .some(let error):
      record.state = .failed
      record.errorCode = "INTERNAL"
      record.errorMessage = "\(error)"
      record.errorHint = "see the daemon's log"
    }
  }

  /// Ends the poll of an integration that is being removed, and waits for its end.
  package func cancel(_ integration: UInt64) async {
    guard let task = state.withLock({ $0.live[integration]?.task }) else { return }
    task.cancel()
    await task.value
  }

  /// Starts no more polls, ends those that run and returns when that is recorded.
  package func stop() async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return state.live.values.map(\.task)
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }
}
