import ArgumentParser
import ProtobufRuntime
import TidewaiterClient

/// `tidewaiter queue`.
struct QueueCommand: CommandGroup {
  static let configuration = CommandConfiguration(
    commandName: "queue",
    abstract: "Look at the scan jobs, and decide what becomes of them.",
    discussion: "Example:\n  tidewaiter queue list --state error",
    subcommands: [
      QueueList.self, QueueShow.self, QueueWatch.self, QueueStatistics.self, QueueCancel.self, QueueRetry.self,
      QueuePrioritize.self, PauseCommand.self, ResumeCommand.self, QueueClear.self,
    ])
}

struct QueueList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "List scan jobs.",
    discussion: """
      Those that are pending, in the order in which they will run; those that ended, the newest end first; different ones \
      together by their numbers.

      Example:
        tidewaiter queue list --state pending --limit 10
      """)

  @Option(
    help: ArgumentHelp(
      "pending, in_progress, parsing_results, finished, error or cancelled (repeatable).", valueName: "STATE"),
    transform: JobState.init(named:))
  var state: [JobState] = []

  @OptionGroup var filter: JobFilter

  @Option(help: ArgumentHelp("Only so many, the first (default: all).", valueName: "N"))
  var limit: Int?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func validate() throws {
    guard limit ?? 1 > 0 else { throw ValidationError("--limit must be 1 or more.") }
  }

  func run() async throws {
    try await global.perform { session in
      let console = session.console
      if console.format == .jsonl {
        // A million jobs need not be held to be printed.
        return try await session.jobs(states: state, filter, limit: limit) { page in
          for job in page { try console.print(job.json.text() + "\n") }
          return !console.isOutputClosed
        }
      }
      var jobs: [Job] = []
      try await session.jobs(states: state, filter, limit: limit) { page in
        jobs += page
        return true
      }
      if jobs.isEmpty { console.remark("There is no such job.") }
      try console.show(list: "jobs", jobs.map(\.json)) { console.render(JobView.table(of: jobs)) }
    }
  }
}

struct QueueShow: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show one scan job: its attempts, its place in the line, what it waits for, and when it will be done.",
    discussion: "Example:\n  tidewaiter queue show 42")

  @Argument(help: ArgumentHelp("Number of the job.", valueName: "JOB"))
  var job: UInt64

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = GetJobRequest()
    request.id = job
    try await global.perform { session in
      let found = try await session.queue.getJob(request)
      try session.console.show(list: "jobs", [found.json]) { JobView.render(found, session.console) }
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
  /// Every job of that kind, page by page, until `take` answers false or there are `limit`.
  fileprivate func jobs(
    states: [JobState], _ filter: JobFilter, limit: Int?, _ take: ([Job]) throws -> Bool
  ) async throws {
    var request = ListJobsRequest()
    request.states = states
    request.integration = filter.integration ?? ""
    request.pollId = filter.poll ?? 0
    request.repository = filter.repository ?? ""
    var left = limit ?? .max
    let _: [Job] = try await allPages { token in
      request.pageSize = UInt32(clamping: min(left, Int(Self.pageSize)))
      request.pageToken = token
      let page = try await queue.listJobs(request)
      left -= page.jobs.count
      let goesOn = try take(page.jobs) && left > 0
      return ([], goesOn ? page.nextPageToken : "")
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
