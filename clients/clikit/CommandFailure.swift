import Glibc
import Posix
import ProtobufRuntime
import TidewaiterClient

/// Why a command did not do what it was asked: what people read, what programs read, and the exit code.
struct CommandFailure: Error {
  /// The exit codes that scripts rely on.
  enum Exit: Int32 {
    case failed = 1
    case usage = 2
    /// A gate did not pass: scans failed under `--wait`.
    case gate = 3
    case noDaemon = 4
    case permission = 5
    /// `--timeout` ran out.
    case timedOut = 124
  }

  let exit: Exit
  /// As google.rpc writes its codes: `NOT_FOUND`.
  let code: String
  /// One line each; never empty.
  let messages: [String]
  let hint: String?
  /// The stable reason, the field violations.
  let details: [JSONValue]

  init(_ exit: Exit, code: TidewaiterError.Code, _ message: String, hint: String?) {
    self.init(exit, code: code, [message], hint: hint, details: [])
  }

  private init(
    _ exit: Exit, code: TidewaiterError.Code, _ messages: [String], hint: String?, details: [JSONValue]
  ) {
    self.exit = exit
    self.code = code.name
    self.messages = messages
    self.hint = hint
    self.details = details
  }

  /// What the command line itself gets wrong.
  static func usage(_ message: String, hint: String?) -> CommandFailure {
    CommandFailure(.usage, code: .invalidArgument, message, hint: hint)
  }

  /// Something of the client's own machine: a file, a terminal.
  static func local(_ message: String, hint: String?) -> CommandFailure {
    CommandFailure(.failed, code: .failedPrecondition, message, hint: hint)
  }

  /// Several things at once.
  static func local(_ messages: [String], hint: String?) -> CommandFailure {
    CommandFailure(.failed, code: .failedPrecondition, messages, hint: hint, details: [])
  }

  /// A system call on a file of the client's machine.
  static func local(_ error: PosixError) -> CommandFailure {
    let hint =
      switch error.errno {
      case ENOENT, ENOTDIR: "check the path"
      case EACCES, EPERM, EROFS: "check its permissions"
      case EFBIG: "give a smaller file"
      case ENOSPC, EDQUOT: "free space on its file system"
      default: "check the file and the disk it is on"
      }
    return local("\(error)", hint: hint)
  }

  static func timedOut(_ message: String) -> CommandFailure {
    CommandFailure(.timedOut, code: .deadlineExceeded, message, hint: "give it longer with --timeout, such as 5m")
  }

  static func noDaemon(_ reason: String) -> CommandFailure {
    CommandFailure(
      .noDaemon, code: .unavailable, "no daemon answers: \(reason)",
      hint: "start tidewaiterd, or name the socket of a running one with --socket or TIDEWAITER_SOCKET")
  }

  /// What a call ended with.
  init(_ error: TidewaiterError, socket: String) {
    var details: [JSONValue] = []
    if let reason = error.reason { details.append(.object([("reason", .string(reason))])) }
    if let cursor = error.cursor { details.append(.object([("cursor", .string(cursor))])) }
    details += error.fieldViolations.map { violation in
      .object([
        ("field", .string(violation.field)), ("option", .string(SettingNames.option(for: violation.field) ?? "")),
        ("description", .string(violation.description)),
      ])
    }
    let exit: Exit
    var hint: String?
    switch error.code {
    case .permissionDenied:
      exit = .permission
      hint = "become root or a member of the group that owns \(socket)"
    case .deadlineExceeded:
      exit = .timedOut
      hint = "give the call longer with --timeout, such as 5m"
    default:
      exit = .failed
      hint = error.fieldViolations.isEmpty ? nil : "correct what is named and run the command again"
    }
    let messages = error.fieldViolations.map { "\(SettingNames.flag(for: $0.field)): \($0.description)" }
    self.init(
      exit, code: error.code, messages.isEmpty ? [error.message] : messages, hint: error.hint ?? hint,
      details: details)
  }

  /// `{"error":{"code":…,"message":…,"details":[…]}}`.
  var json: JSONValue {
    var details = self.details
    if let hint { details.append(.object([("hint", .string(hint))])) }
    return .object([
      (
        "error",
        .object([
          ("code", .string(code)), ("message", .string(messages.joined(separator: "; "))),
          ("details", .array(details)),
        ])
      )
    ])
  }
}
