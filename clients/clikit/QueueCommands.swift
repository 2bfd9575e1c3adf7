import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter queue`.
struct QueueCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "queue",
    abstract: "Look at the scan jobs.",
    discussion: "Example:\n  tidewaiter queue list --state error",
    subcommands: [QueueList.self, QueueShow.self, QueueWatch.self])
}

struct QueueList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List scan jobs.",
    discussion: "Example:\n  tidewaiter queue list --state pending --state in_progress")

  @Option(
    help: ArgumentHelp(
      "pending, in_progress, parsing_results, finished, error or cancelled (repeatable).", valueName: "STATE"),
    transform: JobState.init(named:))
  var state: [JobState] = []

  @Option(help: ArgumentHelp("Only jobs of this integration.", valueName: "NAME"))
  var integration: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      let jobs = try await session.jobs(states: state, integration: integration ?? "")
      if jobs.isEmpty { session.console.remark("There is no such job.") }
      try session.console.show(list: "jobs", jobs.map(\.json)) { session.console.render(JobView.table(of: jobs)) }
    }
  }
}

struct QueueShow: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show one scan job.", discussion: "Example:\n  tidewaiter queue show 42")

  @Argument(help: ArgumentHelp("Number of the job.", valueName: "JOB"))
  var job: UInt64

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = GetJobRequest()
    request.id = job
    try await global.perform { session in
      let found = try await session.queue.getJob(request)
      try session.console.show(list: "jobs", [found.json]) { session.console.render(JobView.facts(of: found)) }
    }
  }
}

struct QueueWatch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Show the jobs that wait and run, until interrupted.",
    discussion: """
      A terminal shows the jobs as they are now. Through a pipe, and with -o json or jsonl, every change is a line.

      Example:
        tidewaiter queue watch -o jsonl --timeout 10m
      """)

  @Option(help: ArgumentHelp("Only jobs of this integration.", valueName: "NAME"))
  var integration: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      var view = QueueWatchView(session.console)
      var request = WatchJobsRequest()
      request.integration = integration ?? ""
      try await session.wait(orFail: "--timeout ended the watch") { rest in
        for try await update in session.queue.watchJobs(request, timeout: rest) {
          try view.take(update)
          if session.console.isOutputClosed { return }
        }
      }
    }
  }
}

extension JobState {
  /// By the name that documents use.
  init(named name: String) throws(MalformedText) {
    let states = Self.known.filter { $0 != .unspecified }
    guard let state = states.first(where: { $0.name == name.replacing("-", with: "_") }) else {
      throw MalformedText("use one of \(states.map(\.name).joined(separator: ", "))")
    }
    self = state
  }
}

extension Session {
  /// Every job of that kind, page by page.
  func jobs(states: [JobState], integration: String) async throws -> [Job] {
    try await allPages { token in
      var request = ListJobsRequest()
      request.states = states
      request.integration = integration
      request.pageSize = Self.pageSize
      request.pageToken = token
      let page = try await queue.listJobs(request)
      return (page.jobs, page.nextPageToken)
    }
  }

  /// Waits until the jobs that match have ended, and tells of each as it stands and as it changes.
  func waitForJobs(_ request: WatchJobsRequest, _ tell: (Job) -> Void) async throws {
    var request = request
    request.untilEnded = true
    try await wait(orFail: "the scans did not end within --timeout") { rest in
      for try await update in queue.watchJobs(request, timeout: rest) {
        switch update {
        case .present(let job), .changed(let job): tell(job)
        case .snapshotBegins, .snapshotEnds: break
        }
      }
    }
  }
}
