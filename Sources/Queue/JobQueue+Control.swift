import Posix
import StorageMessages
import Store

/// What people want of jobs: to end them, to have them again, sooner or later, or off the list; and of the queue: to rest.
extension JobQueue {
  /// Jobs that one transaction of a selection changes, and looks at.
  private static let changedBatch = 500
  private static let lookedAtBatch = 5_000

  /// What became of one job that was named.
  package struct Change: Sendable, Equatable {
    package let job: UInt64
    /// False: it was so already, or it cannot be changed in its state.
    package var isChanged = false
    /// As it stands now.
    package var state: JobState
    /// The job that the image of one to be retried has already; 0: none.
    package var existing: UInt64 = 0
    /// Of the attempt that was ended and is to be stopped; 0: none.
    package var lease: UInt64 = 0
  }

  package struct UnknownJob: Error, Equatable { package let job: UInt64 }

  // MARK: - Cancelling

  /// Ends jobs that a person does not want any more, all of them or, when one is unknown, none. `progress` says how far
  /// the attempt at a job has come.
  package func cancel(
    _ ids: [UInt64], actor: String, progress: @escaping @Sendable (_ job: UInt64) -> Progress = { _ in Progress() }
  ) async throws -> [Change] {
    try await change(ids) { job, transaction in
      guard !job.state.isFinal else { return Change(job: job.id, state: job.state) }
      let lease = job.lease
      let ended = try cancel(
        job, .cancelled(by: actor), lease == 0 ? Progress() : progress(job.id), actor: actor, in: transaction)
      return Change(job: job.id, isChanged: true, state: ended.state, lease: lease)
    }
  }

  // MARK: - Again

  /// Queues jobs that have ended once more, behind what waits already. One whose image has another job that has not ended
  /// stays as it is, and is told of that one.
  package func retry(_ ids: [UInt64], actor: String) async throws -> [Change] {
    try await change(ids) { job, transaction in try retry(job, actor: actor, in: transaction) }
  }

  /// The same for a selection; of jobs in error where it names no states.
  package func retry(_ selection: Selection, actor: String) async throws -> (changed: UInt64, existed: UInt64) {
    var outcome: (changed: UInt64, existed: UInt64) = (0, 0)
    let states: Set<JobState> = selection.states.isEmpty ? [.error] : selection.states.filter(\.isFinal)
    try await changeAll(Selection(of: selection, states: states)) { job, transaction in
      // One that is being removed is none of the caller's business.
      let integration = try transaction.get(StateStore.integrations, job.integrationId)
      guard let integration, !integration.deleting else { return Change(job: job.id, state: job.state) }
      return try retry(job, actor: actor, in: transaction)
    } told: { change in
      if change.isChanged { outcome.changed += 1 } else if change.existing != 0 { outcome.existed += 1 }
    }
    return outcome
  }

  private func retry(_ job: JobRecord, actor: String, in transaction: WriteTransaction) throws -> Change {
    guard job.state.isFinal else { return Change(job: job.id, state: job.state, existing: job.id) }
    try StateStore.requireIntegration(job.integrationId, in: transaction)
    if let active = try activeJob(of: job.imageKey, in: transaction) {
      return Change(job: job.id, state: job.state, existing: active.id)
    }
    var job = job
    try forgetEnd(of: job, in: transaction)
    let previous = try change(&job, .retry, in: transaction)
    job.take(nil)
    job.attempt = 0
    job.interruptions = 0
    job.enqueuedAt = clock.now
    job.startedAt = 0
    job.finishedAt = 0
    job.sequence = try transaction.take("next_sequence")
    job.priority = UInt32(Priority.person.rawValue)
    job.actor = actor
    try put(job, .jobChanged, from: previous, actor: actor, in: transaction)
    try transaction.put(QueueTables.active, job.imageKey, job.id)
    try placeInLine(job, in: transaction)
    try observer(job, nil, transaction)
    return Change(job: job.id, isChanged: true, state: job.state)
  }

  // MARK: - Sooner or later

  /// Moves pending jobs to another priority; what waits for its back-off goes on waiting.
  package func prioritize(_ ids: [UInt64], to priority: Priority, actor: String) async throws -> [Change] {
    try await change(ids) { job, transaction in
      try prioritize(job, to: priority, actor: actor, in: transaction)
    }
  }

  package func prioritize(_ selection: Selection, to priority: Priority, actor: String) async throws -> UInt64 {
    var changed: UInt64 = 0
    try await changeAll(Selection(of: selection, states: [.pending])) { job, transaction in
      try prioritize(job, to: priority, actor: actor, in: transaction)
    } told: {
      if $0.isChanged { changed += 1 }
    }
    return changed
  }

