import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

struct QueueCancel: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel",
    abstract: "Cancel jobs that wait or run.",
    discussion: """
      A scan that runs is stopped at once. By filters, or with --all, the answer comes at once however many there are: \
      all of them count as cancelled from then on.

      Example:
        tidewaiter queue cancel 42 43
        tidewaiter queue cancel --integration hub --repository 'team/*'
      """)

  @OptionGroup var selection: JobSelection

  @Option(
    help: ArgumentHelp("Only jobs that are pending, in_progress or parsing_results (repeatable).", valueName: "STATE"),
    transform: JobState.init(named:))
  var state: [JobState] = []

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func validate() throws { try selection.check(hasFilter: !state.isEmpty) }

  func run() async throws {
    var request = CancelJobsRequest()
    request.jobs = selection.selector(states: state)
    try await global.perform { session in
      try await selection.confirm("Cancel", JobState.open, session)
      let outcome = try await session.queue.cancelJobs(request)
      try session.console.show(outcome.json) {
        let most = selection.filter.poll == nil && selection.filter.repository == nil ? "" : "at most "
        return JobChangeView.render(
          outcome.jobs, sum: "cancelled \(most)\(People.jobs(outcome.matchedMaximum))", session.console)
      }
    }
  }
}

struct QueueRetry: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retry",
    abstract: "Queue jobs that have ended once more, with all their attempts.",
    discussion: """
      By filters, or with --all: those in error, unless --state says otherwise. An image that waits or is being scanned \
      as another job is not queued twice.

      Example:
        tidewaiter queue retry 42
        tidewaiter queue retry --integration hub --error SCAN_TIMEOUT
      """)

  @OptionGroup var selection: JobSelection

  @Option(
    help: ArgumentHelp("Only jobs that are error, cancelled or finished (repeatable).", valueName: "STATE"),
    transform: JobState.init(named:))
  var state: [JobState] = []

  @Option(
    help: ArgumentHelp("Only jobs that failed with this code, such as SCAN_TIMEOUT (repeatable).", valueName: "CODE"))
  var error: [String] = []

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func validate() throws { try selection.check(hasFilter: !state.isEmpty || !error.isEmpty) }

  func run() async throws {
    var request = RetryJobsRequest()
    request.jobs = selection.selector(states: state, errors: error)
    try await global.perform { session in
      try await selection.confirm("Retry", [.error], session)
      let outcome = try await session.queue.retryJobs(request)
      let existed = outcome.existed > 0 ? ", \(outcome.existed) were queued already" : ""
      try session.console.show(outcome.json) {
        JobChangeView.render(
          outcome.jobs, sum: "queued \(People.jobs(outcome.queued)) again\(existed)", session.console)
      }
    }
  }
}

struct QueuePrioritize: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prioritize",
    abstract: "Move jobs that wait to another place in the line.",
    discussion: """
      The line: what a person asked for, then new images, then rescans; of each the first come first.

      Example:
        tidewaiter queue prioritize 42 --to person
        tidewaiter queue prioritize --integration archive --to rescan
      """)

  @OptionGroup var selection: JobSelection

  @Option(help: ArgumentHelp("person, new or rescan.", valueName: "PRIORITY"), transform: JobPriority.init(named:))
  var to: JobPriority

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func validate() throws { try selection.check() }

  func run() async throws {
    var request = PrioritizeJobsRequest()
    request.jobs = selection.selector()
    request.priority = to
    try await global.perform { session in
      try await selection.confirm("Move", [.pending], session)
      let outcome = try await session.queue.prioritizeJobs(request)
      try session.console.show(outcome.json) {
        JobChangeView.render(outcome.jobs, sum: "moved \(People.jobs(outcome.changed))", session.console)
      }
    }
  }
}

struct QueueClear: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "clear",
    abstract: "Forget jobs that have ended; images and reports stay.",
    discussion: """
      Without a filter: those that finished. --all forgets failed and cancelled ones too.

      Example:
        tidewaiter queue clear
        tidewaiter queue clear --state error --integration hub
      """)

  @OptionGroup var selection: JobSelection

  @Option(
    help: ArgumentHelp("Only jobs that are finished, error or cancelled (repeatable).", valueName: "STATE"),
    transform: JobState.init(named:))
  var state: [JobState] = []

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func validate() throws { try selection.check(hasFilter: !wantedStates.isEmpty) }

  /// What finished, where nothing else is said.
  private var wantedStates: [JobState] {
    let saysNothing = selection.jobs.isEmpty && !selection.all && state.isEmpty
    return saysNothing ? [.finished] : state
  }

  func run() async throws {
    var request = ClearJobsRequest()
    request.jobs = selection.selector(states: wantedStates)
    try await global.perform { session in
      try await selection.confirm("Forget", JobState.ended, session)
      let outcome = try await session.queue.clearJobs(request)
      try session.console.show(outcome.json) {
        JobChangeView.render(outcome.jobs, sum: "forgot \(People.jobs(outcome.cleared))", session.console)
      }
    }
  }
}

extension JobPriority {
  init(named name: String) throws(MalformedText) {
    let priorities = Self.known.filter { $0 != .unspecified }
    guard let priority = priorities.first(where: { $0.name == name }) else {
      throw MalformedText("use one of \(priorities.map(\.name).joined(separator: ", "))")
    }
    self = priority
  }
}

/// What became of the jobs that a command named, or how many there were.
enum JobChangeView {
  static func render(_ changes: [JobChange], sum: String, _ console: Console) -> String {
    if changes.isEmpty { return sum + "\n" }
    var table = Table([.number("JOB"), .init("CHANGED"), .init("STATE"), .init("NOTE", cut: .end)])
    for change in changes {
      let note = change.existingJobId > 0 ? "its image is queued as job \(change.existingJobId)" : ""
      table.add([
        .init(String(change.jobId)), .init(change.changed ? "yes" : "no", change.changed ? .green : .yellow),
        .init(People.name(change.state), People.colour(change.state)), .init(note),
      ])
    }
    return console.render(table)
  }
}
