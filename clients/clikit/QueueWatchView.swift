import ProtobufRuntime
import TidewaiterClient

/// What `queue watch` prints: the jobs that have not ended, and each that reaches another state or attempt.
struct QueueWatchView {
  private let console: Console
  private var drawnLines = 0
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
      try draw()
    case .present(let job), .changed(let job):
      let known = active[job.id] ?? former.removeValue(forKey: job.id)
      active[job.id] = job.state.isFinal ? nil : job
      // Jobs that had ended before are history.
      if known == nil && job.state.isFinal && isInSnapshot { return }
      if known.map({ job.state != $0.state || job.attempt != $0.attempt }) ?? true { try printLine(of: job) }
      if !isInSnapshot { try draw() }
    }
  }

  /// A line for a change, where no terminal shows the jobs.
  private func printLine(of job: Job) throws {
    guard console.format == .table else { return try console.print(job.json.text() + "\n") }
    guard console.height == nil else { return }
    let error = job.error.map { " \($0.code): \($0.message)" } ?? ""
    try console.print(TerminalText.escape("job \(job.id) \(JobView.progress(of: job))\(error)") + "\n")
  }

  private mutating func draw() throws {
    guard console.format == .table, let height = console.height else { return }
    let jobs = active.values.sorted { $0.id < $1.id }
    // One line each for the head of the table, the line below it, and the cursor.
    let shown = jobs.prefix(max(height - 3, 1))
    let running = jobs.count { $0.state != .pending }
    var text = shown.isEmpty ? "" : console.render(JobView.table(of: Array(shown)))
    text += "\(running) running, \(jobs.count - running) waiting"
    text += shown.count < jobs.count ? ", \(jobs.count - shown.count) not shown\n" : "\n"
    let back = drawnLines > 0 ? "\u{1b}[\(drawnLines)A" : ""
    try console.print(back + "\r\u{1b}[J" + text)
    drawnLines = text.count { $0 == "\n" }
  }
}
