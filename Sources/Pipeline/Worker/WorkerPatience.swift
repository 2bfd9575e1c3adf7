import Glibc
import Inventory

/// How long the daemon waits for one worker. Its CPU time is bounded by the kernel; this bounds a worker that uses none, and
/// one that goes on by so little at a time that it would keep its slot for ever. Only time in which the worker was waited
/// for counts: that of the registry is another matter.
struct WorkerPatience {
  struct Limits: Sendable {
    /// Neither taking nor giving a byte nor using CPU time.
    var still: Duration
    var whole: Duration

    /// A worker that is busy all the time may use the processor it shares with three others up to its bound of CPU time,
    /// and is still done before the time that a scan has, half an hour, unless clamd is waited for as well.
    static let standard = Limits(still: .seconds(60), whole: .seconds(4 * Int64(WorkerProtocol.cpuSeconds)))
  }

  enum End: Equatable, CustomStringConvertible {
    case stoodStill(Duration)
    case tookTooLong(Duration)

    var description: String {
      switch self {
      case .stoodStill(let time): "the worker stood still for \(time) and was ended"
      case .tookTooLong(let time): "the worker was waited for longer than \(time) and was ended"
      }
    }
  }

  /// Below this share of the time it uses no CPU time to speak of.
  private static let idleShare = 0.01

  private let limits: Limits
  private let pid: pid_t
  private var start = Duration.zero
  private var whole = Duration.zero
  private var still = Duration.zero
  /// What others were waited for until now, all together.
  private var excused = Duration.zero
  private var used: Duration

  /// `pid` is that of a process that is not reaped before the last use of this.
  init(_ limits: Limits, of pid: pid_t) {
    self.limits = limits
    self.pid = pid
    used = Self.cpuTime(of: pid)
  }

  /// A wait begins now, which is to last no longer.
  mutating func millisecondsToWait() -> Int32 {
    start = Self.now
    let rest = min(limits.still - still, limits.whole - whole)
    return Int32(clamping: max(1, Int64((rest / .milliseconds(1)).rounded(.up))))
  }

  /// The wait is over; `moved`: because the worker took or gave something, or ended. `excused` is how long somebody else was
  /// waited for since it was started, for whom the worker may have waited too. Answers with why the worker is to be ended, if
  /// it is.
  mutating func ends(afterWait moved: Bool, excused: Duration = .zero) -> End? {
    let moved = moved || excused > self.excused
    let time = max(.zero, Self.now - start - (excused - self.excused))
    self.excused = excused
    whole += time
    let before = used
    if moved {
      still = .zero
    } else {
      used = Self.cpuTime(of: pid)
      still = used - before > time * Self.idleShare ? .zero : still + time
    }
    if still >= limits.still { return .stoodStill(limits.still) }
    return whole >= limits.whole ? .tookTooLong(limits.whole) : nil
  }

  private static var now: Duration { time(of: CLOCK_MONOTONIC) }

  private static func cpuTime(of pid: pid_t) -> Duration {
    var clock = clockid_t()
    return clock_getcpuclockid(pid, &clock) == 0 ? time(of: clock) : .zero
  }

  private static func time(of clock: clockid_t) -> Duration {
    var time = timespec()
    clock_gettime(clock, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}
