import API
import Pipeline
import Queue
import StorageMessages

extension API.Job {
  /// A job as clients see it. `integration` is the integration's name.
  init(_ job: JobRecord, integration: String, progress: ScanProgress.Counts?) {
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
    if job.state == .finished {
      bytesFetched = job.bytesTotal
      layersDone = job.layersTotal
    } else if let progress {
      bytesFetched = progress.bytesFetched
      layersDone = progress.layersDone
    }
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
