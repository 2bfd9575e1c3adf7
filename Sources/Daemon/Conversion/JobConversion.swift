import API
import Model
import Pipeline
import Queue
import StorageMessages
import Store

extension API.Job {
  /// A job as clients see it. `integration` is the integration's name, `limit` its maximum scan time, `now` in nanoseconds
  /// since 1970; nil where nobody asks how long the job runs.
  init(
    _ job: JobRecord, integration: String, progress: ScanProgress.Counts?, limit: Duration? = nil, now: Int64? = nil
  ) {
    self.init()
    id = job.id
    reference = ImageConversion.reference(
      integration: integration, repository: job.repository, tag: job.tag, digest: job.digest)
    digest = job.digest
    state = API.JobState(rawValue: job.state.rawValue)
    attempt = job.attempt
    maxAttempts = JobQueue.attemptsMaximum
    priority = job.priority
    enqueuedAt = API.Timestamp(nanoseconds: job.enqueuedAt)
    startedAt = API.Timestamp(nanoseconds: job.startedAt)
    finishedAt = API.Timestamp(nanoseconds: job.finishedAt)
    notBefore = API.Timestamp(nanoseconds: job.notBefore)
    if !job.errorCode.isEmpty {
      error = ErrorDetail(code: job.errorCode, message: job.errorMessage, hint: job.errorHint)
    }
    pollId = job.pollId
    bytesTotal = job.bytesTotal
    layersTotal = job.layersTotal
    layersKnown = job.layersKnown
    actor = job.actor
    self.limit = limit.map { ProtoDuration($0) }
    if job.isRunning, let now { elapsed = ProtoDuration(.nanoseconds(max(0, now - job.startedAt))) }
    if job.state == .finished {
      bytesFetched = job.bytesTotal
      layersDone = job.layersTotal
    } else if let progress {
      bytesFetched = progress.bytesFetched
      layersDone = progress.layersDone
    }
  }
}

extension JobRecord {
  /// Whether a scanner holds it.
  var isRunning: Bool { state == .inProgress || state == .parsingResults }
}

extension API.Attempt {
  init(_ record: AttemptRecord, number: UInt64) {
    self.init()
    self.number = number
    attempt = record.attempt
    outcome = API.AttemptOutcome(rawValue: record.outcome.rawValue)
    startedAt = API.Timestamp(nanoseconds: record.startedAt)
    endedAt = API.Timestamp(nanoseconds: record.endedAt)
    error = ErrorDetail(
      code: record.errorCode, message: record.errorMessage, hint: ScanErrors.entry(record.errorCode)?.hint ?? "")
    bytesFetched = record.bytesFetched
    bytesTotal = record.bytesTotal
    layersDone = record.layersDone
    layersTotal = record.layersTotal
    layersKnown = record.layersKnown
  }
}

extension API.Attempt {
  /// Makes it as far as its job, which runs, has come.
  mutating func takeProgress(of job: API.Job) {
    bytesFetched = job.bytesFetched
    bytesTotal = job.bytesTotal
    layersDone = job.layersDone
    layersTotal = job.layersTotal
    layersKnown = job.layersKnown
  }
}

extension API.QueuePause {
  /// `integration` is the integration's name, "" for the whole queue.
  init(_ record: PauseRecord, integration: String) {
    self.init()
    self.integration = integration
    since = API.Timestamp(nanoseconds: record.since)
    actor = record.actor
    reason = record.reason
  }
}

extension API.JobChange {
  init(_ change: JobQueue.Change) {
    self.init()
    jobId = change.job
    changed = change.isChanged
    state = API.JobState(rawValue: change.state.rawValue)
    existingJobId = change.existing
  }
}

extension ErrorDetail {
  /// Nil when there is no error.
  init?(code: String, message: String, hint: String) {
    if code.isEmpty { return nil }
    self.init()
    self.code = code
    self.message = message
    self.hint = hint
  }
}
