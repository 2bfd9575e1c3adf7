import StorageMessages
import Store

extension JobRecord: TableValue {}

/// The tables of the scan queue. A job is in exactly one of `ready`, `delayed` and `running` while it is not final.
package enum QueueTables {
  package static let all = [
    jobs.description, active.description, ready.description, delayed.description, running.description,
    counts.description,
  ]

  package static let jobs = Table<UInt64, JobRecord>("jobs", "scan jobs by id")
  package static let active = Table<ImageKey, UInt64>("jobs_active", "the one job of an image that is not final")
  package static let ready = Table<ReadyKey, UInt64>("jobs_ready", "pending jobs that may run, in order; value: job id")
  package static let delayed = Table<DelayedKey, NoValue>("jobs_delayed", "pending jobs that back off")
  package static let running = Table<UInt64, UInt64>("jobs_running", "leased jobs; value: lease number")
  package static let counts = Table<UInt64, UInt64>("job_counts", "jobs by state (number of storage.v1.JobState)")
}

/// Order inside an integration: priority, then receipt. Integrations apart, so that finding the next job of another
/// integration costs one seek however long the first one's queue is.
package struct ReadyKey: TableKey, Hashable, Sendable {
  package static var layout: String {
    "integration id, 8 bytes big-endian; priority, 1 byte; sequence, 8 bytes big-endian"
  }
  package let integration: UInt64
  package let priority: UInt8
  package let sequence: UInt64

  package init(integration: UInt64, priority: UInt8, sequence: UInt64) {
    self.integration = integration
    self.priority = priority
    self.sequence = sequence
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(priority)
    key.append(sequence)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let priority = key.byte(), let sequence = key.number() else { return nil }
    self.init(integration: integration, priority: priority, sequence: sequence)
  }
}

package struct DelayedKey: TableKey, Hashable, Sendable {
  package static var layout: String { "not before, nanoseconds since 1970, 8 bytes big-endian; job id, 8 bytes" }
  package let notBefore: UInt64
  package let job: UInt64

  package init(notBefore: Int64, job: UInt64) {
    self.notBefore = UInt64(max(0, notBefore))
    self.job = job
  }
  package func encode(into key: inout KeyWriter) {
    key.append(notBefore)
    key.append(job)
  }
  package init?(from key: inout KeyReader) {
    guard let notBefore = key.number(), let job = key.number() else { return nil }
    self.notBefore = notBefore
    self.job = job
  }
}
