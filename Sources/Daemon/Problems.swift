import API
import Glibc
import Store

/// What an operator should know, for `tidewaiter status`, each with what to do.
enum Problems {
  /// Who reads the store and is so many commits behind keeps the file growing. Of this process that is a backup: nothing
  /// else reads for so long.
  private static let commitsBehindMaximum: UInt64 = 1000

  static func all(
    of status: Status, store: StoreSize, environment: Store.Environment, sandbox: SandboxState
  ) -> [Problem] {
    var found: [Problem] = []
    if let problem = sandbox.problem { found.append(problem) }
    if let reader = environment.oldestReader, reader.commitsBehind > commitsBehindMaximum {
      let isOurs = reader.process == getpid()
      found.append(
        Problem(
          (isOurs ? "a backup" : "process \(reader.process)")
            + " reads the store as it was \(reader.commitsBehind) commits ago, and its file grows meanwhile",
          hint: isOurs ? "have the client that takes it read faster, or end it" : "end that process"))
    }
    if let fault = environment.fault {
      found.append(Problem("the store takes no changes: \(fault.message)", hint: fault.hint))
    }
    if let clamd = status.malware, !clamd.problem.isEmpty {
      found.append(
        Problem(
          "images are not scanned for malware: clamd at \(clamd.socket): \(clamd.problem)",
          hint: "start clamd, let the daemon's user connect to its socket, or take malware.clamd out of the settings"))
    }
    if status.advisories == 0 {
      found.append(
        Problem(
          "no advisories are imported: reports cannot list vulnerabilities",
          hint: "import OSV archives with: tidewaiter db import PATH"))
    }
    if store.isNearlyFull {
      found.append(
        Problem(
          "the store is nearly full: it uses \(store.usedBytes) of \(store.limitBytes) bytes",
          hint: "start the daemon with a larger store.mapSizeBytes, or have it keep less (retention), and see with "
            + "tidewaiter gc --dry-run what that would remove"))
    }
    found += status.pauses.map { pause in
      let scope = pause.integration.isEmpty ? "the queue" : "the queue of \(pause.integration)"
      return Problem(
        "\(scope) is paused" + (pause.actor.isEmpty ? "" : " by \(pause.actor)")
          + (pause.reason.isEmpty ? "" : ": \(pause.reason)"),
        hint: "go on with: tidewaiter queue resume"
          + (pause.integration.isEmpty ? "" : " --integration \(pause.integration)"))
    }
    return found
  }
}

extension Problem {
  init(_ message: String, hint: String) {
    self.init()
    self.message = message
    self.hint = hint
  }
}
