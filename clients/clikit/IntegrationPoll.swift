import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct IntegrationPoll: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "poll",
    abstract: "Poll the registry now, and queue what is new.",
    discussion: """
      With --wait, shows progress and ends when the scans of this poll have ended: exit 1 if the poll failed, 3 if a \
      scan did.

      Example:
        tidewaiter integration poll hub --wait
      """)

  @OptionGroup var integration: IntegrationArgument
  @Flag(help: "Wait until the poll and its scans have ended.")
  var wait = false
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = PollIntegrationRequest()
    request.name = integration.name
    try await global.perform { session in
      let started = try await session.integrations.pollIntegration(request)
      guard wait else {
        return try session.console.show(started.json) { session.console.render(PollView.facts(of: started)) }
      }
      var watch = PollWatch(session: session, progress: ProgressLine(session.console))
      let poll = try await watch.waitForEnd(of: started)
      let jobs = try await watch.waitForJobs(of: poll)
      var document = poll.json
      document["jobs"] = .array(jobs.map(\.json))
      try session.console.show(document) { PollView.render(poll, jobs, session.console) }
      try check(poll, jobs, session.console)
    }
  }

  private func check(_ poll: Poll, _ jobs: [Job], _ console: Console) throws {
    if poll.state != .finished {
      let reason = poll.error.map { ": " + $0.message } ?? ""
      throw CommandFailure.local(
        "the poll of \(poll.integration) \(poll.state == .interrupted ? "was interrupted" : "failed")\(reason)",
        hint: poll.error.map(\.hint).flatMap { $0.isEmpty ? nil : $0 } ?? "run it again")
    }
    if poll.errorCount > 0 { console.warn("\(poll.errorCount) repositories or tags could not be read") }
    try JobGate.check(jobs)
  }
}

/// Follows a poll and then its scans.
private struct PollWatch {
  let session: Session
  var progress: ProgressLine

  mutating func waitForEnd(of started: Poll) async throws -> Poll {
    var request = WatchPollRequest()
    request.integration = started.integration
    request.id = started.id
    defer { progress.clear() }
    return try await session.wait(orFail: "the poll did not end within --timeout") { rest in
      var latest = started
      for try await poll in session.integrations.watchPoll(request, timeout: rest) {
        latest = poll
        progress.show(PollView.progress(of: poll))
      }
      return latest
    }
  }

  /// The poll's jobs when all have ended.
  mutating func waitForJobs(of poll: Poll) async throws -> [Job] {
    defer { progress.clear() }
    var request = WatchJobsRequest()
    request.pollId = poll.id
    request.integration = poll.integration
    var jobs: [UInt64: Job] = [:]
    var left = 0
    try await session.waitForJobs(request) { job in
      let wasLeft = jobs.updateValue(job, forKey: job.id).map { !$0.state.isFinal } ?? false
      left += (job.state.isFinal ? 0 : 1) - (wasLeft ? 1 : 0)
      progress.show(PollView.progress(of: poll, left: left, job))
    }
    return jobs.values.sorted { $0.id < $1.id }
  }
}

/// Polls as people read them.
enum PollView {
  static func facts(of poll: Poll) -> FactList {
    var facts = FactList()
    facts.add("poll", String(poll.id))
    facts.add("integration", poll.integration)
    facts.add("state", poll.state.name, colour(poll.state))
    if poll.startedAt != nil { facts.add("started", People.time(poll.startedAt)) }
    if poll.finishedAt != nil { facts.add("finished", People.time(poll.finishedAt)) }
    facts.add("repositories", "\(poll.repositoriesDone) of \(poll.repositories)")
    facts.add("tags", String(poll.tags))
    facts.add(
      "selected", "\(poll.selected) (\(poll.queued) queued, \(poll.alreadyKnown) already known)")
    facts.add("rejected, skipped", "\(poll.rejected), \(poll.skipped)")
    facts.add("not read", poll.errors, .yellow)
    if let error = poll.error { facts.add("error", "\(error.code): \(error.message)", .red) }
    return facts
  }

  private static func colour(_ state: PollState) -> Colour? {
    switch state {
    case .finished: .green
    case .failed, .interrupted: .red
    default: .cyan
    }
  }

  static func progress(of poll: Poll) -> String {
    "polling \(poll.integration): repositories \(poll.repositoriesDone)/\(poll.repositories), tags \(poll.tags), "
      + "selected \(poll.selected), queued \(poll.queued)"
  }

  /// `job` is the one that moved.
  static func progress(of poll: Poll, left: Int, _ job: Job) -> String {
    "scanning for \(poll.integration): \(left) of \(poll.queued) left; \(JobView.progress(of: job))"
  }

  /// The poll, how its jobs ended, and those that did not finish.
  static func render(_ poll: Poll, _ jobs: [Job], _ console: Console) -> String {
    var facts = Self.facts(of: poll)
    let ends = [JobState.finished, .error, .cancelled].map { state in (state, jobs.count { $0.state == state }) }
    let counts = ends.filter { $0.1 > 0 }.map { "\($0.1) \(People.name($0.0))" }
    facts.add("scans", counts.isEmpty ? "none" : counts.joined(separator: ", "))
    let failed = jobs.filter { $0.state != .finished }
    return console.render(facts) + (failed.isEmpty ? "" : "\n" + console.render(JobView.table(of: failed)))
  }
}
