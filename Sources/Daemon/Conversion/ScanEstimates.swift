import API
import Pipeline

/// When scans will begin and end, by how long those of the last hour took. Instants are nanoseconds since 1970; nothing is
/// said before something was measured, nor of what lies further ahead than a year.
struct ScanEstimates: Sendable {
  private static let farthestSeconds = 366.0 * 86_400

  let now: Int64
  /// How long a scan takes.
  let meanSeconds: Double?
  /// Scans at a time, and those that run.
  let slots: Int
  let running: Int

  init(now: Int64, mean: Duration?, slots: Int, running: Int) {
    self.now = now
    meanSeconds = mean.map { $0 / .seconds(1) }
    self.slots = max(slots, 1)
    self.running = max(running, 0)
  }

  /// Of a job in line; `position` is 1 for the next.
  func start(position: UInt64) -> Int64? {
    guard let meanSeconds, position > 0 else { return nil }
    let free = Double(max(slots - running, 0))
    return instant(in: meanSeconds * max(0, Double(position) - free) / Double(slots))
  }

  /// Of a job that begins then.
  func end(startingAt start: Int64?) -> Int64? {
    guard let meanSeconds, let start else { return nil }
    return instant(in: meanSeconds + seconds(to: start))
  }

  /// Of a job that runs, at the rate at which it has come so far where that is known; never later than `limit` allows.
  func end(startedAt start: Int64, done: UInt64, total: UInt64, limit: Duration?) -> Int64? {
    let elapsed = max(0, -seconds(to: start))
    var left: Double?
    if done > 0, total >= done {
      left = elapsed * Double(total - done) / Double(done)
    } else if let meanSeconds, meanSeconds > elapsed {
      left = meanSeconds - elapsed
    }
    let most = limit.map { max(0, $0 / .seconds(1) - elapsed) } ?? .infinity
    return left.flatMap { instant(in: min($0, most)) }
  }

  /// Of everything.
  func end(ofPending pending: UInt64) -> Int64? {
    guard let meanSeconds, pending > 0 || running > 0 else { return nil }
    // Those that run are half done, on average.
    return instant(in: meanSeconds * max(1, (Double(pending) + Double(running) / 2) / Double(slots)))
  }

  /// Negative for what is past.
  private func seconds(to instant: Int64) -> Double { (Double(instant) - Double(now)) / 1e9 }

  private func instant(in seconds: Double) -> Int64? {
    guard seconds >= 0, seconds <= Self.farthestSeconds else { return nil }
    return now + Int64(seconds * 1e9)
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
