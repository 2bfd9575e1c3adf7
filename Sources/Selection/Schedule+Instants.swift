import Model
import Zones

/// The instants that a schedule means (D4).
///
/// - `every` counts elapsed time from an anchor, whatever clocks show.
/// - A schedule that names hours is due at the first instant at which clocks show one of its times or a later one. So a time
///   that a change skips is due when clocks go on after the gap, several such times once, and a time that repeats is due
///   when it is first shown. A day that is skipped whole is due at the next midnight.
/// - A cron line for every hour (`*/15 * * * *`, `0 * * * *`) says how often, as Debian's cron has it: it is due whenever
///   clocks show a minute of it, in an hour that repeats both times; what is skipped is no time that passed, and nothing is
///   made up for it.
extension Schedule {
  /// The first instant after `instant`, to the second; nil when there is none in the calendar. `anchor` is for `every`.
  package func next(after instant: Timestamp, in zone: Zone, anchor: Timestamp) -> Timestamp? {
    let found =
      switch self {
      case .every(let minutes): Self.next(after: instant.seconds, period: Int64(minutes) * 60, from: anchor.seconds)
      case .daily(let minute):
        CronExpression(daysOfWeek: NumberSet(0...6), minuteOfDay: minute).next(after: instant.seconds, in: zone)
      case .weekly(let days, let minute):
        CronExpression(daysOfWeek: days, minuteOfDay: minute).next(after: instant.seconds, in: zone)
      case .cron(let expression): expression.next(after: instant.seconds, in: zone)
      }
    return found.flatMap { $0 > Timestamp.latest.seconds ? nil : Timestamp(seconds: $0) }
  }

  /// The last instant after `instant` and not after `now`; nil when there is none. How many there are makes no difference.
  package func last(
    after instant: Timestamp, notAfter now: Timestamp, in zone: Zone, anchor: Timestamp
  ) -> Timestamp? {
    func next(_ instant: Timestamp) -> Timestamp? {
      self.next(after: instant, in: zone, anchor: anchor).flatMap { $0 <= now ? $0 : nil }
    }
    // Mostly there is none, or one.
    guard let first = next(instant) else { return nil }
    guard let second = next(first) else { return first }
    // There is one after `low`, and none after `high`.
    var (low, high) = (first.seconds, now.seconds)
    var last = second
    while high - low > 1 {
      let middle = low + (high - low) / 2
      if let found = next(Timestamp(seconds: middle)) { (low, last) = (middle, found) } else { high = middle }
    }
    return last
  }

  private static func next(after instant: Int64, period: Int64, from anchor: Int64) -> Int64 {
    guard instant >= anchor else { return anchor + period }
    return anchor + ((instant - anchor) / period + 1) * period
  }
}

extension CronExpression {
  /// The last second of the calendar, with room for any offset.
  private static let end = Timestamp.latest.seconds + 2 * Timestamp.secondsPerDay

  fileprivate func next(after instant: Int64, in zone: Zone) -> Int64? {
    guard isOfEveryHour else {
      return firstTime(from: zone.firstTimeNotShown(until: instant), before: Self.end).map(zone.firstInstant)
    }
    var span = zone.span(at: instant + 1)
    var start = instant + 1
    while start < Self.end {
      if let time = firstTime(from: start + span.offset, before: min(span.end, Self.end) + span.offset) {
        return time - span.offset
      }
      start = span.end
      span = zone.span(at: start)
    }
    return nil
  }
}
