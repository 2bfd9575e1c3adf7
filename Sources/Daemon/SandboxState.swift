import API
import Inventory
import Pipeline
import Posix

/// How workers are confined: as the settings want it, and as one of them found it when the daemon started.
struct SandboxState: Sendable {
  let setting: Configuration.Sandbox
  let report: ConfinementReport

  private static let hint =
    "give the daemon what is missing (README.md, \"The sandbox of workers\"), or let workers run without it with the "
    + "setting sandbox: best-effort"

  /// Has a worker try. Throws `StartError` where something is missing that the settings require.
  static func probe(_ setting: Configuration.Sandbox, program: String) async throws -> SandboxState {
    let report: ConfinementReport
    do {
      report = try await WorkerSandbox.probe(program: program)
    } catch let error as WorkerSandbox.Unknown {
      throw StartError(
        "the worker program \(program) does not tell how it is confined: \(error)",
        hint: "install the tidewaiter-worker that belongs to this tidewaiterd")
    } catch let error as PosixError {
      throw StartError(
        "the worker program \(program) cannot be run: \(error)",
        hint: "install tidewaiter-worker beside tidewaiterd, and let the daemon start processes")
    }
    let sandbox = SandboxState(setting: setting, report: report)
    if setting == .required, !report.missing.isEmpty {
      throw StartError("the sandbox of workers does not hold: \(sandbox.missing)", hint: hint)
    }
    return sandbox
  }

  /// What a worker that is to read layers is told.
  var arguments: [WorkerProtocol.Argument] { setting == .bestEffort ? [.bestEffort] : [] }

  /// What is missing, with the reasons; empty where nothing is.
  var missing: String { report.missing.map { "\($0.name) (\($0.detail))" }.joined(separator: ", ") }

  var problem: Problem? {
    report.missing.isEmpty
      ? nil
      : Problem("workers run without a part of their sandbox: \(missing)", hint: "give the daemon what is missing")
  }
}

extension API.Sandbox {
  init(_ sandbox: SandboxState) {
    self.init()
    setting = sandbox.setting.rawValue
    pieces = sandbox.report.pieces.map { piece in
      var message = SandboxPiece()
      message.name = piece.name
      message.holds = piece.holds
      message.required = piece.isRequired
      message.detail = piece.detail
      return message
    }
  }
}
