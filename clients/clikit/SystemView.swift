import Glibc
import TidewaiterClient

/// The daemon's state on one screen.
struct StatusView {
  private let status: Status
  private let socket: String

  init(_ status: Status, socket: String) {
    self.status = status
    self.socket = socket
  }

  func render(_ console: Console) -> String {
    let isWell = status.problems.isEmpty
    let headline = isWell ? "all is well" : "needs attention"
    let count = status.problems.count
    let title = "tidewaiterd \(TerminalText.escape(status.version)): \(headline)"
    var output = (console.colours ? (isWell ? Colour.green : .boldRed).paint(title) : title) + "\n\n"
    output += console.render(facts)
    if !isWell { output += "\n\(count) \(count == 1 ? "problem" : "problems"):\n" }
    for problem in status.problems {
      let message = TerminalText.escape(problem.message)
      output += "  " + (console.colours ? Colour.red.paint(message) : message) + "\n"
      if !problem.hint.isEmpty { output += "    hint: \(TerminalText.escape(problem.hint))\n" }
    }
    return output
  }

  private var facts: FactList {
    var facts = FactList()
    if let started = status.startedAt {
      let up = DurationText.describe(seconds: Int64(time(nil)) - started.seconds)
      facts.add("up", "\(up), since \(People.time(started))")
    }
    facts.add("socket", socket)
    facts.add("state directory", status.stateDirectory)
    facts.add("integrations", String(status.integrations))
    facts.add("images", String(status.images))
    let jobs = status.jobs.filter { $0.count > 0 }.map { "\($0.count) \(People.name($0.state))" }
    facts.add("jobs", jobs.isEmpty ? "none" : jobs.joined(separator: ", "))
    let updated = status.advisoriesUpdatedAt.map { ", updated \(People.time($0))" } ?? ""
    facts.add("advisories", "\(status.advisories)\(updated)")
    facts.add(
      "store",
      "\(People.size(status.storeBytesUsed)) of \(People.size(status.storeBytesLimit)) in use, "
        + "the file has \(People.size(status.storeFileBytes))")
    facts.add("scanner slots", String(status.scannerSlots))
    if let sandbox = status.sandbox { facts.add("sandbox", Self.text(sandbox)) }
    if let clamd = status.malware {
      facts.add("malware", clamd.problem.isEmpty ? clamd.version : "clamd does not answer: \(clamd.problem)")
    }
    if !status.resolve.isEmpty { facts.add("resolve", status.resolve.joined(separator: ", ")) }
    return facts
  }

  /// The pieces that hold, and those that do not with the reasons.
  private static func text(_ sandbox: Sandbox) -> String {
    let held = sandbox.pieces.filter(\.holds).map(\.name).joined(separator: ", ")
    let missing = sandbox.pieces.filter { !$0.holds }
      .map { "\($0.name)\($0.required ? "" : " (an extra)"): \($0.detail)" }
    return "\(sandbox.setting): \(held)" + (missing.isEmpty ? "" : "; without " + missing.joined(separator: "; "))
  }
}
