import StorageMessages
import Store

extension JobRecord: TableValue {}
extension AttemptRecord: TableValue {}
extension PauseRecord: TableValue {}
extension CancellationRecord: TableValue {}

/// The tables of the scan queue. A job is in exactly one of `ready`, `delayed` and `running` while it is not final, and in
/// `ended` when it is.
package enum QueueTables {
  package static let all = [
    jobs.description, active.description, ready.description, delayed.description, running.description,
    ended.description, counts.description, failures.description, attempts.description, pauses.description,
    cancellations.description,
  ]

  package static let jobs = Table<UInt64, JobRecord>("jobs", "scan jobs by id")
  package static let active = Table<ImageKey, UInt64>("jobs_active", "the one job of an image that is not final")
  package static let ready = Table<ReadyKey, UInt64>("jobs_ready", "pending jobs that may run, in order; value: job id")
  package static let delayed = Table<DelayedKey, NoValue>("jobs_delayed", "pending jobs that back off")
  package static let running = Table<UInt64, UInt64>("jobs_running", "leased jobs; value: lease number")
  package static let ended = Table<EndedKey, NoValue>("jobs_ended", "final jobs, by when they ended")
  package static let counts = Table<CountKey, UInt64>("job_counts", "jobs by integration and state")
  package static let failures = Table<FailureKey, UInt64>("job_failures", "jobs in error by integration and code")
  package static let attempts = Table<AttemptKey, AttemptRecord>("job_attempts", "what became of each attempt at a job")
  package static let pauses = Table<UInt64, PauseRecord>(
    "queue_pauses", "integrations whose scans do not start, by id; 0: none do")
  package static let cancellations = Table<UInt64, CancellationRecord>(
    "queue_cancellations", "selections that are being cancelled, by number")
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

package struct EndedKey: TableKey, Hashable, Sendable {
  package static var layout: String {
    "state (number of storage.v1.JobState), 1 byte; ended, nanoseconds since 1970, 8 bytes big-endian; job id, 8 bytes"
  }
  package let state: UInt8
  package let endedAt: UInt64
  package let job: UInt64

  package init(state: JobState, endedAt: Int64, job: UInt64) {
    self.state = UInt8(clamping: state.rawValue)
    self.endedAt = UInt64(max(0, endedAt))
    self.job = job
  }
  package func encode(into key: inout KeyWriter) {
    key.append(state)
    key.append(endedAt)
    key.append(job)
  }
  package init?(from key: inout KeyReader) {
    guard let state = key.byte(), let endedAt = key.number(), let job = key.number() else { return nil }
    self.state = state
    self.endedAt = endedAt
    self.job = job
  }
}

package struct CountKey: TableKey, Hashable, Sendable {
  package static var layout: String {
    "integration id, 8 bytes big-endian; state (number of storage.v1.JobState), 1 byte"
  }
  package let integration: UInt64
  package let state: UInt8

  package init(integration: UInt64, state: JobState) {
    self.integration = integration
    self.state = UInt8(clamping: state.rawValue)
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(state)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let state = key.byte() else { return nil }
    self.integration = integration
    self.state = state
  }
}

package struct FailureKey: TableKey, Hashable, Sendable {
  package static var layout: String { "integration id, 8 bytes big-endian; error code" }
  package let integration: UInt64
  package let code: String

  package init(integration: UInt64, code: String) {
    self.integration = integration
    self.code = code
  }
  package func encode(into key: inout KeyWriter) {
    key.append(integration)
    key.append(last: code)
  }
  package init?(from key: inout KeyReader) {
    guard let integration = key.number(), let code = key.lastText() else { return nil }
    self.init(integration: integration, code: code)
  }
}

package struct AttemptKey: TableKey, Hashable, Sendable {
  package static var layout: String { "job id, 8 bytes big-endian; number of the attempt, 8 bytes big-endian" }
  package let job: UInt64
  package let number: UInt64

  package init(job: UInt64, number: UInt64) {
    self.job = job
    self.number = number
  }
  package func encode(into key: inout KeyWriter) {
    key.append(job)
    key.append(number)
  }
  package init?(from key: inout KeyReader) {
    guard let job = key.number(), let number = key.number() else { return nil }
    self.init(job: job, number: number)
  }
}
