import Posix
import StorageMessages
import Store

/// Attempts: what a scanner slot does with a job, from the lease to whatever ends it.
extension JobQueue {
  /// Jobs that one transaction looks at while it searches for one to lease.
  private static let lookedAtMaximum = 256

  private enum Search: Sendable {
    case found(Lease)
    case none
    /// Cancelled jobs stood at the head of the line, and more may follow.
    case again
  }

  /// Takes the next job in order of priority and receipt among what the gates of the integrations let through; nil when
  /// there is none. What is paused or cancelled does not start.
  package func lease(gate: @escaping @Sendable (_ integration: UInt64) -> Gate) async throws -> Lease? {
    while true {
      switch try await store.write({ transaction in try search(gate, in: transaction) }) {
      case .found(let lease): return lease
      case .none: return nil
      case .again: continue
      }
    }
  }

  /// Whether `lease` may find a job: false only where it gives nil. Asks nothing of the writer, whom each job that comes in
  /// would otherwise cost a transaction more while none may start.
  package func mayLease(gate: (_ integration: UInt64) -> Gate) throws -> Bool {
    // Gates may read the store themselves, and no read may wait inside another.
    let (first, hasDelayed) = try store.read { transaction -> ([ReadyKey], Bool) in
      let pauses = try pausedIntegrations(in: transaction)
      if pauses.contains(0) { return ([], false) }
      return (
        try heads(pauses, try openCancellations(in: transaction), in: transaction),
        try transaction.count(QueueTables.delayed) > 0
      )
    }
    // What backs off may be due, or the clock was set back.
    return hasDelayed || first.contains { gate($0.integration).admits($0) }
  }

  private func search(_ gate: (UInt64) -> Gate, in transaction: WriteTransaction) throws -> Search {
    try promoteDelayed(clock.now, in: transaction)
    let pauses = try pausedIntegrations(in: transaction)
    if pauses.contains(0) { return .none }
    let cancellations = try openCancellations(in: transaction)
    for _ in 0..<Self.lookedAtMaximum {
      guard
        let key = try heads(pauses, cancellations, in: transaction).first(where: { gate($0.integration).admits($0) }),
        let id = try transaction.get(QueueTables.ready, key)
      else { return .none }
      guard let job = try transaction.get(QueueTables.jobs, id) else {
        throw StoreError(
          .damaged, "table jobs_ready names job \(id), which is not in table jobs",
          hint: "stop the daemon, keep a copy of its state directory, and restore a backup")
      }
      guard let cancellation = cancellations.covering(job) else {
        return .found(try lease(job, key, in: transaction))
      }
      _ = try cancel(job, Failure(cancellation), actor: cancellation.actor, in: transaction)
    }
    return .again
  }

  private func lease(_ job: JobRecord, _ key: ReadyKey, in transaction: WriteTransaction) throws -> Lease {
    var job = job
    try transaction.delete(QueueTables.ready, key)
    let previous = try change(&job, .lease, in: transaction)
    job.lease = try transaction.take("next_lease")
    job.attempt += 1
    job.startedAt = clock.now
    job.notBefore = 0
    job.bytesTotal = 0
    job.layersTotal = 0
    job.layersKnown = 0
    job.attemptsRecorded += 1
    var attempt = AttemptRecord()
    attempt.lease = job.lease
    attempt.attempt = job.attempt
    attempt.startedAt = job.startedAt
    attempt.outcome = .running
    try transaction.put(QueueTables.attempts, job.attemptKey, attempt)
    if UInt64(job.attemptsRecorded) > Self.attemptsKept {
      try transaction.delete(
        QueueTables.attempts, AttemptKey(job: job.id, number: UInt64(job.attemptsRecorded) - Self.attemptsKept))
    }
    try transaction.put(QueueTables.running, job.id, job.lease)
    try put(job, .jobChanged, from: previous, in: transaction)
    return Lease(job: job)
  }

  /// The first ready keys of the integrations that are not paused, in the order in which they are to be leased. One seek an
  /// integration.
  private func heads(
    _ pauses: Set<UInt64>, _ cancellations: OpenCancellations, in transaction: ReadTransaction
  ) throws -> [ReadyKey] {
    try waitingIntegrations(in: transaction).filter { !pauses.contains($0) }
      .compactMap { try head(of: $0, past: cancellations.wholeThrough(of: $0), in: transaction) }
      .sorted { ($0.priority, $0.sequence) < ($1.priority, $1.sequence) }
  }

  /// The first of an integration's line that was received after `sequence`.
  private func head(
    of integration: UInt64, past sequence: UInt64, in transaction: ReadTransaction
  ) throws -> ReadyKey? {
    for priority in Priority.allCases {
      let first = ReadyKey(integration: integration, priority: priority.rawValue, sequence: sequence + 1)
      var found: ReadyKey?
      try transaction.scan(QueueTables.ready, prefix: { $0.append(integration) }, startingAt: first) { key, _ in
        found = key
        return false
      }
      // Without anything to pass over, the first of any priority is the first.
      guard let found else { return nil }
      if found.priority == priority.rawValue || sequence == 0 { return found }
    }
    return nil
  }

  /// Records what a scan will have to read, for progress: the bytes of the layers that are to be fetched, and how many
  /// layers there are, of which `layersKnown` were analysed before.
  package func describe(
    _ lease: Lease, bytesTotal: UInt64, layersTotal: UInt32, layersKnown: UInt32 = 0
  ) async throws {
    try await store.write { transaction in
      var job = try held(lease, in: transaction)
      job.bytesTotal = bytesTotal
      job.layersTotal = layersTotal
      job.layersKnown = layersKnown
      try transaction.put(QueueTables.jobs, job.id, job)
    }
  }

