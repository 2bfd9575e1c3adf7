import Queue
import StorageMessages
import Store

extension StateStore {
  /// What the image of a job becomes that ended without a report, or is queued again (`failure` nil): told by the queue, in
  /// its transaction.
  package func noteEnd(of job: JobRecord, _ failure: JobQueue.Failure?, in transaction: WriteTransaction) throws {
    guard let failure else { return try noteRetry(of: job, in: transaction) }
    try changeImage(job.imageKey, in: transaction) { $0.takeEnd(of: job, failure) }
    if job.state == .error {
      try append(.imageFailed, job, "\(failure.code): \(failure.message)", time: job.finishedAt, in: transaction)
    }
  }

  /// Retention may have removed the image, or be about to: what is scanned anew is kept as long as what was just untagged.
  private func noteRetry(of job: JobRecord, in transaction: WriteTransaction) throws {
    let isUntagged = try transaction.get(Self.images, job.imageKey)?.untagged ?? true
    _ = try remember(job.imageKey, now: job.enqueuedAt, in: transaction)
    try changeImage(job.imageKey, in: transaction) { record in
      record.lastJobId = job.id
      record.status = .queued
      record.statusReason = ""
      record.isRetried = false
      record.untaggedAt = 0
    }
    if isUntagged { try setUntagged(job.imageKey, now: job.enqueuedAt, in: transaction) }
  }

  /// An event of the image that a job was about.
  func append(
    _ kind: EventKind, _ job: JobRecord, _ detail: String, time: Int64, in transaction: WriteTransaction
  ) throws {
    guard let image = try transaction.get(Self.images, job.imageKey) else { return }
    var event = try self.event(kind, of: job, time: time, in: transaction)
    event.state = image.status.name
    event.detail = detail
    try append(event, in: transaction)
  }
}
