import Queue
import StorageMessages
import Store

/// Images as they are shown, inside one transaction: one whose job an open cancellation covers is what the cancellation
/// makes of it, from its commit on, as the job is shown as cancelled. And none names a job that is not there any more.
package struct ShownImages {
  private let cancellations: JobQueue.OpenCancellations
  private let transaction: ReadTransaction

  package init(_ queue: JobQueue, in transaction: ReadTransaction) throws {
    cancellations = try queue.openCancellations(in: transaction)
    self.transaction = transaction
  }

  package func image(_ key: ImageKey) throws -> ImageRecord? {
    try transaction.get(StateStore.images, key).map { try view($0) }
  }

  /// The image of the digest that the tag points to, or pointed to when it was last seen.
  func image(of key: TagKey, _ tag: TagRecord) throws -> ImageRecord? {
    try Ledger.image(of: key, tag, in: transaction).map { try view($0) }
  }

  /// An image that was read in this transaction. Looks at its job only while something is being cancelled.
  func view(_ image: ImageRecord) throws -> ImageRecord {
    guard image.status == .queued, !cancellations.isEmpty, let job = try job(of: image), job.state == .cancelled else {
      return image
    }
    var image = image
    image.takeEnd(
      of: job, JobQueue.Failure(code: job.errorCode, message: job.errorMessage, hint: job.errorHint))
    return image
  }

  /// The image's newest job; nil when it was cleared, or is kept no longer.
  func job(of image: ImageRecord?) throws -> JobRecord? {
    try Ledger.job(of: image, in: transaction).map { cancellations.view($0) }
  }

  /// The same image, which names its newest job only where that is there.
  package func naming(_ image: ImageRecord) throws -> ImageRecord {
    guard image.lastJobId != 0, try !transaction.has(QueueTables.jobs, image.lastJobId) else { return image }
    var image = image
    image.lastJobId = 0
    return image
  }
}

extension ImageRecord {
  /// Becomes what an image is whose job has ended without a report.
  mutating func takeEnd(of job: JobRecord, _ failure: JobQueue.Failure) {
    // A report that there was is still what is known.
    let isKnown = job.state == .cancelled && scannedAt != 0
    status =
      untagged ? .gone : isKnown ? .scanned : failure.isNoImage || job.state == .cancelled ? .skipped : .failed
    isRetried = failure.isTransient
    statusReason = isKnown ? "" : "\(failure.code): \(failure.message)"
  }
}
