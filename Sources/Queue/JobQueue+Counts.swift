import StorageMessages
import Store

/// How much there is. What an open cancellation covers is counted as cancelled, as it is shown, but for selections by poll or
/// repository: see `cancelling`.
extension JobQueue {
  /// Jobs behind the heads of their lines that are looked at for one that is not being cancelled.
  private static let passedOverMaximum = 1_000

  /// Number of jobs in each state, of one integration or all.
  package func counts(of integration: UInt64? = nil) throws -> [JobState: UInt64] {
    try store.read { try counts(of: integration, in: $0) }
  }

  func counts(of integration: UInt64?, in transaction: ReadTransaction) throws -> [JobState: UInt64] {
    var counts = Dictionary(uniqueKeysWithValues: JobState.all.map { ($0, 0 as UInt64) })
    try scanCounts(of: integration, in: transaction) { _, state, count in counts[state, default: 0] += count }
    return counts
  }

  /// Number of jobs in each state, by integration; states without any are left out.
  package func integrationCounts() throws -> [UInt64: [JobState: UInt64]] {
    try store.read { transaction in
      var counts: [UInt64: [JobState: UInt64]] = [:]
      try scanCounts(of: nil, in: transaction) { integration, state, count in
        counts[integration, default: [:]][state] = count
      }
      return counts
    }
  }

  /// What is pending of an integration, or of all, is cancelled to the counts.
  func countPendingAsCancelled(of integration: UInt64?, in transaction: WriteTransaction) throws {
    var pending: [UInt64: UInt64] = [:]
    try scanCounts(of: integration, in: transaction) { id, state, count in
      if state == .pending { pending[id] = count }
    }
    for (id, count) in pending {
      let change = Int64(clamping: count)
      try Self.add(-change, QueueTables.counts, CountKey(integration: id, state: .pending), in: transaction)
      try Self.add(change, QueueTables.counts, CountKey(integration: id, state: .cancelled), in: transaction)
    }
  }

  func scanCounts(
    of integration: UInt64?, in transaction: ReadTransaction, _ body: (UInt64, JobState, UInt64) -> Void
  ) throws {
    try transaction.scan(QueueTables.counts, prefix: { if let integration { $0.append(integration) } }) { key, count in
      if let state = JobState.all.first(where: { UInt8(clamping: $0.rawValue) == key.state }) {
        body(key.integration, state, count)
      }
      return true
    }
  }

  /// Number of jobs that are in error, by code.
  package func failureCounts(of integration: UInt64? = nil) throws -> [String: UInt64] {
    try store.read { transaction in
      var counts: [String: UInt64] = [:]
      try transaction.scan(QueueTables.failures, prefix: { if let integration { $0.append(integration) } }) {
        key, count in
        counts[key.code, default: 0] += count
        return true
      }
      return counts
    }
  }

  /// When the job was queued that waits longest at the head of its line, by integration, of one or of all that have one.
  /// Nanoseconds since 1970. Looks at the head of each priority, and on the whole not far behind jobs that are being
  /// cancelled one by one: an integration whose line holds many of these has none here for the moment.
  package func oldestPending(of integration: UInt64? = nil) throws -> [UInt64: Int64] {
    try store.read { transaction in
      let cancellations = try openCancellations(in: transaction)
      var oldest: [UInt64: Int64] = [:]
      var passedOver = 0
      for each in try integration.map({ [$0] }) ?? waitingIntegrations(in: transaction) {
        let through = cancellations.wholeThrough(of: each)
        for priority in Priority.allCases {
          try transaction.scan(
            QueueTables.ready,
            prefix: { key in
              key.append(each)
              key.append(priority.rawValue)
            }, startingAt: ReadyKey(integration: each, priority: priority.rawValue, sequence: through + 1)
          ) { _, id in
            guard let job = try transaction.get(QueueTables.jobs, id) else { return true }
            if cancellations.covering(job) != nil {
              passedOver += 1
              return passedOver < Self.passedOverMaximum
            }
            oldest[each] = min(oldest[each] ?? .max, job.enqueuedAt)
            return false
          }
        }
      }
      return oldest
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
}
