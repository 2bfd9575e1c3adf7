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
    var record: PollRecord
    var task: Task<Void, Never>?
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
  private let state = Mutex(State())

  package init(store: StateStore, registries: RegistryClients, intake: Intake, clock: WallClock, log: Logger) {
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

  /// Starts a poll, or returns the one that runs. Throws `RegistryError` where the integration's settings cannot be used.
  package func start(_ integration: IntegrationRecord) async throws -> PollRecord {
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
    let record = try await store.createPoll(integration: integration.id, now: clock.now)
    state.withLock { $0.live[integration.id] = Live(record: record) }
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
    let task = Task { await complete(run, integration) }
    let mustStop = state.withLock { state -> Bool in
      state.live[integration.id]?.task = task
      return state.isStopping
    }
    if mustStop { task.cancel() }
    return record
  }

  private func complete(_ run: PollRun, _ integration: IntegrationRecord) async {
    var log = log
    log[metadataKey: "integration"] = "\(integration.name)"
    log[metadataKey: "poll"] = "\(run.poll)"
    log.info("poll begins")
    let failure: (any Error)?
    do {
      try await run.run()
      failure = nil
    } catch {
      failure = error
    }
    let record = state.withLock { state -> PollRecord? in
      guard var record = state.live[integration.id]?.record else { return nil }
      record.finishedAt = clock.now
      Self.conclude(&record, failure)
      return record
    }
    guard let record else { return }
    do {
      try await store.putPoll(record)
      log.info(
        "poll ended",
        metadata: [
          "state": "\(record.state.name)", "repositories": "\(record.repositoriesDone)", "tags": "\(record.tags)",
          "queued": "\(record.queued)", "errors": "\(record.errorCount)", "error": "\(record.errorMessage)",
        ])
    } catch {
      log.error("the poll's record cannot be stored", metadata: ["error": "\(error)"])
    }
    state.withLock { _ = $0.live.removeValue(forKey: integration.id) }
  }

  private static func conclude(_ record: inout PollRecord, _ failure: (any Error)?) {
    switch failure {
    case nil: record.state = .finished
    case is CancellationError:
      record.state = .interrupted
      record.errorCode = "INTERRUPTED"
      record.errorMessage = "the poll was stopped"
      record.errorHint = "poll again"
    case let error as RegistryError:
      record.state = .failed
      record.errorCode = error.code.rawValue
      record.errorMessage = error.message
      record.errorHint = error.advice
    case .some(let error):
      record.state = .failed
      record.errorCode = "INTERNAL"
      record.errorMessage = "\(error)"
      record.errorHint = "see the daemon's log"
    }
  }

  /// Ends the poll of an integration that is being removed, and waits for its end.
  package func cancel(_ integration: UInt64) async {
    let task = state.withLock { $0.live[integration]?.task }
    task?.cancel()
    await task?.value
  }

  /// Starts no more polls, ends those that run and returns when that is recorded.
  package func stop() async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return state.live.values.compactMap(\.task)
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }
}
