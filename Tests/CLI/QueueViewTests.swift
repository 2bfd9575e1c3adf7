import ProtobufRuntime
import Testing
import TidewaiterClient

@testable import CLIKit

@Suite("The queue as people read it")
struct QueueViewTests {
  private static func job(_ id: UInt64, _ state: JobState = .inProgress) -> Job {
    var job = Job()
    job.id = id
    job.reference = "hub/team/app:\(id)"
    job.state = state
    job.attempt = 1
    job.maxAttempts = 3
    job.startedAt = time(1_700_000_000)
    job.limit = ProtoDuration(seconds: 1800)
    return job
  }

  private static func time(_ seconds: Int64) -> Timestamp {
    var time = Timestamp()
    time.seconds = seconds
    return time
  }

  private static func stats() -> QueueStats {
    var stats = QueueStats()
    var pending = StateCount()
    pending.state = .pending
    pending.count = 1204
    stats.states = [pending]
    stats.scannerSlots = 4
    stats.slotsBusy = 2
    stats.slotsStalled = 1
    var throughput = Throughput()
    throughput.window = ProtoDuration(seconds: 3600)
    throughput.jobs = 1880
    throughput.bytes = 3600 << 20
    throughput.jobsPerSecond = 0.522
    throughput.meanDuration = ProtoDuration(.milliseconds(7_640))
    stats.throughput = throughput
    stats.estimatedEndAt = time(1_700_002_400)
    return stats
  }

  @Test("A job in line says its place, what it waits for and when it will be done")
  func pendingJob() {
    var job = Self.job(12, .pending)
    job.startedAt = nil
    job.priority = 1
    job.position = 7
    job.waitReason = "integration_paused"
    job.waitDetail = "since 2023-11-14T22:13:20Z by uid:0: moves"
    job.estimatedStartAt = Self.time(1_700_000_060)
    var error = ErrorDetail()
    error.code = "RATE_LIMITED"
    error.message = "too many"
    error.hint = "wait"
    job.error = error
    let text = JobView.facts(of: job, now: 1_700_000_000).render(colours: false)
    for line in [
      "priority    new", "position    7", "waits       integration paused: since 2023-11-14T22:13:20Z by uid:0: moves",
      "will start  about 2023-11-14 22:14:20Z, in 1m", "last error  RATE_LIMITED: too many", "what to do  wait",
    ] {
      #expect(text.contains(line + "\n"), "\(line) in:\n\(text)")
    }
  }

  @Test("Rates have as many digits as help")
  func decimals() {
    let cases: [(Double, String)] = [
      (0, "0"), (0.05, "0.05"), (0.6, "0.6"), (0.601, "0.6"), (0.522, "0.52"), (1, "1"), (7.64, "7.6"), (99.96, "100"),
      (1234.5, "1235"),
      (0.999, "1"),
      (.nan, "-"), (-1, "-"),
    ]
    for (number, text) in cases { #expect(People.decimal(number) == text) }
  }

  @Test("The screen shows what runs with its rate, who is next, and what ended")
  func screen() {
    let start = ContinuousClock.now
    var screen = QueueScreen(isOfOne: false)
    #expect(screen.render(columns: 80, lines: 20, colours: false, now: 0, at: start) == ["asking the daemon"])
    screen.take(.snapshotBegins, at: start)
    var job = Self.job(3)
    job.bytesTotal = 40 << 20
    job.layersTotal = 5
    screen.take(.present(job), at: start)
    screen.take(.present(Self.job(4, .parsingResults)), at: start)
    screen.take(.snapshotEnds, at: start)
    job.bytesFetched = 10 << 20
    job.layersDone = 1
    screen.take(.changed(job), at: start + .seconds(2))
    var ended = Self.job(2, .error)
    ended.error = ErrorDetail()
    ended.error?.code = "NOT_FOUND"
    ended.error?.message = "no such image"
    screen.take(.changed(ended), at: start)
    var next = Self.job(9, .pending)
    next.waitReason = "in_line"
    screen.take(Self.stats(), head: [next])
    let lines = screen.render(columns: 200, lines: 30, colours: false, now: 1_700_000_072, at: start + .seconds(3))
    #expect(lines[0] == "jobs: 1204 pending; slots: 2 of 4 busy, 1 more stalled")
    #expect(
      lines[1]
        == "throughput: 1880 scans in 1h: 0.52 a second, 7.6s each, 1 MiB/s; all done about 2023-11-14 22:53:20Z, in 38m 48s"
    )
    let text = lines.joined(separator: "\n")
    let running =
      #"3  hub/team/app:3  1/3  [#####...............]  25%     1/5  10 MiB of 40 MiB  5 MiB/s  1m 12s of 30m"#
    for line in [
      running, "matching advisories", "9  hub/team/app:9  1/3  person    in line", "NOT_FOUND: no such image",
    ] {
      #expect(text.contains(line), "\(line) in:\n\(text)")
    }
    // Nothing heard for long is nothing fetched.
    let later = screen.render(columns: 200, lines: 30, colours: false, now: 1_700_000_090, at: start + .seconds(20))
    #expect(later.contains { $0.contains("0 B/s  1m 30s of 30m") })
  }

