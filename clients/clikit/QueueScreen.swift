import TidewaiterClient

/// What `queue watch` shows on a terminal: the queue's numbers, the scans that run, the head of the line, and what ended
/// last.
package struct QueueScreen {
  /// Of the line's head, asked for and shown at most.
  static let headMaximum: UInt32 = 10
  private static let endsMaximum = 5
  private static let pausesMaximum = 3
  private static let barCells = 20
  /// Between two measurements of a scan's rate, and after which nothing heard is nothing fetched.
  private static let rateInterval = Duration.seconds(1)
  private static let rateAge = Duration.seconds(5)

  private struct Running {
    var job: Job
    /// Bytes a second.
    var rate = 0.0
    var measured: (bytes: UInt64, at: ContinuousClock.Instant)
  }

  /// Whether the queue of one integration is shown.
  private let isOfOne: Bool
  private var running: [UInt64: Running] = [:]
  private var stats: QueueStats?
  private var head: [Job] = []
  /// The newest first; of each job the last end, as long as it does not run again.
  private var ends: [Job] = []
  private var isLost = false

  package init(isOfOne: Bool) { self.isOfOne = isOfOne }

  // MARK: - What is told

  /// Takes what a watch of the running jobs tells.
  package mutating func take(_ update: JobUpdate, at now: ContinuousClock.Instant) {
    switch update {
    case .snapshotBegins: running = [:]
    case .snapshotEnds: isLost = false
    case .present(let job), .changed(let job):
      ends.removeAll { $0.id == job.id }
      guard job.state == .inProgress || job.state == .parsingResults else {
        running[job.id] = nil
        guard job.state.isFinal else { return }
        ends.insert(job, at: 0)
        if ends.count > Self.endsMaximum { ends.removeLast() }
        return
      }
      guard var known = running[job.id], known.job.attempt == job.attempt else {
        running[job.id] = Running(job: job, measured: (job.bytesFetched, now))
        return
      }
      known.job = job
      let time = now - known.measured.at
      if time >= Self.rateInterval {
        let bytes = job.bytesFetched - min(known.measured.bytes, job.bytesFetched)
        known.rate = Double(bytes) / (time / .seconds(1))
        known.measured = (job.bytesFetched, now)
      }
      running[job.id] = known
    }
  }

  package mutating func take(_ stats: QueueStats, head: [Job]) {
    self.stats = stats
    self.head = head
    isLost = false
  }

  /// The daemon does not answer.
  package mutating func lose() { isLost = true }

  // MARK: - What is shown

  /// At most `lines` lines, none wider than `columns` but for colours. `now` is in seconds since 1970.
  package func render(
    columns: Int, lines: Int, colours: Bool, now: Int64, at instant: ContinuousClock.Instant = .now
  ) -> [String] {
    var output = summary(columns, colours, now)
    let jobs = running.values.sorted {
      ($0.job.startedAt?.seconds ?? 0, $0.job.id) < ($1.job.startedAt?.seconds ?? 0, $1.job.id)
    }
    // What runs comes first, but leaves room to see who is next.
    let reserved = head.isEmpty ? 0 : min(head.count, 3) + 2
    add(jobs.count, max(lines - reserved, min(lines, output.count + 5)), to: &output, columns, colours) {
      table(of: jobs.prefix($0), now, instant)
    }
    let reservedForEnds = ends.isEmpty ? 0 : ends.count + 2
    add(head.count, max(lines - reservedForEnds, output.count + 3), to: &output, columns, colours, within: lines) {
      Self.table(ofHead: head.prefix($0))
    }
    add(ends.count, lines, to: &output, columns, colours) { Self.table(ofEnds: ends.prefix($0)) }
    return Array(output.prefix(max(lines, 1)))
  }

  /// Adds a blank line and a table of as many of `count` rows as fit into `lines` with its head; nothing where none does.
  private func add(
    _ count: Int, _ lines: Int, to output: inout [String], _ columns: Int, _ colours: Bool, within: Int = .max,
    _ table: (Int) -> Table
  ) {
    let room = min(lines, within) - output.count - 2
    guard count > 0, room > 0 else { return }
    let text = table(min(count, room)).render(width: columns, colours: colours)
    output.append("")
    output += text.split(separator: "\n").map(String.init)
  }

  private func summary(_ columns: Int, _ colours: Bool, _ now: Int64) -> [String] {
    func line(_ text: String, _ colour: Colour? = nil) -> String {
      let fitted = TerminalText.fit(TerminalText.escape(text), columns: columns, cut: .end)
      return colours ? colour?.paint(fitted) ?? fitted : fitted
    }
    var output: [String] = []
    if isLost { output.append(line("the daemon does not answer: waiting for it", .red)) }
    guard let stats else { return output.isEmpty ? [line("asking the daemon")] : output }
    let slots = isOfOne ? "" : "; slots: \(QueueStatsView.slots(of: stats))"
    output.append(line("jobs: \(QueueStatsView.counts(of: stats.states))\(slots)", .bold))
    let end = stats.estimatedEndAt.map { "; all done " + QueueStatsView.estimate($0, now: now) } ?? ""
    output.append(line("throughput: \(QueueStatsView.throughput(of: stats.throughput))\(end)"))
    for pause in stats.pauses.prefix(Self.pausesMaximum) {
      output.append(line("paused: \(PauseView.line(of: pause))", .yellow))
    }
    return output
  }

  private func table(
    of running: some Sequence<Running>, _ now: Int64, _ instant: ContinuousClock.Instant
  ) -> Table {
    var table = Table([
      .number("RUNNING"), .init("IMAGE", cut: .middle), .number("TRY"), .init("PROGRESS", isOptional: true),
      .number("LAYERS"), .init("FETCHED", isOptional: true), .number("RATE", isOptional: true), .init("ELAPSED"),
    ])
    for entry in running {
      let job = entry.job
      let rate = instant - entry.measured.at > Self.rateAge ? 0 : UInt64(entry.rate)
      let elapsed = job.startedAt.map { DurationText.describe(seconds: now - $0.seconds) } ?? ""
      let limit = job.limit.map { " of \(DurationText.describe(seconds: $0.seconds))" } ?? ""
      table.add([
        .init(String(job.id), .cyan), .init(People.shortReference(job.reference)), .init(JobView.attempt(of: job)),
        .init(job.state == .parsingResults ? "matching advisories" : Self.bar(of: job)),
        .init(job.layersTotal > 0 ? "\(job.layersDone)/\(job.layersTotal)" : ""),
        .init(job.bytesTotal > 0 ? "\(People.size(job.bytesFetched)) of \(People.size(job.bytesTotal))" : ""),
        .init("\(People.size(rate))/s"), .init(elapsed + limit),
      ])
    }
    return table
  }

  /// `[############........]  61%`; empty while it is not known how much there is.
  static func bar(of job: Job) -> String {
    let (done, total) =
      job.bytesTotal > 0
      ? (Double(job.bytesFetched), Double(job.bytesTotal)) : (Double(job.layersDone), Double(job.layersTotal))
    guard total > 0 else { return "" }
    let share = min(done / total, 1)
    let cells = Int(share * Double(barCells))
    let percent = String(Int(share * 100))
    return "[" + String(repeating: "#", count: cells) + String(repeating: ".", count: barCells - cells) + "] "
      + String(repeating: " ", count: 3 - percent.count) + percent + "%"
  }

  private static func table(ofHead jobs: some Sequence<Job>) -> Table {
    var table = Table([
      .number("NEXT"), .init("IMAGE", cut: .middle), .number("TRY"), .init("PRIORITY", isOptional: true),
      .init("WAITS", cut: .end),
    ])
    for job in jobs {
      table.add([
        .init(String(job.id)), .init(People.shortReference(job.reference)), .init(JobView.attempt(of: job)),
        .init(JobView.priority(of: job)), .init(JobView.wait(of: job)),
      ])
    }
    return table
  }

  private static func table(ofEnds jobs: some Sequence<Job>) -> Table {
    var table = Table([
      .number("ENDED"), .init("IMAGE", cut: .middle), .number("TRY"), .init("STATE"), .init("ERROR", cut: .end),
    ])
    for job in jobs {
      table.add([
        .init(String(job.id)), .init(People.shortReference(job.reference)), .init(JobView.attempt(of: job)),
        .init(People.name(job.state), People.colour(job.state)),
        .init(job.error.map { "\($0.code): \($0.message)" } ?? "", .red),
      ])
    }
    return table
  }
}
