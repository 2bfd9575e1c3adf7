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
        .init(People.shortReference(job.reference)), .init(amount(of: job)), .init(People.time(job.enqueuedAt)),
        .init(job.error.map { "\($0.code): \($0.message)" } ?? "", .red),
      ])
    }
    return table
  }

  static func facts(of job: Job) -> FactList {
    var facts = FactList()
    facts.add("job", String(job.id))
    facts.add("image", job.reference)
    facts.add("digest", job.digest)
    facts.add("state", People.name(job.state), People.colour(job.state))
    facts.add("attempt", attempt(of: job))
    facts.add("priority", String(job.priority))
    if job.pollId > 0 { facts.add("poll", String(job.pollId)) }
    let progress = amount(of: job)
    if !progress.isEmpty { facts.add("progress", progress) }
    for (name, time) in [
      ("enqueued", job.enqueuedAt), ("not before", job.notBefore), ("started", job.startedAt),
      ("finished", job.finishedAt),
    ] where time != nil {
      facts.add(name, People.time(time))
    }
    if let error = job.error {
      facts.add("error", "\(error.code): \(error.message)", .red)
      if !error.hint.isEmpty { facts.add("what to do", error.hint) }
    }
    return facts
  }

  private static func attempt(of job: Job) -> String { "\(job.attempt)/\(job.maxAttempts)" }

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
