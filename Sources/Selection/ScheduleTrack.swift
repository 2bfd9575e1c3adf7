import Model
import Zones

/// Where an integration's schedule stands, and what is to be done at a time that the clock shows. Pure: who asks does it, and
/// says what came of it.
///
/// Every due time is run, passed over because a poll still ran, or made up for by the run of a later one; `State.handled`
/// says up to where. Clocks that jump are told by it:
/// - forwards, or a daemon that was down: what became due meanwhile is made up for by one run;
/// - back by up to a day: what was due before is not due again;
/// - back by more, or past the last run of a schedule that counts elapsed time: the schedule starts anew. If the clock comes
///   back before another run, it goes on where it was, so that a computer which starts in 1970 and learns the time later
///   repeats nothing.
package struct ScheduleTrack: Sendable, Equatable {
  /// What is kept of a schedule from run to run.
  package struct State: Sendable, Hashable {
    /// `every` counts from here.
    package var anchor: Timestamp
    /// Up to here nothing is due.
    package var handled: Timestamp

    package init(anchor: Timestamp, handled: Timestamp) {
      self.anchor = anchor
      self.handled = handled
    }

    /// Of a schedule that is new or another: nothing is made up for the time before.
    package init(beginningAt now: Timestamp) { self.init(anchor: now, handled: now) }
  }

  /// A time that has come.
  package struct Due: Sendable, Hashable {
    package let time: Timestamp
    /// The daemon was not running at that time.
    package let isMissed: Bool
    /// As it is to be kept, in the same step as what is done.
    package let state: State
  }

  package enum Step: Sendable, Hashable {
    /// Nothing before that time; nil: nothing ever.
    case wait(until: Timestamp?)
    case run(Due)
    /// A poll still runs.
    case passOver(Due)
  }

  private struct Retry: Equatable {
    var attempts: Int
    var since: Timestamp
    var until: Timestamp
  }

  package private(set) var state: State
  /// What was kept when the clock was set back too far.
  private var setAside: State?
  private var retry: Retry?

  /// First and longest wait after a poll that could not start, in seconds.
  private static let retrySeconds: ClosedRange<Int64> = 60...3_600

  package init(_ state: State) { self.state = state }

  /// Whether something due could not be run so far.
  package var isRetrying: Bool { retry != nil }

  /// What is to be done now. `startedAt` is when the daemon started, `isBusy` whether a poll runs or is suspended.
  package mutating func step(
    _ schedule: Schedule, in zone: Zone, now: Timestamp, startedAt: Timestamp, isBusy: Bool
  ) -> Step {
    follow(schedule, now)
    let first = schedule.next(after: state.handled, in: zone, anchor: state.anchor)
    guard let first, first <= now else { return .wait(until: first) }
    let time = schedule.last(after: first, notAfter: now, in: zone, anchor: state.anchor) ?? first
    let due = Due(
      time: time, isMissed: time < startedAt, state: State(anchor: state.anchor, handled: time))
    if let retry, retry.since <= now, now < retry.until { return .wait(until: retry.until) }
    return isBusy ? .passOver(due) : .run(due)
  }

  /// When the next run is, as far as it is known now.
  package func next(_ schedule: Schedule, in zone: Zone, now: Timestamp) -> Timestamp? {
    var track = self
    track.follow(schedule, now)
    if let retry, retry.since <= now, now < retry.until { return retry.until }
    return schedule.next(after: max(track.state.handled, now), in: zone, anchor: track.state.anchor)
  }

  /// It was run or passed over, and that is kept.
  package mutating func conclude(_ due: Due) {
    state = due.state
    setAside = nil
    retry = nil
  }

  /// It could not be run or kept: to be tried again later. Returns how often that has happened now.
  package mutating func fail(now: Timestamp) -> Int {
    let attempts = (retry?.attempts ?? 0) + 1
    let seconds = min(Self.retrySeconds.lowerBound << min(Int64(attempts - 1), 16), Self.retrySeconds.upperBound)
    retry = Retry(attempts: attempts, since: now, until: now.advanced(bySeconds: seconds))
    return attempts
  }

  private mutating func follow(_ schedule: Schedule, _ now: Timestamp) {
    if let kept = setAside, now >= kept.handled {
      state = kept
      setAside = nil
    } else if now < state.handled.advanced(bySeconds: -schedule.setBackSeconds) {
      setAside = setAside ?? state
      state = State(beginningAt: now)
    }
  }
}

extension Schedule {
  /// How far before the last run the clock may be without the schedule starting anew.
  fileprivate var setBackSeconds: Int64 {
    switch self {
    case .every: 0
    case .daily, .weekly, .cron: Timestamp.secondsPerDay
    }
  }
}
