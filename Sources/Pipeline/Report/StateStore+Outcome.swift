import Queue
import StorageMessages
import Store

extension StateStore {
  /// The image of a job that ended in error says why it was not scanned.
  package func recordFailure(of job: JobRecord, in transaction: WriteTransaction) throws {
    try changeImage(job.imageKey, in: transaction) { record in
      record.status = .failed
      record.statusReason = "\(job.errorCode): \(job.errorMessage)"
    }
    try append(.imageFailed, job, "\(job.errorCode): \(job.errorMessage)", time: job.finishedAt, in: transaction)
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
