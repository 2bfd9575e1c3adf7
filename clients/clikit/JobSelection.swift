import ArgumentParser
import TidewaiterClient

/// Which jobs a command changes: named ones, those that filters take, or all.
struct JobSelection: ParsableArguments {
  @Argument(help: ArgumentHelp("Number of a job, one or more.", valueName: "JOB"))
  var jobs: [UInt64] = []

  @OptionGroup var filter: JobFilter

  @Flag(help: "All of them. A terminal asks first.")
  var all = false

  @Flag(help: "Do not ask.")
  var yes = false

  /// What the daemon is asked for. `states` and `errors` are filters that not every command has.
  func selector(states: [JobState] = [], errors: [String] = []) -> JobSelector {
    var selector = JobSelector()
    selector.jobIds = jobs
    selector.all = all
    selector.integration = filter.integration ?? ""
    selector.pollId = filter.poll ?? 0
    selector.repository = filter.repository ?? ""
    selector.states = states
    selector.errorCodes = errors
    return selector
  }

  /// Exactly one of the three ways to choose must be used; `hasFilter`: the command's own filters are.
  func check(hasFilter: Bool = false) throws {
    let ways = [!jobs.isEmpty, filter.isGiven || hasFilter, all].count { $0 }
    guard ways > 0 else { throw ValidationError("Name jobs, or say which with filters, or give --all.") }
    guard ways == 1 else { throw ValidationError("Only one of job numbers, filters and --all can stand.") }
  }

  /// Asks the person at the terminal before all jobs in `states` are changed.
  func confirm(_ verb: String, _ states: [JobState], _ session: Session) async throws {
    guard all, !yes, TerminalDialogue.isInteractive else { return }
    let counts = try await session.queue.getQueueStats(GetQueueStatsRequest()).states
    let count = counts.reduce(0) { states.contains($1.state) ? $0 + $1.count : $0 }
    guard try TerminalDialogue.confirms("\(verb) all: \(People.jobs(count)) \(JobView.names(of: states))") else {
      throw CommandFailure.local("nothing was changed", hint: "name the jobs, or say which with filters")
    }
  }
}

/// Filters of jobs that every command has.
struct JobFilter: ParsableArguments {
  @Option(help: ArgumentHelp("Only jobs of this integration.", valueName: "NAME"))
  var integration: String?

  @Option(help: ArgumentHelp("Only jobs that this poll of the integration has queued.", valueName: "POLL"))
  var poll: UInt64?

  @Option(help: ArgumentHelp("Only images of repositories that match, with *.", valueName: "PATTERN"))
  var repository: String?

  var isGiven: Bool { integration != nil || poll != nil || repository != nil }

  func validate() throws {
    guard poll == nil || integration != nil else {
      throw ValidationError("--poll needs the --integration that it belongs to.")
    }
  }
}

extension JobState {
  static let open: [JobState] = [.pending, .inProgress, .parsingResults]
  static let ended: [JobState] = [.finished, .error, .cancelled]
}
