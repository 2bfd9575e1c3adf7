import StorageMessages
import Store

/// How much there is. What an open cancellation covers is counted as pending until it is carried out.
extension JobQueue {
  private static let oldestLookedAtMaximum = 10_000

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

  private func scanCounts(
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

  /// When the job was queued that waits longest at the head of its line, of one integration or all; nil when none waits.
  /// Nanoseconds since 1970. Looks at the head of each priority, and not far behind jobs that are being cancelled.
  package func oldestPending(of integration: UInt64? = nil) throws -> Int64? {
    try store.read { transaction in
      let cancellations = try openCancellations(in: transaction)
      var oldest: Int64?
      var lookedAt = 0
      for each in try integration.map({ [$0] }) ?? waitingIntegrations(in: transaction) {
        for priority in Priority.allCases {
          try transaction.scan(
            QueueTables.ready,
            prefix: { key in
              key.append(each)
              key.append(priority.rawValue)
            }
          ) { _, id in
            guard let job = try transaction.get(QueueTables.jobs, id) else { return true }
            // Those that are cancelled stand at the head of the line until that is carried out.
            lookedAt += 1
            if cancellations.covering(job) != nil { return lookedAt < Self.oldestLookedAtMaximum }
            oldest = min(oldest ?? .max, job.enqueuedAt)
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