  private func prioritize(
    _ job: JobRecord, to priority: Priority, actor: String, in transaction: WriteTransaction
  ) throws -> Change {
    guard job.state == .pending, job.priority != UInt32(priority.rawValue) else {
      return Change(job: job.id, state: job.state)
    }
    let moved = try move(job, to: priority, actor: actor, in: transaction)
    return Change(job: job.id, isChanged: true, state: moved.state)
  }

  /// Moves a pending job to another priority.
  func move(
    _ job: JobRecord, to priority: Priority, actor: String, in transaction: WriteTransaction
  ) throws -> JobRecord {
    var job = job
    let wasReady = try transaction.delete(QueueTables.ready, job.readyKey)
    job.priority = UInt32(priority.rawValue)
    if wasReady { try transaction.put(QueueTables.ready, job.readyKey, job.id) }
    try put(job, .jobChanged, from: job.state, actor: actor, in: transaction)
    return job
  }

  // MARK: - Off the list

  /// Forgets jobs that have ended, with their attempts; others stay.
  package func clear(_ ids: [UInt64], actor: String) async throws -> [Change] {
    try await change(ids) { job, transaction in
      try clear(job, in: transaction)
    } then: { changes, transaction in
      let cleared = changes.count(where: \.isChanged)
      if cleared == 0 { return }
      try tell(.queueCleared, nil, detail: cleared == 1 ? "1 job" : "\(cleared) jobs", actor: actor, in: transaction)
    }
  }

  /// The same for a selection; one event tells of all of it, with the first that go. `actor` is who wants it; nil where that
  /// is nobody's wish of its own.
  package func clear(_ selection: Selection, actor: String?) async throws -> UInt64 {
    let states = selection.states.isEmpty ? Set(JobState.all) : selection.states
    let ended = Selection(of: selection, states: states.filter(\.isFinal))
    var cleared: UInt64 = 0
    try await changeAll(ended) { job, transaction in
      try clear(job, in: transaction)
    } first: { transaction in
      guard let actor else { return }
      let matched = try counts(of: ended.integration, in: transaction).filter { ended.states.contains($0.key) }
      try tell(
        .queueCleared, ended, matchedMaximum: matched.values.reduce(0, +), actor: actor, in: transaction)
    } told: {
      if $0.isChanged { cleared += 1 }
    }
    return cleared
  }

  /// Whether a row of what has ended is borne out by its job.
  package func hasEnded(_ key: EndedKey, in transaction: ReadTransaction) throws -> Bool {
    guard let job = try transaction.get(QueueTables.jobs, key.job) else { return false }
    return job.state.isFinal && job.endedKey == key
  }

  /// Forgets the job of such a row, with its attempts.
  package func forget(_ key: EndedKey, in transaction: WriteTransaction) throws {
    guard let job = try transaction.get(QueueTables.jobs, key.job), job.endedKey == key else { return }
    _ = try clear(job, in: transaction)
  }

  private func clear(_ job: JobRecord, in transaction: WriteTransaction) throws -> Change {
    guard job.state.isFinal else { return Change(job: job.id, state: job.state) }
    try forgetEnd(of: job, in: transaction)
    try Self.count(job, by: -1, in: transaction)
    try transaction.delete(QueueTables.jobs, job.id)
    _ = try transaction.deleteAll(
      QueueTables.attempts, prefix: { $0.append(job.id) }, limit: Int(Self.attemptsKept) + 1)
    return Change(job: job.id, isChanged: true, state: job.state)
  }

  private func forgetEnd(of job: JobRecord, in transaction: WriteTransaction) throws {
    try transaction.delete(QueueTables.ended, job.endedKey)
    if job.state == .error {
      try Self.add(
        -1, QueueTables.failures, FailureKey(integration: job.integrationId, code: job.errorCode), in: transaction)
    }
  }

  // MARK: - Rest

  /// Starts no more scans, of one integration or (nil) at all, until `resume`; what runs goes on to its end. Pausing what
  /// is paused keeps its time. Survives restarts.
  package func pause(_ integration: UInt64?, reason: String, actor: String) async throws {
    try await store.write { transaction in
      guard try transaction.get(QueueTables.pauses, integration ?? 0) == nil else { return }
      if let integration { try StateStore.requireIntegration(integration, in: transaction) }
      var record = PauseRecord()
      record.since = clock.now
      record.actor = actor
      record.reason = reason
      try transaction.put(QueueTables.pauses, integration ?? 0, record)
      try tell(.queuePaused, integration, detail: reason, actor: actor, in: transaction)
    }
  }

  package func resume(_ integration: UInt64?, actor: String) async throws {
    try await store.write { transaction in
      guard try transaction.delete(QueueTables.pauses, integration ?? 0) else { return }
      try tell(.queueResumed, integration, detail: "", actor: actor, in: transaction)
    }
  }

