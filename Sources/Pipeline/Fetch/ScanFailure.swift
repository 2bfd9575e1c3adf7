import Glibc
import Posix
import Queue
import Registry
import StorageMessages
import Store

/// What an error of an attempt means for its job, as `ScanErrors` has it.
struct ScanFailure {
  let failure: JobQueue.Failure
  /// When to try again; nil when that cannot help.
  let retryAfter: Duration?
  /// The attempt used up its time.
  let isTimeout: Bool

  /// An error as the table of codes is to see it.
  private struct Described {
    let code: String
    let message: String
    /// Empty for that of the table.
    var hint = ""
    /// Nil where the table says it.
    var isTransient: Bool?
    /// What the registry asks for.
    var wait = Duration.zero
  }

  init(_ error: any Error, _ job: JobRecord, _ backOff: ClosedRange<Duration>) {
    let described = Self.describe(error)
    let entry = ScanErrors.entry(described.code)
    isTimeout = error is TimeLimitExceeded
    let isTransient = described.isTransient ?? (entry?.retry == .retryable)
    failure = JobQueue.Failure(
      code: described.code, message: described.message,
      hint: described.hint.isEmpty ? entry?.hint ?? "" : described.hint, isTransient: isTransient,
      isNoImage: (error as? RegistryError)?.code == .notAnImage)
    retryAfter =
      isTransient ? (isTimeout ? .zero : max(Self.delay(after: job.attempt, backOff), described.wait)) : nil
  }

  /// Doubles with each attempt; up to a quarter more, so that jobs that failed together do not come back together.
  private static func delay(after attempt: UInt32, _ backOff: ClosedRange<Duration>) -> Duration {
    let doublings = min(max(1, attempt) - 1, 16)
    return min(backOff.upperBound, backOff.lowerBound * (1 << doublings)) * Double.random(in: 1...1.25)
  }

  private static func describe(_ error: any Error) -> Described {
    switch error {
    case let error as RegistryError:
      return Described(
        code: error.code.rawValue, message: error.message, hint: error.advice, isTransient: error.isTransient,
        wait: error.retryAfter ?? .zero)
    case let error as ImageProblem:
      return Described(code: error.code.rawValue, message: error.message, hint: error.hint)
    case let error as TimeLimitExceeded:
      return Described(
        code: ScanErrors.Own.scanTimeout.rawValue,
        message: "the scan took longer than the integration's maximum scan time, \(error.limit)")
    case let error as StoreError:
      return Described(code: error.code.rawValue, message: error.message, hint: error.hint)
    case let error as PosixError:
      let isMissing = error.errno == ENOENT || error.errno == EACCES
      return Described(
        code: ScanErrors.Own.workerFailed.rawValue, message: "\(error)",
        hint: isMissing ? "check that tidewaiter-worker lies beside tidewaiterd" : "")
    default: return Described(code: ScanErrors.Own.internal.rawValue, message: "\(error)")
    }
  }
}
