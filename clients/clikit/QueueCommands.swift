import API
import ArgumentParser
import ProtobufRuntime

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
      let found = try await session.queue.getJob(request, timeout: session.callTimeout)
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
      var known: [UInt64: Job] = [:]
      try await session.wait(orFail: "--timeout ended the watch", upTo: .seconds(1)) { timeout in
        let active = try await session.jobs(
          states: [.pending, .inProgress, .parsingResults], integration: integration ?? "", timeout: timeout)
        let ids = Set(active.map(\.id))
        var ended: [Job] = []
        for id in known.keys.sorted() where !ids.contains(id) {
          var request = GetJobRequest()
          request.id = id
          ended.append(try await session.queue.getJob(request, timeout: timeout))
        }
        let changed = (ended + active).filter { $0.differsForWatchers(from: known[$0.id]) }
        known = Dictionary(uniqueKeysWithValues: (active + ended.filter { !$0.state.isFinal }).map { ($0.id, $0) })
        try view.update(active: active, changed: changed)
        return session.console.isOutputClosed ? () : nil
      }
    }
  }
}

extension Job {
  fileprivate func differsForWatchers(from former: Job?) -> Bool {
    guard let former else { return true }
    return state != former.state || attempt != former.attempt
  }
}

/// What `queue watch` prints.
private struct QueueWatchView {
  private let console: Console
  private var drawnLines = 0

  init(_ console: Console) { self.console = console }

  mutating func update(active: [Job], changed: [Job]) throws {
    guard console.format == .table else {
      for job in changed { try console.print(job.json.text() + "\n") }
      return
    }
    guard let height = console.height else {
      for job in changed {
        let error = job.error.map { " \($0.code): \($0.message)" } ?? ""
        try console.print(TerminalText.escape("job \(job.id) \(JobView.progress(of: job))\(error)") + "\n")
      }
      return
    }
    // One line each for the head of the table, the line below it, and the cursor.
    let shown = active.prefix(max(height - 3, 1))
    let running = active.count { $0.state != .pending }
    var text = shown.isEmpty ? "" : console.render(JobView.table(of: Array(shown)))
    text += "\(running) running, \(active.count - running) waiting"
    text += shown.count < active.count ? ", \(active.count - shown.count) not shown\n" : "\n"
    let back = drawnLines > 0 ? "\u{1b}[\(drawnLines)A" : ""
    try console.print(back + "\r\u{1b}[J" + text)
    drawnLines = text.count { $0 == "\n" }
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
  func jobs(
    states: [JobState] = [], integration: String, pollID: UInt64 = 0, timeout: Duration? = nil
  ) async throws -> [Job] {
    try await allPages { token in
      var request = ListJobsRequest()
      request.states = states
      request.integration = integration
      request.pollId = pollID
      request.pageSize = Self.pageSize
      request.pageToken = token
      let page = try await queue.listJobs(request, timeout: timeout ?? callTimeout)
      return (page.jobs, page.nextPageToken)
    }
  }
}
