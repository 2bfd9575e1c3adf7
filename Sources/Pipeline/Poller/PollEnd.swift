import Registry
import StorageMessages
import Store

/// What the end of a run means for its poll.
struct PollEnd {
  private let failure: (any Error)?
  private let isStopped: Bool
  private let cancelledBy: String?

  /// `isStopped`: the run was told to end; `cancelledBy`: by that person, else by the daemon's own end.
  init(_ failure: (any Error)?, isStopped: Bool, cancelledBy: String?) {
    self.failure = failure
    self.isStopped = isStopped
    self.cancelledBy = cancelledBy
  }

  func conclude(_ record: inout PollRecord, now: Int64) {
    record.finishedAt = now
    record.resumesAt = 0
    switch failure {
    case nil: end(&record, .finished, "", "", "")
    case let suspended as RegistryWalk.Suspended where cancelledBy == nil:
      record.finishedAt = 0
      record.suspensions.add(1)
      record.resumesAt = now + suspended.wait.components.seconds * 1_000_000_000
      end(
        &record, .suspended, suspended.reason.code.rawValue, suspended.reason.message,
        "it goes on by itself; images that were queued are scanned meanwhile as far as the registry lets them")
    case .some(let error) where isStopped || error is CancellationError:
      guard let cancelledBy else {
        return end(&record, .interrupted, "INTERRUPTED", "the poll was stopped", "poll again")
      }
      end(
        &record, .cancelled, "CANCELLED", "the poll was cancelled" + (cancelledBy.isEmpty ? "" : " by \(cancelledBy)"),
        "poll again when it is wanted")
    case let error as RegistryError: end(&record, .failed, error.code.rawValue, error.message, error.advice)
    case let error as StoreError: end(&record, .failed, error.code.rawValue, error.message, error.hint)
    case .some(let error): end(&record, .failed, "INTERNAL", "\(error)", "see the daemon's log")
    }
  }

  private func end(
    _ record: inout PollRecord, _ state: PollState, _ code: String, _ message: String, _ hint: String
  ) {
    record.state = state
    record.errorCode = code
    record.errorMessage = message
    record.errorHint = hint
  }
}
