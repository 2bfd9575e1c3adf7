import Logging
import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store
import Synchronization

/// Polls: runs over every repository and tag of an integration's registry that choose images and queue them. One poll of
/// an integration at a time. A poll whose registry grants no more requests is suspended, and goes on under its number.
package final class Poller: Sendable {
  /// What a poll is started by.
  package enum Trigger: String, Sendable {
    case person, schedule
    /// By the schedule, for a time at which the daemon did not run.
    case missed
  }

  private struct Live {
    /// Running until its end is stored, or suspended.
    var record: PollRecord
    /// Nil while it is suspended.
    var task: Task<Void, Never>?
    let tally: RequestTally
    /// Who has ended it.
    var cancelledBy: String?

    /// The record with what was counted elsewhere.
    var current: PollRecord {
      var record = record
      record.requests += tally.requests
      record.bytesReceived += tally.bytes
      record.throttles.add(Int(clamping: tally.throttles))
      return record
    }
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
  ) throws {
    self.storeRetry = storeRetry
    self.store = store
    self.registries = registries
    self.intake = intake
    self.clock = clock
    self.log = log
    let suspended = try store.suspendedPolls()
    state.withLock { state in
      for record in suspended {
        state.live[record.integrationId] = Live(record: record, task: nil, tally: RequestTally())
      }
    }
  }

  package struct Stopping: Error {}
  package struct AlreadyStarting: Error {}

  /// The poll as it stands: while it runs, as of now.
  package func poll(_ key: PollKey) throws -> PollRecord? {
    let live = state.withLock { $0.live[key.integration]?.current }
    if let live, live.id == key.poll { return live }
    return try store.poll(key)
  }

  /// The poll of an integration that runs or is suspended.
  package func current(of integration: UInt64) -> PollRecord? { state.withLock { $0.live[integration]?.current } }

  /// Suspended polls, and when they are to go on. Nanoseconds since 1970.
  package var suspended: [(integration: UInt64, resumesAt: Int64)] {
    state.withLock { state in
      state.live.filter { $0.value.record.state == .suspended && $0.value.task == nil }.map {
        ($0.key, $0.value.record.resumesAt)
      }
    }
  }

  /// Starts a poll, or returns the one that runs or is suspended. `actor` is who wants it, for the event log; `schedule` is
  /// stored with the poll. Throws `RegistryError` where the integration's settings cannot be used.
  package func start(
    _ integration: IntegrationRecord, trigger: Trigger = .person, scheduledFor: Int64 = 0, actor: String = "",
    schedule: ScheduleStateRecord? = nil
  ) async throws -> PollRecord {
    // What cannot be used is told before anything is stored.
    _ = try (registries.client(for: integration), Criteria(integration))
    let running = try state.withLock { state throws -> PollRecord? in
      if state.isStopping { throw Stopping() }
      if let live = state.live[integration.id] { return live.current }
      guard state.starting.insert(integration.id).inserted else { throw AlreadyStarting() }
      return nil
    }
    if let running { return running }
    defer { state.withLock { _ = $0.starting.remove(integration.id) } }
    var wanted = PollRecord()
    wanted.integrationId = integration.id
    wanted.startedAt = clock.now
    wanted.trigger = trigger.rawValue
    wanted.scheduledFor = scheduledFor
    wanted.actor = actor
    let record = try await store.createPoll(wanted, schedule: schedule)
    try begin(integration, record)
    return record
  }

  /// Goes on with a suspended poll whose time has come.
  package func resume(_ integration: UInt64) async throws {
    guard let record = try store.integration(id: integration) else { return }
    let waiting = try state.withLock { state throws -> PollRecord? in
      if state.isStopping { throw Stopping() }
      guard let live = state.live[integration], live.task == nil,
        state.starting.insert(integration).inserted
      else { return nil }
      return live.record
    }
    guard var waiting else { return }
    defer { state.withLock { _ = $0.starting.remove(integration) } }
    waiting.state = .running
    waiting.resumesAt = 0
    waiting.errorCode = ""
    waiting.errorMessage = ""
    waiting.errorHint = ""
    // It lists them all again.
    waiting.repositories = 0
    waiting.repositoriesDone = 0
    waiting.repositoriesSkipped = 0
    try await store.putPoll(waiting, now: clock.now)
    try begin(record, waiting)
  }

  private func begin(_ integration: IntegrationRecord, _ record: PollRecord) throws {
    let tally = RequestTally()
    try state.withLock { state in
      // The next start of the daemon finds the poll that was created and records it as interrupted.
      if state.isStopping { throw Stopping() }
      // Who has cancelled a suspended poll while it was about to go on.
      let cancelledBy = state.live[integration.id]?.cancelledBy
      // Under the lock, so that nobody who wants to end the poll finds it without its task.
      let task = Task { await RequestTally.$current.withValue(tally) { await complete(integration, record.id) } }
      state.live[integration.id] = Live(record: record, task: task, tally: tally, cancelledBy: cancelledBy)
      if cancelledBy != nil { task.cancel() }
    }
  }

  private func change(_ integration: UInt64, _ change: (inout PollRecord) -> Void) {
    state.withLock { state in
      guard var live = state.live.removeValue(forKey: integration) else { return }
      change(&live.record)
      state.live[integration] = live
    }
  }

  private func complete(_ integration: IntegrationRecord, _ poll: UInt64) async {
    var log = log
    log[metadataKey: "integration"] = "\(integration.name)"
    log[metadataKey: "poll"] = "\(poll)"
    log.info("poll begins")
    let failure: (any Error)?
    do {
      // A removal that began before this poll could be seen has not ended it.
      guard try store.integration(id: integration.id) != nil else { throw CancellationError() }
      let run = PollRun(
        integration: integration, client: try registries.client(for: integration),
        criteria: try Criteria(integration), store: store, intake: intake, clock: clock, poll: poll,
        now: Timestamp(nanosecondsSince1970: clock.now), rows: RepositoryRows(store: store, clock: clock),
        followsCutOff: try followsCutOff(integration.id, poll)
      ) { [self] in change(integration.id, $0) }
      try await run.run()
      failure = nil
    } catch {
      failure = error
    }
    guard let record = await settle(integration.id, failure, log) else { return }
    log.info(
      record.state == .suspended ? "poll suspended" : "poll ended",
      metadata: [
        "state": "\(record.state.name)", "repositories": "\(record.repositoriesDone)", "tags": "\(record.tags)",
        "queued": "\(record.queued)", "requests": "\(record.requests)", "errors": "\(record.errorCount)",
        "error": "\(record.errorMessage)",
      ])
  }

  /// Stores how a run has ended, and forgets the poll unless it is suspended. Nil where that could not be stored.
  private func settle(_ integration: UInt64, _ failure: (any Error)?, _ log: Logger) async -> PollRecord? {
    while let live = state.withLock({ $0.live[integration] }) {
      var record = live.current
      PollEnd(failure, isStopped: Task.isCancelled, cancelledBy: live.cancelledBy).conclude(&record, now: clock.now)
      let isStored = await put(record, log)
      let ended = record
      let isOver = state.withLock { state in
        let isSuspended = isStored && ended.state == .suspended
        // Cancelled while it was being suspended: that is to be stored as well.
        if isSuspended, state.live[integration]?.cancelledBy != nil { return false }
        state.live[integration] = isSuspended ? Live(record: ended, task: nil, tally: RequestTally()) : nil
        return true
      }
      if isOver { return isStored ? record : nil }
    }
    return nil
  }

  /// Whether the run before this one, of this poll or the last, did not come to its end.
  private func followsCutOff(_ integration: UInt64, _ poll: UInt64) throws -> Bool {
    if current(of: integration)?.suspensions ?? 0 > 0 { return true }
    return try store.polls(of: integration, before: poll, limit: 1).first.map { $0.state != .finished } ?? false
  }

  /// Stores the record of a poll that has ended; tries until that has worked, or nobody waits for it any more.
  private func put(_ record: PollRecord, _ log: Logger) async -> Bool {
    while true {
      do {
        try await store.putPoll(record, now: clock.now)
        return true
      } catch {
        log.error("the poll's record cannot be stored", metadata: ["error": "\(error)"])
        // The next start records the poll of a daemon that stops as interrupted; nobody asks for one that is removed.
        if state.withLock(\.isStopping) { return false }
        // In a task of its own: this one may be cancelled and must wait all the same.
        _ = await Task { [storeRetry] in try await Task.sleep(for: storeRetry) }.result
      }
    }
  }

  /// Ends the poll that runs or is suspended, because a person wants it so. Returns it as it was recorded; nil where there
  /// is none, or another one than `poll` (0: whichever).
  package func cancel(_ integration: UInt64, poll: UInt64 = 0, by actor: String) async throws -> PollRecord? {
    let (key, task, isHeld) = state.withLock { state -> (PollKey?, Task<Void, Never>?, Bool) in
      guard var live = state.live[integration], poll == 0 || live.record.id == poll else { return (nil, nil, false) }
      live.cancelledBy = live.cancelledBy ?? actor
      state.live[integration] = live
      // One that is about to go on finds out that it is cancelled; another one is kept from it until it has ended.
      let isHeld = live.task == nil && state.starting.insert(integration).inserted
      return (PollKey(integration: integration, poll: live.record.id), live.task, isHeld)
    }
    guard let key else { return nil }
    if let task {
      task.cancel()
      await task.value
    } else if isHeld {
      defer { state.withLock { _ = $0.starting.remove(integration) } }
      if var record = try store.poll(key) {
        PollEnd(CancellationError(), isStopped: true, cancelledBy: actor).conclude(&record, now: clock.now)
        try await store.putPoll(record, now: clock.now)
        state.withLock { $0.live[integration] = nil }
      }
    }
    return try store.poll(key)
  }

  /// Ends the poll of an integration that is being removed, and waits for its end.
  package func abandon(_ integration: UInt64) async {
    let task = state.withLock { state in
      if let live = state.live[integration], live.task == nil { state.live[integration] = nil }
      return state.live[integration]?.task
    }
    guard let task else { return }
    task.cancel()
    await task.value
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
