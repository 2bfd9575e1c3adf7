import Glibc
import Posix
import Queue
import Registry
import StorageMessages
import Store

/// What an error of an attempt means for its job.
struct ScanFailure {
  let failure: JobQueue.Failure
  /// When to try again; nil when that cannot help.
  let retryAfter: Duration?

  init(_ error: any Error, _ job: JobRecord, _ backOff: ClosedRange<Duration>) {
    let attempt = Int(max(1, job.attempt))
    // Doubles with each attempt; up to a quarter more, so that jobs that failed together do not come back together.
    let delay =
      min(backOff.upperBound, backOff.lowerBound * (1 << min(attempt - 1, 16))) * Double.random(in: 1...1.25)
    let failure: JobQueue.Failure
    var isNoImage = false
    switch error {
    case let error as RegistryError:
      failure = JobQueue.Failure(code: error.code.rawValue, message: error.message, hint: error.advice)
      retryAfter = error.isTransient ? max(delay, error.retryAfter ?? .zero) : nil
      isNoImage = error.code == .notAnImage
    case let error as ImageProblem:
      failure = JobQueue.Failure(code: error.code.rawValue, message: error.message, hint: error.hint)
      retryAfter = nil
    case is TimeLimitExceeded:
      failure = JobQueue.Failure(
        code: "SCAN_TIMEOUT", message: "the scan took longer than the integration's maximum scan time",
        hint: "raise the integration's scan timeout, or see whether its registry is slow")
      retryAfter = .zero
    case let error as StoreError:
      failure = JobQueue.Failure(code: error.code.rawValue, message: error.message, hint: error.hint)
      switch error.code {
      case .diskFull, .mapFull, .io, .reopening, .closed, .inUse, .notWritable: retryAfter = delay
      case .damaged, .schemaUnknown, .secrets, .keyNotOurs, .keyTooLong, .backupUnusable, .notEmpty: retryAfter = nil
      }
    case let error as PosixError:
      let isMissing = error.errno == ENOENT || error.errno == EACCES
      failure = JobQueue.Failure(
        code: "WORKER_FAILED", message: "\(error)",
        hint: isMissing
          ? "check that tidewaiter-worker lies beside tidewaiterd"
          : "raise the daemon's limits on processes, open files and memory, or scan fewer images at a time")
      retryAfter = delay
    default:
      failure = JobQueue.Failure(code: "INTERNAL", message: "\(error)", hint: "see the daemon's log")
      retryAfter = delay
    }
    self.failure = JobQueue.Failure(
      code: failure.code, message: failure.message, hint: failure.hint, isTransient: retryAfter != nil,
      isNoImage: isNoImage)
  }
}
