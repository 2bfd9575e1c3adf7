import StorageMessages
import Store

extension QueueTables {
  package static let migrations = [
    // Counts are kept by integration, what has ended is found by its time, and failures are counted.
    StateStore.Migration(to: 2) { transaction in
      try transaction.clear(counts)
      var (counted, failed): ([CountKey: UInt64], [FailureKey: UInt64]) = ([:], [:])
      var ended: [EndedKey] = []
      try transaction.scan(jobs) { _, job in
        counted[CountKey(integration: job.integrationId, state: job.state), default: 0] += 1
        if job.state.isFinal { ended.append(job.endedKey) }
        if job.state == .error {
          failed[FailureKey(integration: job.integrationId, code: job.errorCode), default: 0] += 1
        }
        return true
      }
      for (key, count) in counted { try transaction.put(counts, key, count) }
      for (key, count) in failed { try transaction.put(failures, key, count) }
      for key in ended { try transaction.put(Self.ended, key, NoValue()) }
      try transaction.put(StateStore.meta, "next_sequence", transaction.get(StateStore.meta, "next_job") ?? 1)
    }
  ]
}
