import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct IntegrationPoll: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "poll",
    abstract: "Poll the registry now, and queue what is new; with --cancel, end the poll.",
    discussion: """
      With --wait, shows progress and ends when the scans of this poll have ended: exit 1 if the poll failed or was \
      cancelled, 3 if a scan did not finish. A poll whose registry grants no more requests is suspended and waited for.

      With --cancel, ends the poll that runs or is suspended: what it has queued stays queued.

      Example:
        tidewaiter integration poll hub --wait
      """)

  @OptionGroup var integration: IntegrationArgument
  @Flag(help: "Wait until the poll and its scans have ended.")
  var wait = false
  @Flag(help: "End the poll that runs or is suspended.")
  var cancel = false
  @OptionGroup(title: "Global options") var global: GlobalOptions

  func validate() throws {
    if wait && cancel { throw ValidationError("Only one of --wait and --cancel can hold.") }
  }

  func run() async throws {
    if cancel { return try await end() }
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

  private func end() async throws {
    var request = CancelPollRequest()
    request.integration = integration.name
    try await global.perform { session in
      let ended = try await session.integrations.cancelPoll(request)
      try session.console.show(ended.json) { session.console.render(PollView.facts(of: ended)) }
    }
  }

  private func check(_ poll: Poll, _ jobs: [Job], _ console: Console) throws {
    if poll.state != .finished {
      let reason = poll.error.map { ": " + $0.message } ?? ""
      throw CommandFailure.local(
        "the poll of \(poll.integration) \(poll.state == .failed ? "failed" : "did not finish")\(reason)",
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
