import API
import Pipeline

/// When scans will begin and end, by how long those of the last hour took. Instants are nanoseconds since 1970; nothing is
/// said before something was measured, nor of what lies further ahead than a year.
struct ScanEstimates: Sendable {
  private static let farthest = Duration.seconds(366 * 86_400)

  let now: Int64
  /// How long a scan takes.
  let mean: Duration?
  /// Scans at a time, and those that run.
  let slots: Int
  let running: Int

  init(now: Int64, mean: Duration?, slots: Int, running: Int) {
    self.now = now
    self.mean = mean
    self.slots = max(slots, 1)
    self.running = max(running, 0)
  }

  /// Of a job in line; `position` is 1 for the next.
  func start(position: UInt64) -> Int64? {
    guard let mean, position > 0 else { return nil }
    // Those that run are half done, on average.
    let free = Double(max(slots - running, 0))
    let ahead = max(0, Double(position) - free)
    return instant(in: mean * (ahead / Double(slots)))
  }

  /// Of a job that begins then.
  func end(startingAt start: Int64?) -> Int64? {
    guard let mean, let start else { return nil }
    return instant(in: mean + .nanoseconds(max(0, start - now)))
  }

  /// Of a job that runs, at the rate at which it has come so far where that is known; never later than `limit` allows.
  func end(startedAt start: Int64, done: UInt64, total: UInt64, limit: Duration?) -> Int64? {
    let elapsed = Duration.nanoseconds(max(0, now - start))
    var end: Int64?
    if done > 0, total >= done {
      end = instant(in: elapsed * (Double(total - done) / Double(done)))
    } else if let mean, mean > elapsed {
      end = instant(in: mean - elapsed)
    }
    guard let end, let limit, let last = instant(in: max(.zero, limit - elapsed)) else { return end }
    return min(end, last)
  }

  /// Of everything.
  func end(ofPending pending: UInt64) -> Int64? {
    guard let mean, pending > 0 || running > 0 else { return nil }
    let rounds = max(1, (Double(pending) + Double(running) / 2) / Double(slots))
    return instant(in: mean * rounds)
  }

  private func instant(in time: Duration) -> Int64? {
    guard time <= Self.farthest else { return nil }
    let (seconds, attoseconds) = time.components
    return now + seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
}

extension API.Throughput {
  init(_ summary: Pipeline.Throughput.Summary) {
    self.init()
    window = ProtoDuration(summary.period)
    jobs = summary.jobsEnded
    bytes = summary.bytes
    jobsPerSecond = summary.jobsPerSecond
    meanDuration = summary.meanDuration.map { ProtoDuration($0) }
  }
}
