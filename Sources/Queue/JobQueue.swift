import Posix
import StorageMessages
import Store

/// The scan queue: durable jobs and the leases on them. Every change is one transaction of the state store, so that it
/// is on disk before anybody hears of it.
package struct JobQueue: Sendable {
  /// Attempts of one job before a timeout or a transient failure becomes final (D13).
  package static let attemptsMaximum: UInt32 = 3
  /// Interruptions in a row before an image is given up, so that none can take the daemon down for ever (D13).
  package static let interruptionsMaximum: UInt32 = 5

  package enum Priority: UInt8, Sendable {
    case person = 0
    case newImage = 1
    case rescan = 2
  }

  /// A claim on a job by one scanner slot of this process. Every write proves its number.
  package struct Lease: Sendable, Equatable {
    package let job: JobRecord
    package var number: UInt64 { job.lease }
  }

  /// The lease was returned or its job was cancelled meanwhile: the result is not wanted any more.
  package struct StaleLease: Error, Equatable {
    package let job: UInt64
  }

  package struct Failure: Sendable, Equatable {
    package let code: String
    package let message: String
    package let hint: String
    package init(code: String, message: String, hint: String) {
      self.code = code
      self.message = message
      self.hint = hint
    }
  }

  package let store: StateStore
  let clock: WallClock

  package init(store: StateStore, clock: WallClock = .system) {
    self.store = store
    self.clock = clock
  }

  // MARK: - Asking

  package func job(_ id: UInt64) throws -> JobRecord? { try store.read { try $0.get(QueueTables.jobs, id) } }

  /// Jobs in order of id above `after` up to `through` that satisfy `matches`, at most `limit`.
  package func jobs(
    after: UInt64, through last: UInt64 = .max, limit: Int, where matches: (JobRecord) -> Bool
  ) throws -> [JobRecord] {
    guard after < last, limit > 0 else { return [] }
    return try store.read { transaction in
      var found: [JobRecord] = []
      try transaction.scan(QueueTables.jobs, from: after + 1) { id, job in
        guard id <= last else { return false }
        if matches(job) { found.append(job) }
        return found.count < limit
      }
      return found
    }
  }

  /// Number of jobs in each state.
  package func counts() throws -> [JobState: UInt64] {
    try store.read { transaction in
      var counts: [JobState: UInt64] = [:]
      for state in JobState.all {
        counts[state] = try transaction.get(QueueTables.counts, UInt64(state.rawValue)) ?? 0
      }
      return counts
    }
  }

  /// When the soonest job that backs off may run; nil when none does. Nanoseconds since 1970.
  package func nextDelayed() throws -> Int64? {
    try store.read { transaction in
      var next: Int64?
      try transaction.scan(QueueTables.delayed) { key, _ in
        next = Int64(clamping: key.notBefore)
        return false
      }
      return next
    }
  }

  // MARK: - Changing

  /// Queues an image inside a transaction; an image already pending or in progress keeps its job, which is returned.
  /// `actor` is who wants it, for the event log.
  package func enqueue(
    _ image: ImageKey, tag: String, priority: Priority, poll: UInt64 = 0, actor: String = "",
    in transaction: WriteTransaction
  ) throws -> (job: JobRecord, existed: Bool) {
    if let id = try transaction.get(QueueTables.active, image),
      let existing = try transaction.get(QueueTables.jobs, id)
    {
      return (existing, true)
    }
    var job = JobRecord()
    job.id = try Self.take("next_job", in: transaction)
    job.sequence = job.id
    job.integrationId = image.integration
    job.repository = image.repository
    job.digest = image.digest
    job.tag = tag
    job.state = .pending
    job.priority = UInt32(priority.rawValue)
    job.enqueuedAt = clock.now
    job.pollId = poll
    try put(job, .jobQueued, actor: actor, in: transaction)
    try transaction.put(QueueTables.active, image, job.id)
    try transaction.put(QueueTables.ready, job.readyKey, job.id)
    try Self.count(job.state, by: 1, in: transaction)
    return (job, false)
  }

  /// Takes the next job in order of priority and receipt among the integrations that `mayRun`; nil when there is none.
  package func lease(mayRun: @escaping @Sendable (_ integration: UInt64) -> Bool) async throws -> Lease? {
    try await store.write { transaction in
      let now = clock.now
      try promoteDelayed(now, in: transaction)
      guard let key = try nextReady(mayRun, in: transaction), let id = try transaction.get(QueueTables.ready, key),
        var job = try transaction.get(QueueTables.jobs, id)
      else { return nil }
      try transaction.delete(QueueTables.ready, key)
      let previous = try change(&job, .lease, in: transaction)
      job.lease = try Self.take("next_lease", in: transaction)
      job.attempt += 1
      job.startedAt = now
      job.notBefore = 0
      try transaction.put(QueueTables.running, job.id, job.lease)
      try put(job, .jobChanged, from: previous, in: transaction)
      return Lease(job: job)
    }
  }

  /// Records what a scan will have to read, for progress.
  package func describe(_ lease: Lease, bytesTotal: UInt64, layersTotal: UInt32) async throws {
    try await store.write { transaction in
      var job = try held(lease, in: transaction)
      job.bytesTotal = bytesTotal
      job.layersTotal = layersTotal
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
  package func finish(_ lease: Lease, in transaction: WriteTransaction) throws {
    var job = try held(lease, in: transaction)
    let previous = try change(&job, .finish, in: transaction)
    job.interruptions = 0
    try close(&job, from: previous, in: transaction)
  }

  /// Ends a job for good with a failure that no further attempt can mend.
  package func fail(_ lease: Lease, _ failure: Failure, in transaction: WriteTransaction) throws {
    var job = try held(lease, in: transaction)
    try fail(&job, failure, in: transaction)
  }

  /// After a transient failure or a timeout: back to the queue after `delay`, or, after the third attempt, final.
  /// Returns the job as it now stands.
  package func giveBack(
    _ lease: Lease, after delay: Duration, _ failure: Failure, in transaction: WriteTransaction
  ) throws -> JobRecord {
    var job = try held(lease, in: transaction)
    job.interruptions = 0
    guard job.attempt < Self.attemptsMaximum else {
      try fail(&job, failure, in: transaction)
      return job
    }
    // What went wrong stays visible while the job waits.
    job.errorCode = failure.code
    job.errorMessage = failure.message
    job.errorHint = failure.hint
    try putBack(&job, notBefore: delay > .zero ? instant(after: delay) : 0, in: transaction)
    return job
  }

  /// Told, in the transaction that ends it, of a job that was interrupted too often.
  package typealias GaveUp = @Sendable (JobRecord, WriteTransaction) throws -> Void

  /// After an attempt that the daemon cut short itself: back to the queue, and the attempt does not count (D13).
  package func interrupt(_ lease: Lease, gaveUp: @escaping GaveUp = { _, _ in }) async throws {
    try await store.write { transaction in
      var job = try held(lease, in: transaction)
      try interrupt(&job, in: transaction)
      if job.state.isFinal { try gaveUp(job, transaction) }
    }
  }

  /// At start: returns every lease of the process that died. Returns how many there were.
  package func recover(gaveUp: @escaping GaveUp = { _, _ in }) async throws -> Int {
    try await store.write { transaction in
      var held: [UInt64] = []
      try transaction.scan(QueueTables.running) { id, _ in
        held.append(id)
        return true
      }
      for id in held {
        guard var job = try transaction.get(QueueTables.jobs, id) else {
          try transaction.delete(QueueTables.running, id)
          continue
        }
        try interrupt(&job, in: transaction)
        if job.state.isFinal { try gaveUp(job, transaction) }
      }
      return held.count
    }
  }

  /// Ends a job that a person or the removal of its integration does not want any more; false if it had ended.
  package func cancel(_ id: UInt64, _ failure: Failure, in transaction: WriteTransaction) throws -> Bool {
    guard var job = try transaction.get(QueueTables.jobs, id), !job.state.isFinal else { return false }
    try removeFromIndexes(job, in: transaction)
    let previous = try change(&job, .cancel, in: transaction)
    job.errorCode = failure.code
    job.errorMessage = failure.message
    job.errorHint = failure.hint
    try close(&job, from: previous, in: transaction)
    return true
  }

  /// Cancels every job of an integration that has not ended. Returns their ids.
  package func cancelAll(
    of integration: UInt64, _ failure: Failure, in transaction: WriteTransaction
  ) throws -> [UInt64] {
    var doomed: [UInt64] = []
    try transaction.scan(QueueTables.active, prefix: { $0.append(integration) }) { _, id in
      doomed.append(id)
      return true
    }
    for id in doomed { _ = try cancel(id, failure, in: transaction) }
    return doomed
  }

  /// Ids of all jobs of an integration, ended or not.
  package func jobIDs(of integration: UInt64) throws -> [UInt64] {
    try store.read { transaction in
      var found: [UInt64] = []
      try transaction.scan(QueueTables.jobs) { id, job in
        if job.integrationId == integration { found.append(id) }
        return true
      }
      return found
    }
  }

  /// Forgets jobs that have ended; others stay.
  package func forget(_ ids: [UInt64]) async throws {
    try await store.write { transaction in
      for id in ids {
        guard let job = try transaction.get(QueueTables.jobs, id), job.state.isFinal else { continue }
        try transaction.delete(QueueTables.jobs, id)
        try Self.count(job.state, by: -1, in: transaction)
      }
    }
  }
}

extension JobRecord {
  package var imageKey: ImageKey { ImageKey(integration: integrationId, repository: repository, digest: digest) }
  var readyKey: ReadyKey {
    ReadyKey(integration: integrationId, priority: UInt8(clamping: priority), sequence: sequence)
  }
}
