import API

/// What an operator should know, for `tidewaiter status`, each with what to do.
enum Problems {
  /// The store counts as nearly full at this share of its map.
  private static let storeShareMaximum = 0.9

  static func all(of status: Status) -> [Problem] {
    var found: [Problem] = []
    if status.advisories == 0 {
      found.append(
        Problem(
          "no advisories are imported: reports cannot list vulnerabilities",
          hint: "import OSV archives with: tidewaiter db import PATH"))
    }
    if Double(status.storeBytesUsed) > Double(status.storeBytesLimit) * storeShareMaximum {
      found.append(
        Problem(
          "the store uses \(status.storeBytesUsed) of \(status.storeBytesLimit) bytes",
          hint: "start the daemon with a larger store.mapSizeBytes"))
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
  fileprivate init(_ message: String, hint: String) {
    self.init()
    self.message = message
    self.hint = hint
  }
}
