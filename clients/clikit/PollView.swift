import TidewaiterClient

/// Polls as people read them.
enum PollView {
  static func table(of polls: [Poll]) -> Table {
    var table = Table([
      .number("POLL"), .init("STATE"), .init("STARTED"), .init("TOOK", isOptional: true),
      .init("TRIGGER", isOptional: true), .number("REPOSITORIES"), .number("TAGS"), .number("NEW", isOptional: true),
      .number("MOVED", isOptional: true),
      .number("GONE", isOptional: true), .number("SELECTED"), .number("QUEUED"), .number("REQUESTS", isOptional: true),
      .number("ERRORS"),
      .init("ERROR", cut: .end),
    ])
    for poll in polls {
      table.add([
        .init(String(poll.id)), .init(poll.state.name, colour(poll.state)), .init(People.time(poll.startedAt)),
        .init(took(poll)), .init(poll.trigger), .init(String(poll.repositoriesDone)), .init(String(poll.tags)),
        .init(String(poll.tagsNew)), .init(String(poll.tagsMoved)), .init(String(poll.tagsGone)),
        .init(String(poll.selected)), .init(String(poll.queued)), .init(String(poll.requests)),
        .init(String(poll.errorCount), poll.errorCount > 0 ? .yellow : nil),
        .init(poll.error.map { "\($0.code): \($0.message)" } ?? "", .red),
      ])
    }
    return table
  }

  static func facts(of poll: Poll) -> FactList {
    var facts = FactList()
    facts.add("poll", String(poll.id))
    facts.add("integration", poll.integration)
    facts.add("state", poll.state.name, colour(poll.state))
    if let error = poll.error {
      facts.add("error", "\(error.code): \(error.message)", .red)
      if !error.hint.isEmpty { facts.add("what to do", error.hint) }
    }
    if poll.state == .suspended { facts.add("goes on", People.time(poll.resumesAt)) }
    if !poll.trigger.isEmpty {
      let when = poll.scheduledFor.map { ", due \(People.time($0))" } ?? ""
      facts.add("trigger", poll.trigger + (poll.actor.isEmpty ? "" : ", \(poll.actor)") + when)
    }
    if poll.startedAt != nil { facts.add("started", People.time(poll.startedAt)) }
    if poll.finishedAt != nil { facts.add("finished", "\(People.time(poll.finishedAt)), took \(took(poll))") }
    facts.add("repositories", repositories(of: poll))
    facts.add(
      "tags",
      "\(poll.tags) (\(poll.tagsNew) new, \(poll.tagsMoved) moved, \(poll.tagsGone) gone, \(poll.tagsFailed) not read)")
    facts.add("selected", "\(poll.selected) (\(poll.queued) queued, \(poll.alreadyKnown) already known)")
    facts.add("rejected, skipped", "\(poll.rejected), \(poll.skipped)")
    facts.add(
      "by reason",
      poll.outcomes.map { outcome in
        let code = outcome.reasonCode.isEmpty ? "" : ", \(outcome.reasonCode)"
        return "\(outcome.count) \(outcome.decision)\(code)" + (outcome.example.isEmpty ? "" : ": \(outcome.example)")
      })
    let throttles = poll.throttles > 0 ? ", \(poll.throttles) refused as too many" : ""
    facts.add("requests", "\(poll.requests)\(throttles)")
    facts.add("received", People.size(poll.bytesReceived))
    if poll.suspensions > 0 {
      facts.add("suspended", "\(poll.suspensions) \(poll.suspensions == 1 ? "time" : "times")")
    }
    if poll.isPartial { facts.add("partial", "not everything there is was listed", .yellow) }
    facts.add("notes", poll.notes)
    facts.add("not read", poll.errors, .yellow)
    let untold = Int(poll.errorCount) - poll.errors.count
    if untold > 0 { facts.add("", "and \(untold) more", .yellow) }
    return facts
  }

  private static func repositories(of poll: Poll) -> String {
    let others = [(poll.repositoriesSkipped, "skipped"), (poll.repositoriesGone, "gone")].filter { $0.0 > 0 }
    let more = others.isEmpty ? "" : " (\(others.map { "\($0.0) \($0.1)" }.joined(separator: ", ")))"
    return "\(poll.repositoriesDone) of \(poll.repositories)\(more)"
  }

  /// `2m 3s`; empty while it has not ended.
  private static func took(_ poll: Poll) -> String {
    guard let started = poll.startedAt, let finished = poll.finishedAt else { return "" }
    return DurationText.describe(seconds: finished.seconds - started.seconds)
  }

  private static func colour(_ state: PollState) -> Colour? {
    switch state {
    case .finished: .green
    case .failed, .interrupted: .red
    case .cancelled, .suspended: .yellow
    default: .cyan
    }
  }

  static func progress(of poll: Poll) -> String {
    let counts =
      "repositories \(poll.repositoriesDone)/\(poll.repositories), tags \(poll.tags), selected \(poll.selected), "
      + "queued \(poll.queued)"
    guard poll.state == .suspended else { return "polling \(poll.integration): \(counts)" }
    let why = poll.error?.message ?? "the registry grants no more requests"
    return "\(poll.integration) suspended until \(People.time(poll.resumesAt)): \(why); \(counts)"
  }

  /// `job` is the one that moved.
  static func progress(of poll: Poll, left: Int, _ job: Job) -> String {
    "scanning for \(poll.integration): \(left) of \(poll.queued) left; \(JobView.progress(of: job))"
  }

  /// The poll, how its jobs ended, and those that did not finish.
  static func render(_ poll: Poll, _ jobs: [Job], _ console: Console) -> String {
    var facts = Self.facts(of: poll)
    facts.add("scans", JobView.ends(of: jobs))
    let failed = jobs.filter { $0.state != .finished }
    return console.render(facts) + (failed.isEmpty ? "" : "\n" + console.render(JobView.table(of: failed)))
  }
}
