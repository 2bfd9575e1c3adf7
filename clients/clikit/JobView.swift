import Glibc
import TidewaiterClient

/// Scan jobs as people read them.
enum JobView {
  static func table(of jobs: [Job]) -> Table {
    var table = Table([
      .number("JOB"), .init("STATE"), .number("ATTEMPT"), .init("IMAGE", cut: .middle),
      .init("PROGRESS", isOptional: true),
      .init("ENQUEUED", isOptional: true), .init("ERROR", cut: .end),
    ])
    for job in jobs {
      table.add([
        .init(String(job.id)), .init(People.name(job.state), People.colour(job.state)), .init(attempt(of: job)),
        .init(People.shortReference(job.reference)),
        .init(job.state == .pending ? job.waitReason.replacing("_", with: " ") : amount(of: job)),
        .init(People.time(job.enqueuedAt)),
        .init(job.error.map { "\($0.code): \($0.message)" } ?? "", .red),
      ])
    }
    return table
  }

  /// One job in full, with its attempts.
  static func render(_ job: Job, _ console: Console) -> String {
    let facts = console.render(facts(of: job, now: Int64(time(nil))))
    return job.attempts.isEmpty ? facts : facts + "\n" + console.render(table(of: job.attempts))
  }

  static func facts(of job: Job, now: Int64) -> FactList {
    var facts = FactList()
    facts.add("job", String(job.id))
    facts.add("image", job.reference)
    facts.add("digest", job.digest)
    facts.add("state", People.name(job.state), People.colour(job.state))
    facts.add("attempt", attempt(of: job))
    facts.add("priority", priority(of: job))
    if job.pollId > 0 { facts.add("poll", String(job.pollId)) }
    if !job.actor.isEmpty { facts.add("asked for by", job.actor) }
    if job.state == .pending {
      if job.position > 0 { facts.add("position", job.position == 1 ? "1, the next" : String(job.position)) }
      let wait = wait(of: job)
      if !wait.isEmpty { facts.add("waits", wait) }
    }
    let progress = amount(of: job)
    if !progress.isEmpty { facts.add("progress", progress) }
    if let elapsed = elapsed(of: job) { facts.add("elapsed", elapsed) }
    for (name, time) in [
      ("enqueued", job.enqueuedAt), ("not before", job.notBefore), ("started", job.startedAt),
      ("finished", job.finishedAt),
    ] where time != nil {
      facts.add(name, People.time(time))
    }
    for (name, instant) in [("will start", job.estimatedStartAt), ("will end", job.estimatedEndAt)] {
      if let instant { facts.add(name, QueueStatsView.estimate(instant, now: now)) }
    }
    if let error = job.error {
      facts.add(job.state.isFinal ? "error" : "last error", "\(error.code): \(error.message)", .red)
      if !error.hint.isEmpty { facts.add("what to do", error.hint) }
    }
    return facts
  }

  private static func table(of attempts: [Attempt]) -> Table {
    var table = Table([
      .number("TRY"), .init("OUTCOME"), .init("STARTED", isOptional: true), .number("TOOK"), .number("LAYERS"),
      .number("KNOWN", isOptional: true), .number("FETCHED"), .init("ERROR", cut: .end),
    ])
    for attempt in attempts {
      let took = attempt.endedAt.flatMap { end in attempt.startedAt.map { end.seconds - $0.seconds } }
      table.add([
        .init(String(attempt.number)), .init(attempt.outcome.name.replacing("_", with: " "), colour(attempt.outcome)),
        .init(People.time(attempt.startedAt)), .init(took.map { DurationText.describe(seconds: $0) } ?? ""),
        .init("\(attempt.layersDone)/\(attempt.layersTotal)"), .init(String(attempt.layersKnown)),
        .init(People.size(attempt.bytesFetched)),
        .init(attempt.error.map { "\($0.code): \($0.message)" } ?? "", .red),
      ])
    }
    return table
  }

