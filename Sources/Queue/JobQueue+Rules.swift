import Posix
import StorageMessages
import Store

/// What becomes of a job, inside the transaction of whoever wants it.
extension JobQueue {
  func interrupt(_ job: inout JobRecord, in transaction: WriteTransaction) throws {
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

  func putBack(_ job: inout JobRecord, notBefore: Int64, in transaction: WriteTransaction) throws {
    try transaction.delete(QueueTables.running, job.id)
    let previous = try change(&job, .giveBack, in: transaction)
    job.lease = 0
    job.notBefore = notBefore
    try put(job, .jobChanged, from: previous, in: transaction)
    if notBefore > 0 {
      try transaction.put(QueueTables.delayed, DelayedKey(notBefore: notBefore, job: job.id), NoValue())
    } else {
      try transaction.put(QueueTables.ready, job.readyKey, job.id)
    }
  }

  func fail(_ job: inout JobRecord, _ failure: Failure, in transaction: WriteTransaction) throws {
    let previous = try change(&job, .fail, in: transaction)
    job.errorCode = failure.code
    job.errorMessage = failure.message
    job.errorHint = failure.hint
    try close(&job, from: previous, in: transaction)
  }

  func close(_ job: inout JobRecord, from previous: JobState, in transaction: WriteTransaction) throws {
    try transaction.delete(QueueTables.running, job.id)
    try transaction.delete(QueueTables.active, job.imageKey)
    if job.state == .finished {
      job.errorCode = ""
      job.errorMessage = ""
      job.errorHint = ""
    }
    job.lease = 0
    job.finishedAt = clock.now
    try put(job, .jobChanged, from: previous, in: transaction)
  }

  func removeFromIndexes(_ job: JobRecord, in transaction: WriteTransaction) throws {
    try transaction.delete(QueueTables.ready, job.readyKey)
    try transaction.delete(QueueTables.delayed, DelayedKey(notBefore: job.notBefore, job: job.id))
    try transaction.delete(QueueTables.running, job.id)
  }

  func held(_ lease: Lease, in transaction: ReadTransaction) throws -> JobRecord {
    guard let job = try transaction.get(QueueTables.jobs, lease.job.id), job.lease == lease.number, !job.state.isFinal,
      try transaction.get(QueueTables.running, job.id) == lease.number
    else { throw StaleLease(job: lease.job.id) }
    return job
  }

  /// Returns the state that the job was in.
  func change(_ job: inout JobRecord, _ event: JobEvent, in transaction: WriteTransaction) throws -> JobState {
    let previous = job.state
    guard let next = event.next(from: previous) else {
      preconditionFailure("job \(job.id): \(event) cannot happen in state \(previous)")
    }
    try Self.count(previous, by: -1, in: transaction)
    try Self.count(next, by: 1, in: transaction)
    job.state = next
    return previous
  }

  func promoteDelayed(_ now: Int64, in transaction: WriteTransaction) throws {
    var due: [DelayedKey] = []
    try transaction.scan(QueueTables.delayed) { key, _ in
      guard key.notBefore <= UInt64(max(0, now)) else { return false }
      due.append(key)
      return due.count < 256
    }
    for key in due {
      try transaction.delete(QueueTables.delayed, key)
      guard let job = try transaction.get(QueueTables.jobs, key.job), job.state == .pending else { continue }
      try transaction.put(QueueTables.ready, job.readyKey, job.id)
    }
  }

  /// One seek an integration: the first ready key of each, and the best of those that may run.
  func nextReady(_ mayRun: (UInt64) -> Bool, in transaction: ReadTransaction) throws -> ReadyKey? {
    var best: ReadyKey?
    var from: ReadyKey? = nil
    while true {
      var first: ReadyKey?
      try transaction.scan(QueueTables.ready, from: from) { key, _ in
        first = key
        return false
      }
      guard let first else { return best }
      if mayRun(first.integration),
        best.map({ (first.priority, first.sequence) < ($0.priority, $0.sequence) }) ?? true
      {
        best = first
      }
      guard first.integration < UInt64.max else { return best }
      from = ReadyKey(integration: first.integration + 1, priority: 0, sequence: 0)
    }
  }

  static func count(_ state: JobState, by change: Int64, in transaction: WriteTransaction) throws {
    let key = UInt64(state.rawValue)
    let count = Int64(try transaction.get(QueueTables.counts, key) ?? 0)
    try transaction.put(QueueTables.counts, key, UInt64(max(0, count + change)))
  }

  static func take(_ counter: String, in transaction: WriteTransaction) throws -> UInt64 {
    let next = try transaction.get(StateStore.meta, counter) ?? 1
    try transaction.put(StateStore.meta, counter, next + 1)
    return next
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
