import ArgumentParser
import Glibc
import ProtobufRuntime
import TidewaiterClient

struct QueueStatistics: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats",
    abstract: "Count the jobs by state and integration, what was measured, what failed and why.",
    discussion: "Example:\n  tidewaiter queue stats --integration hub")

  @Option(help: ArgumentHelp("Only jobs of this integration.", valueName: "NAME"))
  var integration: String?

  @OptionGroup(title: "Global options") var global: GlobalOptions

  func run() async throws {
    var request = GetQueueStatsRequest()
    request.integration = integration ?? ""
    try await global.perform { session in
      let stats = try await session.queue.getQueueStats(request)
      try session.console.show(stats.json) { QueueStatsView.render(stats, session.console, now: Int64(time(nil))) }
    }
  }
}

/// The queue's numbers as people read them.
enum QueueStatsView {
  static func render(_ stats: QueueStats, _ console: Console, now: Int64) -> String {
    var output = console.render(facts(of: stats, now: now))
    if !stats.integrations.isEmpty { output += "\n" + console.render(table(of: stats.integrations, now: now)) }
    if !stats.failures.isEmpty {
      var table = Table([
        .init("FAILED WITH"), .number("JOBS"), .init("KIND", isOptional: true), .init("WHAT TO DO", cut: .end),
      ])
      for failure in stats.failures {
        table.add([
          .init(failure.code, .red), .init(String(failure.jobs)), .init(failure.retry), .init(failure.hint),
        ])
      }
      output += "\n" + console.render(table)
    }
    return output
  }

  static func facts(of stats: QueueStats, now: Int64) -> FactList {
    var facts = FactList()
    facts.add("jobs", counts(of: stats.states))
    if let oldest = stats.oldestPendingAt {
      facts.add("oldest waits", "\(DurationText.describe(seconds: now - oldest.seconds))")
    }
    facts.add("scanner slots", slots(of: stats))
    facts.add("throughput", throughput(of: stats.throughput))
    if let end = stats.estimatedEndAt { facts.add("done", estimate(end, now: now)) }
    facts.add("paused", stats.pauses.map(PauseView.line), .yellow)
    return facts
  }

  /// `12 pending (at most 5 are being cancelled), 2 in progress, 90 finished`; `none`.
  static func counts(of states: [StateCount]) -> String {
    let counts = states.filter { $0.count > 0 }.map { one in
      "\(one.count) \(People.name(one.state))"
        + (one.cancellingMaximum > 0 ? " (at most \(one.cancellingMaximum) are being cancelled)" : "")
    }
    return counts.isEmpty ? "none" : counts.joined(separator: ", ")
  }

  /// `2 of 4 busy, 1 more stalled`.
  static func slots(of stats: QueueStats) -> String {
    "\(stats.slotsBusy) of \(stats.scannerSlots) busy"
      + (stats.slotsStalled > 0 ? ", \(stats.slotsStalled) more stalled" : "")
  }

  /// `1880 scans in 1h: 0.52 a second, 7.6s each, 12.3 MiB/s`.
  static func throughput(of throughput: Throughput?) -> String {
    guard let throughput, throughput.jobs > 0, let window = throughput.window?.duration, window > .zero else {
      return "nothing measured yet"
    }
    let seconds = window / .seconds(1)
    let mean = throughput.meanDuration.map { ", \(People.decimal($0.duration / .seconds(1)))s each" } ?? ""
    let bytes = UInt64(Double(throughput.bytes) / seconds)
    return "\(throughput.jobs) scans in \(DurationText.describe(seconds: Int64(seconds))): "
      + "\(People.decimal(throughput.jobsPerSecond)) a second\(mean), \(People.size(bytes))/s"
  }

  /// `2025-01-31 12:00:00Z, in 5m 10s`.
  static func estimate(_ instant: Timestamp, now: Int64) -> String {
    let rest = instant.seconds - now
    return "about \(People.time(instant))" + (rest > 0 ? ", in \(DurationText.describe(seconds: rest))" : "")
  }

  private static func table(of integrations: [IntegrationQueue], now: Int64) -> Table {
    let states = JobState.open + JobState.ended
    var table = Table(
      [.init("INTEGRATION", cut: .end)] + states.map { .number(People.name($0).uppercased()) }
        + [.init("OLDEST WAITS", isOptional: true), .init("THROUGHPUT", cut: .end, isOptional: true)])
    for one in integrations {
      let counts = states.map { state in one.states.first { $0.state == state }?.count ?? 0 }
      let oldest = one.oldestPendingAt.map { DurationText.describe(seconds: now - $0.seconds) } ?? ""
      table.add(
        [.init(one.integration)] + counts.map { .init($0 == 0 ? "" : String($0)) }
          + [.init(oldest), .init(throughput(of: one.throughput))])
    }
    return table
  }
}