  /// All layers are analysed: matching begins.
  package func beginParsing(_ lease: Lease) async throws {
    try await store.write { transaction in
      var job = try held(lease, in: transaction)
      let previous = try change(&job, .parse, in: transaction)
      try put(job, .jobChanged, from: previous, in: transaction)
    }
  }

  /// Ends a job well, inside the transaction that stores its report.
  package func finish(_ lease: Lease, _ progress: Progress = Progress(), in transaction: WriteTransaction) throws {
    var job = try held(lease, in: transaction)
    try record(.finished, nil, progress, of: job, in: transaction)
    let previous = try change(&job, .finish, in: transaction)
    job.interruptions = 0
    try close(&job, from: previous, in: transaction)
  }

  /// Ends a job for good with a failure that no further attempt can mend.
  package func fail(
    _ lease: Lease, _ failure: Failure, _ progress: Progress = Progress(), in transaction: WriteTransaction
  ) throws {
    var job = try held(lease, in: transaction)
    try record(.failed, failure, progress, of: job, in: transaction)
    try fail(&job, failure, in: transaction)
  }

  /// After a transient failure or a timeout: back to the queue after `delay`, or, after the third attempt, final. One that
  /// used up its time goes behind all that waits in its priority.
  /// Returns the job as it now stands.
  @discardableResult
  package func giveBack(
    _ lease: Lease, after delay: Duration, _ failure: Failure, isTimeout: Bool = false,
    _ progress: Progress = Progress(), in transaction: WriteTransaction
  ) throws -> JobRecord {
    var job = try held(lease, in: transaction)
    let isLast = job.attempt >= Self.attemptsMaximum
    try record(
      isTimeout ? .timedOut : isLast ? .failed : .retried, failure, progress, of: job, in: transaction)
    job.interruptions = 0
    guard !isLast else {
      try fail(&job, failure, in: transaction)
      return job
    }
    // It had its turn: one that takes long would hold up all behind it three times over.
    if isTimeout { job.sequence = try transaction.take("next_sequence") }
    // What went wrong stays visible while the job waits.
    job.take(failure)
    job.putBackAt = clock.now
    try putBack(&job, notBefore: delay > .zero ? instant(after: delay) : 0, in: transaction)
    return job
  }

  /// After an attempt that the daemon cut short itself: back to the queue, and the attempt does not count (D13).
  package func interrupt(_ lease: Lease, _ progress: Progress = Progress()) async throws {
    try await store.write { transaction in
      var job = try held(lease, in: transaction)
      try interrupt(&job, progress, in: transaction)
    }
  }

  /// At start: returns every lease of the process that died. Returns how many there were.
  package func recover() async throws -> Int {
    try await store.write { transaction in
      let held = try leases(in: transaction)
      for (id, lease) in held {
        // What is none of its job's leases owns nothing; the sweep finds who does not.
        guard var job = try transaction.get(QueueTables.jobs, id), job.lease == lease, !job.state.isFinal,
          job.state != .pending
        else {
          try transaction.delete(QueueTables.running, id)
          continue
        }
        try interrupt(&job, Progress(), in: transaction)
      }
      return held.count
    }
  }

  /// Every lease there is, by job.
  package func leases() throws -> [UInt64: UInt64] { try store.read { try leases(in: $0) } }

  func leases(in transaction: ReadTransaction) throws -> [UInt64: UInt64] {
    var held: [UInt64: UInt64] = [:]
    try transaction.scan(QueueTables.running) { id, lease in
      held[id] = lease
      return true
    }
    return held
  }

  /// What became of the attempts at a job, in order. The oldest of very many are gone.
  package func attempts(of job: UInt64) throws -> [(number: UInt64, record: AttemptRecord)] {
    try store.read { transaction in
      var found: [(number: UInt64, record: AttemptRecord)] = []
      try transaction.scan(QueueTables.attempts, prefix: { $0.append(job) }) { key, record in
        found.append((key.number, record))
        return true
      }
      return found
    }
  }

  func interrupt(_ job: inout JobRecord, _ progress: Progress, in transaction: WriteTransaction) throws {
    try record(.interrupted, nil, progress, of: job, in: transaction)
    job.interruptions += 1
    guard job.interruptions < Self.interruptionsMaximum else {
      return try fail(
        &job,
        Failure(
          code: "INTERRUPTED",
          message: "the daemon stopped \(job.interruptions) times in a row while scanning this image",
          hint: "look for a crash in the daemon's log, then queue the image again"), in: transaction)
    }
    job.attempt -= min(job.attempt, 1)
    try putBack(&job, notBefore: 0, in: transaction)
  }

  /// Ends the record of the attempt that runs.
  func record(
    _ outcome: AttemptOutcome, _ failure: Failure?, _ progress: Progress, of job: JobRecord,
    in transaction: WriteTransaction
  ) throws {
    guard var attempt = try transaction.get(QueueTables.attempts, job.attemptKey), attempt.outcome == .running else {
      return
    }
    attempt.outcome = outcome
    attempt.endedAt = clock.now
    attempt.errorCode = failure?.code ?? ""
    attempt.errorMessage = failure?.message ?? ""
    attempt.bytesFetched = progress.bytesFetched
    attempt.layersDone = progress.layersDone
    attempt.bytesTotal = job.bytesTotal
    attempt.layersTotal = job.layersTotal
    attempt.layersKnown = job.layersKnown
    try transaction.put(QueueTables.attempts, job.attemptKey, attempt)
  }
}

extension JobRecord {
  var attemptKey: AttemptKey { AttemptKey(job: id, number: UInt64(attemptsRecorded)) }

  mutating func take(_ failure: JobQueue.Failure?) {
    errorCode = failure?.code ?? ""
    errorMessage = failure?.message ?? ""
    errorHint = failure?.hint ?? ""
  }
}
