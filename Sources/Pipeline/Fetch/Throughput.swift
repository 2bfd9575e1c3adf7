/// What scans came to in the last hour, minute by minute: over all, and of each integration. Pure: the time is told, as a
/// duration since the daemon started.
package struct Throughput: Sendable {
  /// Of one attempt that has ended.
  struct End: Sendable {
    var integration: UInt64
    /// It ended its job, well or not.
    var endsJob: Bool
    /// How long it took, where it finished.
    var finishedIn: Duration?
    var bytes: UInt64
  }

  /// The last hour, or the time since the start where that is shorter.
  package struct Summary: Sendable, Equatable {
    package var jobsEnded: UInt64 = 0
    package var bytes: UInt64 = 0
    /// Attempts that finished their jobs.
    package var finished: UInt64 = 0
    /// Of these, together.
    package var duration = Duration.zero
    /// What it is about.
    package var period = Duration.zero

    package init() {}

    /// How long a scan takes; nil while none has finished.
    package var meanDuration: Duration? { finished == 0 ? nil : duration / Double(finished) }
    package var jobsPerSecond: Double { period > .zero ? Double(jobsEnded) * (.seconds(1) / period) : 0 }

    mutating func add(_ end: End) {
      if end.endsJob { jobsEnded += 1 }
      bytes &+= end.bytes
      if let time = end.finishedIn {
        finished += 1
        duration += time
      }
    }

    mutating func add(_ other: Summary) {
      jobsEnded += other.jobsEnded
      bytes &+= other.bytes
      finished += other.finished
      duration += other.duration
    }
  }

  static let minutes = 60

  /// The last `minutes`, each at its number's place.
  private struct Ring {
    var minutes = [Summary](repeating: Summary(), count: Throughput.minutes)
    /// The newest that is counted.
    var newest: Int64 = 0

    /// Forgets what is older than an hour.
    mutating func turn(to minute: Int64) {
      guard minute > newest else { return }
      for passed in max(newest + 1, minute - Int64(Throughput.minutes) + 1)...minute { self[passed] = Summary() }
      newest = minute
    }

    subscript(_ minute: Int64) -> Summary {
      get { minutes[Int(minute % Int64(Throughput.minutes))] }
      set { minutes[Int(minute % Int64(Throughput.minutes))] = newValue }
    }
  }

  private var all = Ring()
  /// Of those that had an attempt within the last hour.
  private var byIntegration: [UInt64: Ring] = [:]

  mutating func record(_ end: End, at now: Duration) {
    let minute = Self.minute(now)
    if minute > all.newest {
      byIntegration = byIntegration.filter { minute - $0.value.newest < Int64(Self.minutes) }
    }
    all.turn(to: minute)
    all[minute].add(end)
    var ring = byIntegration[end.integration] ?? Ring()
    ring.turn(to: minute)
    ring[minute].add(end)
    byIntegration[end.integration] = ring
  }

  package func overall(at now: Duration) -> Summary { Self.summary(all, at: now) }

  package func of(_ integration: UInt64, at now: Duration) -> Summary {
    Self.summary(byIntegration[integration] ?? Ring(), at: now)
  }

  /// Those that had an attempt within the last hour or so.
  package var integrations: [UInt64] { byIntegration.keys.sorted() }

  private static func minute(_ now: Duration) -> Int64 { now.components.seconds / 60 }

  private static func summary(_ ring: Ring, at now: Duration) -> Summary {
    var ring = ring
    ring.turn(to: minute(now))
    var summary = Summary()
    for minute in ring.minutes { summary.add(minute) }
    // The minute that runs counts as far as it has come.
    let whole = Duration.seconds(max(0, minute(now) - Int64(minutes) + 1) * 60)
    summary.period = now - whole
    return summary
  }
}
