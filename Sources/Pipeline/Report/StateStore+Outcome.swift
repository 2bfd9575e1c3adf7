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
  }
}