  private static func colour(_ outcome: AttemptOutcome) -> Colour? {
    switch outcome {
    case .finished: .green
    case .failed, .timedOut: .red
    case .retried, .interrupted, .cancelled: .yellow
    case .running: .cyan
    default: nil
    }
  }

  /// `person`, `new`, `rescan`; the number of any other.
  static func priority(of job: Job) -> String {
    // The daemon counts from 0, the names of its requests from 1.
    let named = JobPriority(rawValue: Int32(clamping: job.priority) + 1)
    return JobPriority.known.contains(named) ? named.name : String(job.priority)
  }

  /// `backing off: until 2025-01-31 12:00:00Z`; empty where nothing is known of it.
  static func wait(of job: Job) -> String {
    let reason = job.waitReason.replacing("_", with: " ")
    return job.waitDetail.isEmpty ? reason : "\(reason): \(job.waitDetail)"
  }

  /// `1m 12s of 30m`; nil for a job that does not run.
  static func elapsed(of job: Job) -> String? {
    guard let elapsed = job.elapsed else { return nil }
    let limit = job.limit.map { " of \(DurationText.describe(seconds: $0.seconds))" } ?? ""
    return DurationText.describe(seconds: elapsed.seconds) + limit
  }

  /// `pending, in progress or parsing results`.
  static func names(of states: [JobState]) -> String {
    let names = states.map(People.name)
    return names.count > 1 ? "\(names.dropLast().joined(separator: ", ")) or \(names[names.count - 1])" : names.joined()
  }

  static func attempt(of job: Job) -> String { "\(job.attempt)/\(job.maxAttempts)" }

  /// `layers 2/5, 3 MiB of 10 MiB`; empty before anything was fetched.
  private static func amount(of job: Job) -> String {
    guard job.layersTotal > 0 else { return "" }
    let layers = "layers \(job.layersDone)/\(job.layersTotal)"
    guard job.bytesTotal > 0 else { return layers }
    return layers + ", \(People.size(job.bytesFetched)) of \(People.size(job.bytesTotal))"
  }

  /// One job on the progress line.
  static func progress(of job: Job) -> String {
    let amount = amount(of: job)
    return "\(People.shortReference(job.reference)) \(People.name(job.state)), attempt \(attempt(of: job))"
      + (amount.isEmpty ? "" : ", \(amount)")
  }

  /// How jobs ended: `3 finished, 1 error`.
  static func ends(of jobs: [Job]) -> String {
    let ends = [JobState.finished, .error, .cancelled].map { state in (state, jobs.count { $0.state == state }) }
    let counts = ends.filter { $0.1 > 0 }.map { "\($0.1) \(People.name($0.0))" }
    return counts.isEmpty ? "none" : counts.joined(separator: ", ")
  }

  /// All that is waited for on the progress line.
  static func progress(of jobs: [Job]) -> String {
    let ended = jobs.count { $0.state.isFinal }
    let shown = jobs.first { !$0.state.isFinal && $0.state != .pending } ?? jobs.first { !$0.state.isFinal }
    let one = shown.map(progress) ?? "done"
    return jobs.count == 1 ? one : "\(ended) of \(jobs.count) done; \(one)"
  }
}

extension JobState {
  /// Whether the job moves no more by itself.
  var isFinal: Bool { self == .finished || self == .error || self == .cancelled }
}

/// The gate of `--wait`: every scan must have finished.
enum JobGate {
  static func check(_ jobs: [Job]) throws {
    let failed = jobs.filter { $0.state != .finished }
    guard let first = failed.first else { return }
    let hint = failed.lazy.compactMap { $0.error?.hint }.first { !$0.isEmpty }
    throw CommandFailure(
      .gate, code: .failedPrecondition, "\(failed.count) of \(jobs.count) scans did not finish",
      hint: hint ?? "see why with: tidewaiter queue show \(first.id)")
  }
}
