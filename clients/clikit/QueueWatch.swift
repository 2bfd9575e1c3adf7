import ArgumentParser
import Glibc
import ProtobufRuntime
import Synchronization
import TidewaiterClient

struct QueueWatch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Show the queue as it is, until interrupted.",
    discussion: """
      A terminal shows the scans that run, who is next and what is paused, as it is now. Through a pipe, and with -o json \
      or jsonl, every change of a job is a line.

      Example:
        tidewaiter queue watch -o jsonl --timeout 10m
      """)

  @Option(help: ArgumentHelp("Only jobs of this integration.", valueName: "NAME"))
  var integration: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    try await global.perform { session in
      try await session.wait(orFail: "--timeout ended the watch") { rest in
        if session.console.format == .table, session.console.screen != nil {
          try await LiveQueue(session, integration: integration ?? "").run(atMost: rest)
        } else {
          try await printChanges(session, rest)
        }
      }
    }
  }

  private func printChanges(_ session: Session, _ rest: Duration?) async throws {
    var request = WatchJobsRequest()
    request.integration = integration ?? ""
    var changes = JobChangeLog(session.console)
    for try await update in session.queue.watchJobs(request, timeout: rest) {
      try changes.take(update)
      if session.console.isOutputClosed { return }
    }
  }
}

/// What `queue watch` prints where no terminal shows it: the jobs that have not ended, and each that reaches another state
/// or attempt.
struct JobChangeLog {
  private let console: Console
  private var active: [UInt64: Job] = [:]
  /// Those that were active before the connection was lost and have not been told of since.
  private var former: [UInt64: Job] = [:]
  private var isInSnapshot = false

  init(_ console: Console) { self.console = console }

  mutating func take(_ update: JobUpdate) throws {
    switch update {
    case .snapshotBegins:
      former = active
      active = [:]
      isInSnapshot = true
    case .snapshotEnds:
      former = [:]
      isInSnapshot = false
    case .present(let job), .changed(let job):
      let known = active[job.id] ?? former.removeValue(forKey: job.id)
      active[job.id] = job.state.isFinal ? nil : job
      // Jobs that had ended before are history.
      if known == nil && job.state.isFinal && isInSnapshot { return }
      if known.map({ job.state != $0.state || job.attempt != $0.attempt }) ?? true { try printLine(of: job) }
    }
  }

  private func printLine(of job: Job) throws {
    guard console.format == .table else { return try console.print(job.json.text() + "\n") }
    let error = job.error.map { " \($0.code): \($0.message)" } ?? ""
    try console.print(TerminalText.escape("job \(job.id) \(JobView.progress(of: job))\(error)") + "\n")
  }
}

/// The queue on a terminal, drawn anew in its place. What runs is watched; the numbers and the head of the line are asked
/// for again and again, so that the length of the line costs nothing.
private final class LiveQueue: Sendable {
  /// Numbers are asked for, and the screen drawn, as often as people can make use of: no wait for anything to happen.
  private static let askInterval = Duration.seconds(1)
  private static let drawInterval = Duration.milliseconds(250)

  private let session: Session
  private let integration: String
  private let screen: Mutex<QueueScreen>

  init(_ session: Session, integration: String) {
    self.session = session
    self.integration = integration
    screen = Mutex(QueueScreen(isOfOne: !integration.isEmpty))
  }

  func run(atMost rest: Duration?) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.watch(rest) }
      group.addTask { try await self.ask() }
      group.addTask { try await self.draw() }
      // The watch ends by an error alone, the drawing when nobody looks any more.
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  private func watch(_ rest: Duration?) async throws {
    var request = WatchJobsRequest()
    request.integration = integration
    request.states = [.inProgress, .parsingResults]
    for try await update in session.queue.watchJobs(request, timeout: rest) {
      screen.withLock { $0.take(update, at: .now) }
    }
  }

  private func ask() async throws {
    var stats = GetQueueStatsRequest()
    stats.integration = integration
    var head = ListJobsRequest()
    head.integration = integration
    head.states = [.pending]
    head.pageSize = QueueScreen.headMaximum
    while true {
      do throws(TidewaiterError) {
        let numbers = try await session.queue.getQueueStats(stats)
        let jobs = try await session.queue.listJobs(head).jobs
        screen.withLock { $0.take(numbers, head: jobs) }
      } catch {
        // The watch decides how long a daemon that is away is waited for.
        guard error.code == .unavailable else { throw error }
        screen.withLock { $0.lose() }
      }
      try await Task.sleep(for: Self.askInterval)
    }
  }

  private func draw() async throws {
    var drawnLines = 0
    while !session.console.isOutputClosed {
      let size = session.console.screen ?? (columns: 80, lines: 24)
      let lines = screen.withLock { screen in
        screen.render(
          columns: size.columns, lines: size.lines - 1, colours: session.console.colours, now: Int64(time(nil)))
      }
      // Lines that are too long must not wrap: they would be counted wrongly.
      let back = drawnLines > 0 ? "\u{1b}[\(drawnLines)A" : ""
      let text = lines.map { $0 + "\u{1b}[K\n" }.joined()
      try session.console.print("\u{1b}[?7l\(back)\r\(text)\u{1b}[J\u{1b}[?7h")
      drawnLines = lines.count
      try await Task.sleep(for: Self.drawInterval)
    }
  }
}