  @Test("What ended is a row for each job, the last end of it; what goes back to the line has not ended")
  func ends() {
    let now = ContinuousClock.now
    var screen = QueueScreen(isOfOne: false)
    func ended() -> [String] {
      let lines = screen.render(columns: 100, lines: 40, colours: false, now: 0, at: now)
      let rows = lines.drop { !$0.contains("ENDED") }.dropFirst()
      return rows.map { $0.split(separator: " ").prefix(4).filter { !$0.contains("/") }.joined(separator: " ") }
    }
    screen.take(Self.stats(), head: [])
    screen.take(.snapshotBegins, at: now)
    screen.take(.present(Self.job(1)), at: now)
    screen.take(.snapshotEnds, at: now)
    screen.take(.changed(Self.job(1, .pending)), at: now)
    #expect(ended() == [])
    screen.take(.changed(Self.job(2, .error)), at: now)
    screen.take(.changed(Self.job(3, .finished)), at: now)
    #expect(ended() == ["3 finished", "2 error"])
    // Again: it runs, and has one end in the end.
    screen.take(.changed(Self.job(2)), at: now)
    #expect(ended() == ["3 finished"])
    screen.take(.changed(Self.job(2, .finished)), at: now)
    screen.take(.changed(Self.job(2, .finished)), at: now)
    #expect(ended() == ["2 finished", "3 finished"])
  }

  @Test("Whatever the terminal's size, no line is too many or too wide, and what runs comes first")
  func smallScreens() {
    let now = ContinuousClock.now
    var screen = QueueScreen(isOfOne: true)
    var stats = Self.stats()
    var pause = QueuePause()
    pause.reason = "a reason\u{1b}[2J that is long " + String(repeating: "x", count: 300)
    pause.since = Self.time(1_700_000_000)
    stats.pauses = [pause, pause, pause, pause]
    screen.take(stats, head: (100..<110).map { Self.job($0, .pending) })
    screen.take(.snapshotBegins, at: now)
    for id in 1...30 { screen.take(.present(Self.job(UInt64(id))), at: now) }
    for id in 40..<50 { screen.take(.changed(Self.job(UInt64(id), .finished)), at: now) }
    for lines in 1...60 {
      let shown = screen.render(columns: 72, lines: lines, colours: false, now: 1_700_000_000, at: now)
      #expect(shown.count <= lines)
      #expect(shown.allSatisfy { $0.count <= 72 && !$0.contains("\u{1b}") })
      if lines >= 9 { #expect(shown.contains { $0.contains("hub/team/app:1 ") }, "\(lines)") }
    }
    screen.lose()
    #expect(screen.render(columns: 80, lines: 9, colours: false, now: 0, at: now)[0].contains("does not answer"))
  }

  @Test(
    "Command lines that contradict themselves are refused before anybody is asked",
    arguments: [
      ["queue", "cancel"],
      ["queue", "cancel", "1", "--all"],
      ["queue", "cancel", "1", "--integration", "hub"],
      ["queue", "cancel", "--all", "--state", "pending"],
      ["queue", "cancel", "--poll", "3"],
      ["queue", "cancel", "x"],
      ["queue", "retry"],
      ["queue", "retry", "1", "--error", "X"],
      ["queue", "prioritize", "1"],
      ["queue", "prioritize", "1", "--to", "first"],
      ["queue", "prioritize", "--to", "person"],
      ["queue", "clear", "1", "--state", "error"],
      ["queue", "list", "--limit", "0"],
      ["queue", "list", "--poll", "3"],
      ["queue", "list", "--state", "lost"],
      ["integration", "edit", "hub", "--max-image-size", "20G"],
    ])
  func refusesUsage(arguments: [String]) async {
    #expect(await CommandLineClient.run(arguments) == 2)
  }
}
