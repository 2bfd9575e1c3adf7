import API
import Advisories
import Glibc
import Model
import Pipeline
import Posix
import Queue
import RPC
import Registry
import Store

/// Turns what the rooms throw into statuses, in this one place.
enum ErrorTranslation {
  static func status(_ error: any Error) -> RPCError {
    switch error {
    case let error as RPCError: error
    case let error as ImageReference.Malformed: .invalidArgument([("reference", error.description)])
    case let error as IntegrationError: status(error)
    case let error as RegistryError: status(error)
    case let error as StoreError: status(error)
    case let error as Uploads.Failure: status(error)
    case let error as JobQueue.UnknownJob: QueueHandler.unknown(error.job)
    case is JobQueue.TooManyCancellations:
      RPCError(
        .resourceExhausted, reason: "TOO_MANY_CANCELLATIONS",
        "\(JobQueue.openCancellationsMaximum) cancellations are being carried out",
        hint: "try again in a moment; one with fewer filters covers more at once")
    case let error as ImageProblem:
      RPCError(.failedPrecondition, reason: error.code.rawValue, error.message, hint: error.hint)
    case let error as AdvisoryError:
      RPCError(.failedPrecondition, reason: error.code.rawValue, error.message, hint: error.hint)
    case is Poller.Stopping, is Broadcast.Closed:
      RPCError(.unavailable, reason: "STOPPING", "the daemon is stopping", hint: "try again when it runs")
    case is Poller.AlreadyStarting:
      RPCError(.aborted, reason: "POLL_STARTS", "a poll is being started", hint: "ask again")
    case is CancellationError: RPCError(.cancelled, "the call was cancelled")
    default: RPCError(.internal, reason: "INTERNAL", "\(error)", hint: "see the daemon's log")
    }
  }

  private static func status(_ error: IntegrationError) -> RPCError {
    switch error {
    case .nameTaken(let name):
      RPCError(
        .alreadyExists, reason: "NAME_TAKEN", "there is an integration \(name) already",
        hint: "choose another name, or remove that one: tidewaiter integration remove \(name)")
    case .unknown(let name):
      RPCError(
        .notFound, reason: "UNKNOWN_INTEGRATION", "no integration \(name.excerpt())",
        hint: "list them with: tidewaiter integration list")
    case .beingRemoved(let name):
      RPCError(
        .notFound, reason: "INTEGRATION_BEING_REMOVED", "the integration \(name) is being removed",
        hint: "its name is free again when its images are gone")
    case .changed(let name):
      RPCError(
        .aborted, reason: "CHANGED_MEANWHILE", "the integration \(name) was changed meanwhile",
        hint: "read it again and repeat the change")
    }
  }

  private static func status(_ error: RegistryError) -> RPCError {
    let code: RPCError.Code =
      switch error.code {
      case .notFound: .notFound
      // The registry refuses us; that says nothing of the client's rights here.
      case .unauthorized, .forbidden: .failedPrecondition
      case .rateLimited: .resourceExhausted
      default: error.isTransient ? .unavailable : .failedPrecondition
      }
    return RPCError(code, reason: error.code.rawValue, error.message, hint: error.advice)
  }

  private static func status(_ error: StoreError) -> RPCError {
    // Names and positions come from requests; a key that none can be made of is the asker's.
    if error.code == .keyTooLong {
      return RPCError(
        .invalidArgument, reason: error.code.rawValue, "a name in the request is longer than any can be",
        hint: "check the names in the request")
    }
    let code: RPCError.Code =
      switch error.code {
      case .diskFull, .mapFull: .resourceExhausted
      case .closed, .reopening, .inUse: .unavailable
      case .damaged: .dataLoss
      case .backupTooSlow: .aborted
      case .secrets, .keyNotOurs, .notWritable, .schemaUnknown, .backupUnusable, .notEmpty: .failedPrecondition
      case .keyTooLong, .io: .internal
      }
    return RPCError(code, reason: error.code.rawValue, error.message, hint: error.hint)
  }

  private static func status(_ failure: Uploads.Failure) -> RPCError {
    switch failure {
    case .unknown(let id):
      RPCError(
        .notFound, reason: "UNKNOWN_UPLOAD", "no upload \(id.excerpt())",
        hint: "uploads idle for an hour are dropped: start anew")
    case .tooMany:
      RPCError(
        .resourceExhausted, reason: "TOO_MANY_UPLOADS", "too many uploads are on their way",
        hint: "wait for others to end, or delete some")
    case .noRoom(let wanted, let left):
      RPCError(
        .resourceExhausted, reason: "UPLOADS_FULL",
        "an upload of \(wanted) bytes is over the \(left) bytes left for uploads",
        hint: "raise advisories.uploadBytesMaximum, or wait for other uploads to end")
    case .wrongOffset(let expected): .invalidArgument([("offset", "is not where the upload stands: \(expected)")])
    case .tooLong: .invalidArgument([("data", "goes beyond the size that was announced")])
    case .incomplete(let id, let received, let size):
      RPCError(
        .failedPrecondition, reason: "UPLOAD_INCOMPLETE", "upload \(id) has \(received) of \(size) bytes",
        hint: "write the rest first")
    case .busy(let id):
      RPCError(
        .aborted, reason: "UPLOAD_BUSY", "upload \(id.excerpt()) is being written or imported", hint: "wait for that")
    case .disk(let error):
      switch error.errno {
      case ENOSPC, EDQUOT:
        RPCError(
          .resourceExhausted, reason: "DISK_FULL", "no space left for uploads (\(error))",
          hint: "free space; nothing is lost")
      default: RPCError(.internal, reason: "UPLOAD_IO", "\(error)", hint: "check the state directory's file system")
      }
    }
  }
}
