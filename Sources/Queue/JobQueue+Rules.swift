import Posix
import StorageMessages
import Store

/// What becomes of a job, inside the transaction of whoever wants it.
extension JobQueue {
  /// Jobs that one transaction brings into line.
  private static let promotedBatch = 256
  /// Jobs that back off whose time is looked at for a clock that was set back.
  private static let correctedBatch = 64

  func putBack(_ job: inout JobRecord, notBefore: Int64, in transaction: WriteTransaction) throws {
    try transaction.delete(QueueTables.running, job.id)
    let previous = try change(&job, .giveBack, in: transaction)
    job.lease = 0
    job.notBefore = notBefore
    try put(job, .jobChanged, from: previous, in: transaction)
    try placeInLine(job, in: transaction)
  }

  func placeInLine(_ job: JobRecord, in transaction: WriteTransaction) throws {
    if job.notBefore > 0 {
      try transaction.put(QueueTables.delayed, DelayedKey(notBefore: job.notBefore, job: job.id), NoValue())
    } else {
      try transaction.put(QueueTables.ready, job.readyKey, job.id)
    }
  }

  func fail(_ job: inout JobRecord, _ failure: Failure, in transaction: WriteTransaction) throws {
    let previous = try change(&job, .fail, in: transaction)
    job.take(failure)
    try close(&job, from: previous, in: transaction)
    try Self.add(
      1, QueueTables.failures, FailureKey(integration: job.integrationId, code: job.errorCode), in: transaction)
    try observer(job, failure, transaction)
  }

  /// Ends a job that is not wanted any more, whatever it does. `actor` is who does not.
  func cancel(
    _ job: JobRecord, _ failure: Failure, _ progress: Progress = Progress(), actor: String,
    in transaction: WriteTransaction
  ) throws -> JobRecord {
    var job = job
    var isCounted = false
    if job.state == .pending {
      try takeFromLine(job, in: transaction)
      isCounted = try isCountedAsCancelled(job, in: transaction)
    } else {
      try record(.cancelled, failure, progress, of: job, in: transaction)
    }
    let previous = try change(&job, .cancel, isCounted: isCounted, in: transaction)
    job.take(failure)
    try close(&job, from: previous, actor: actor, in: transaction)
    try observer(job, failure, transaction)
    return job
  }

  func close(
    _ job: inout JobRecord, from previous: JobState, actor: String = "", in transaction: WriteTransaction
  ) throws {
    if previous != .pending { try transaction.delete(QueueTables.running, job.id) }
    try transaction.delete(QueueTables.active, job.imageKey)
    if job.state == .finished { job.take(nil) }
    job.lease = 0
    job.notBefore = 0
    job.finishedAt = clock.now
    try transaction.put(QueueTables.ended, job.endedKey, NoValue())
    try put(job, .jobChanged, from: previous, actor: actor, in: transaction)
  }

  func takeFromLine(_ job: JobRecord, in transaction: WriteTransaction) throws {
    if job.notBefore > 0 {
      try transaction.delete(QueueTables.delayed, DelayedKey(notBefore: job.notBefore, job: job.id))
    }
    // One that backed off until just now may be in line already.
    try transaction.delete(QueueTables.ready, job.readyKey)
  }

  func held(_ lease: Lease, in transaction: ReadTransaction) throws -> JobRecord {
    guard let job = try transaction.get(QueueTables.jobs, lease.job.id), job.lease == lease.number, !job.state.isFinal,
      try transaction.get(QueueTables.running, job.id) == lease.number
    else { throw StaleLease(job: lease.job.id) }
    return job
  }

  /// Returns the state that the job was in. `isCounted`: the counts have it in its new state already.
  func change(
    _ job: inout JobRecord, _ event: JobEvent, isCounted: Bool = false, in transaction: WriteTransaction
  ) throws -> JobState {
    let previous = job.state
    guard let next = event.next(from: previous) else {
      preconditionFailure("job \(job.id): \(event) cannot happen in state \(previous)")
    }
    if !isCounted { try Self.count(job, by: -1, in: transaction) }
    job.state = next
    if !isCounted { try Self.count(job, by: 1, in: transaction) }
    return previous
  }

  /// Brings into line what has backed off for long enough.
  func promoteDelayed(_ now: Int64, in transaction: WriteTransaction) throws {
    try correctDelayed(now, in: transaction)
    var due: [DelayedKey] = []
    try transaction.scan(QueueTables.delayed) { key, _ in
      guard key.notBefore <= UInt64(max(0, now)) else { return false }
      due.append(key)
      return due.count < Self.promotedBatch
    }
    for key in due {
      try transaction.delete(QueueTables.delayed, key)
      guard let job = try transaction.get(QueueTables.jobs, key.job), job.state == .pending else { continue }
      try transaction.put(QueueTables.ready, job.readyKey, job.id)
    }
  }

  /// A clock that was set back would hold up what backs off for as much longer: what was put back at a time that has not
  /// come yet waits from now on.
  private func correctDelayed(_ now: Int64, in transaction: WriteTransaction) throws {
    var ahead: [DelayedKey] = []
    var lookedAt = 0
    try transaction.scan(QueueTables.delayed) { key, _ in
      lookedAt += 1
      if let job = try transaction.get(QueueTables.jobs, key.job), job.putBackAt > now { ahead.append(key) }
      return lookedAt < Self.correctedBatch
    }
    for key in ahead {
      guard var job = try transaction.get(QueueTables.jobs, key.job) else { continue }
      try transaction.delete(QueueTables.delayed, key)
      let wait = max(0, job.notBefore - job.putBackAt)
      job.putBackAt = now
      job.notBefore = now + min(wait, .max - now)
      try transaction.put(QueueTables.jobs, job.id, job)
      try transaction.put(QueueTables.delayed, DelayedKey(notBefore: job.notBefore, job: job.id), NoValue())
    }
  }

  static func count(_ job: JobRecord, by change: Int64, in transaction: WriteTransaction) throws {
    try add(change, QueueTables.counts, CountKey(integration: job.integrationId, state: job.state), in: transaction)
  }

  /// Adds to a counter; one that reaches 0 is not kept.
  static func add<Key: TableKey>(
    _ change: Int64, _ table: Table<Key, UInt64>, _ key: Key, in transaction: WriteTransaction
  ) throws {
    let count = Int64(clamping: try transaction.get(table, key) ?? 0) + change
    if count > 0 {
      try transaction.put(table, key, UInt64(count))
    } else {
      try transaction.delete(table, key)
    }
  }

  /// A registry may ask for any delay at all: at most the end of the clock.
  func instant(after delay: Duration) -> Int64 {
    let (seconds, attoseconds) = delay.components
    let (whole, isTooLong) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if isTooLong { return .max }
    let (instant, isTooLate) = clock.now.addingReportingOverflow(whole)
    return isTooLate ? .max : instant + min(attoseconds / 1_000_000_000, .max - instant)
  }

  /// Stores a job in the state it has reached, and the event that says so.
  func put(
    _ job: JobRecord, _ kind: EventKind, from previous: JobState = .unspecified, actor: String = "",
    in transaction: WriteTransaction
  ) throws {
    try transaction.put(QueueTables.jobs, job.id, job)
    var event = try store.event(kind, of: job, time: clock.now, in: transaction)
    event.state = job.state.name
    event.detail = job.errorCode.isEmpty ? "" : "\(job.errorCode): \(job.errorMessage)"
    event.actor = actor
    event.job = job
    event.previousState = previous
    try store.append(event, in: transaction)
  }
}