  /// What is paused: integrations by id, and 0 for the whole queue.
  package func pauses() throws -> [(integration: UInt64, record: PauseRecord)] {
    try store.read { transaction in
      var found: [(integration: UInt64, record: PauseRecord)] = []
      try transaction.scan(QueueTables.pauses) { integration, record in
        found.append((integration, record))
        return true
      }
      return found
    }
  }

  func pausedIntegrations(in transaction: ReadTransaction) throws -> Set<UInt64> {
    var found: Set<UInt64> = []
    try transaction.scan(QueueTables.pauses) { integration, _ in
      found.insert(integration)
      return true
    }
    return found
  }

  /// That something begins to be done to all that a selection matches.
  func tell(
    _ kind: EventKind, _ selection: Selection, matchedMaximum: UInt64, actor: String, in transaction: WriteTransaction
  ) throws {
    var event = EventRecord(kind, time: clock.now)
    if let integration = selection.integration {
      event.integrationId = integration
      event.integration = try store.integrationName(integration, in: transaction)
    }
    event.repository = selection.repository
    event.pollId = selection.poll ?? 0
    event.actor = actor
    event.detail = "at most \(matchedMaximum) jobs"
    try store.append(event, in: transaction)
  }

  private func tell(
    _ kind: EventKind, _ integration: UInt64?, detail: String, actor: String, in transaction: WriteTransaction
  ) throws {
    var event = EventRecord(kind, time: clock.now)
    if let integration {
      event.integrationId = integration
      event.integration = try store.integrationName(integration, in: transaction)
    }
    event.detail = detail
    event.actor = actor
    try store.append(event, in: transaction)
  }

  // MARK: - By name, and by what they are

  /// Changes jobs that are named: all, or none when one is unknown. One that an open cancellation covers is cancelled
  /// first. `then` is told of all of them, in the same transaction.
  private func change(
    _ ids: [UInt64], _ body: @escaping @Sendable (JobRecord, WriteTransaction) throws -> Change,
    then: @escaping @Sendable ([Change], WriteTransaction) throws -> Void = { _, _ in }
  ) async throws -> [Change] {
    try await store.write { transaction in
      let jobs = try ids.map { id throws -> JobRecord in
        guard let job = try transaction.get(QueueTables.jobs, id) else { throw UnknownJob(job: id) }
        return job
      }
      let cancellations = try openCancellations(in: transaction)
      let changes = try jobs.map { stale in
        // A job may be named twice, and the first change may have cancelled another.
        guard let job = try transaction.get(QueueTables.jobs, stale.id) else {
          return Change(job: stale.id, state: stale.state)
        }
        return try body(try settled(job, cancellations, in: transaction), transaction)
      }
      try then(changes, transaction)
      return changes
    }
  }

  /// Changes every job of a selection, whose states are named, in batches between which others have their turn. What is
  /// queued meanwhile is left. `first` runs in the first transaction that changes any, before it does.
  private func changeAll(
    _ selection: Selection, _ body: @escaping @Sendable (JobRecord, WriteTransaction) throws -> Change,
    first: @escaping @Sendable (WriteTransaction) throws -> Void = { _ in }, told: (Change) -> Void
  ) async throws {
    if selection.states.isEmpty { return }
    let last = try store.read { (try $0.get(StateStore.meta, "next_job") ?? 1) - 1 }
    let wanted = try Filter(selection, readPattern)
    var position: UInt64 = 0
    var hasBegun = false
    while position < last {
      try Task.checkCancellation()
      let (changes, next) = try await store.write { [position, hasBegun] transaction in
        let cancellations = try openCancellations(in: transaction)
        var matching: [UInt64] = []
        let next = try step(after: position, through: last, limit: Self.lookedAtBatch, in: transaction) { job in
          if wanted.matches(cancellations.view(job)) { matching.append(job.id) }
          return matching.count < Self.changedBatch
        }
        if !hasBegun && !matching.isEmpty { try first(transaction) }
        let changes = try matching.compactMap { id throws -> Change? in
          // A change before this one may have settled it.
          guard let job = try transaction.get(QueueTables.jobs, id), wanted.matches(cancellations.view(job)) else {
            return nil
          }
          return try body(try settled(job, cancellations, in: transaction), transaction)
        }
        return (changes, next ?? last)
      }
      hasBegun = hasBegun || !changes.isEmpty
      for change in changes { told(change) }
      position = next
    }
  }

  /// The job as every reader is shown it, made so.
  private func settled(
    _ job: JobRecord, _ cancellations: OpenCancellations, in transaction: WriteTransaction
  ) throws -> JobRecord {
    guard let record = cancellations.covering(job) else { return job }
    return try cancel(job, Failure(record), actor: record.actor, in: transaction)
  }
}
