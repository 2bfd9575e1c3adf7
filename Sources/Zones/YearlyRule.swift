import Model

/// A POSIX TZ text, `CET-1CEST,M3.5.0,M10.5.0/3`: the offsets of every year alike. It ends the files of the tz database and
/// holds for the time after their tables (RFC 8536, sections 3.3 and 3.3.1).
struct YearlyRule: Sendable, Equatable {
  enum Day: Sendable, Equatable {
    /// 1 to 365; 29 February is never counted.
    case julian(Int)
    /// 0 to 365; 29 February is counted.
    case ofYear(Int)
    /// The nth (5: the last) such day of the week, Sunday being 0, of a month.
    case ofMonth(Int, week: Int, weekday: Int)
  }

  /// When clocks are changed each year, by what they show until then.
  struct Change: Sendable, Equatable {
    let day: Day
    /// Seconds after that day's midnight; may be of another day.
    let time: Int64
  }

  struct Daylight: Sendable, Equatable {
    let offset: Int64
    let start: Change
    let end: Change
  }

  let standard: Int64
  let daylight: Daylight?

  private static let secondsPerDay: Int64 = 86_400

  func span(at instant: Int64) -> Zone.Span {
    guard let daylight else {
      return Zone.Span(start: Zone.instants.lowerBound, end: Zone.instants.upperBound + 1, offset: standard)
    }
    let days = Int((instant + standard) / Self.secondsPerDay)
    let year = CivilDate(daysSince1970: days).year
    // Enough years that the spans before and after are in sight, wherever in a year the changes are.
    var ends: Int64 = Zone.instants.lowerBound
    for interval in intervals(of: daylight, years: (year - 2)...(year + 2)) {
      if instant < interval.lowerBound {
        return Zone.Span(start: ends, end: interval.lowerBound, offset: standard)
      }
      if instant < interval.upperBound {
        return Zone.Span(start: interval.lowerBound, end: interval.upperBound, offset: daylight.offset)
      }
      ends = interval.upperBound
    }
    return Zone.Span(start: ends, end: max(ends, instant) + Self.secondsPerDay, offset: standard)
  }

  /// The times of daylight saving that begin in those years, those that meet joined: one that ends where the next begins
  /// holds all the year.
  private func intervals(of daylight: Daylight, years: ClosedRange<Int>) -> [Range<Int64>] {
    var found: [Range<Int64>] = []
    for year in years {
      let start = instant(of: daylight.start, in: year, before: standard)
      var end = instant(of: daylight.end, in: year, before: daylight.offset)
      // South of the equator it ends in the year after.
      if end < start { end = instant(of: daylight.end, in: year + 1, before: daylight.offset) }
      guard start < end else { continue }
      if let last = found.last, last.upperBound >= start {
        found[found.count - 1] = last.lowerBound..<max(last.upperBound, end)
      } else {
        found.append(start..<end)
      }
    }
    return found
  }

  private func instant(of change: Change, in year: Int, before offset: Int64) -> Int64 {
    Int64(Self.days(of: change.day, in: year)) * Self.secondsPerDay + change.time - offset
  }

  /// Days since 1970.
  private static func days(of day: Day, in year: Int) -> Int {
    switch day {
    case .julian(let number): first(of: 1, in: year) + number - 1 + (number >= 60 && CivilDate.isLeap(year) ? 1 : 0)
    case .ofYear(let number): first(of: 1, in: year) + number
    case .ofMonth(let month, let week, let weekday):
      onWeekday(weekday, week: week, from: first(of: month, in: year), length: CivilDate.days(inMonth: month, of: year))
    }
  }

  private static func onWeekday(_ weekday: Int, week: Int, from first: Int, length: Int) -> Int {
    let offset = (weekday - CivilDate.weekday(daysSince1970: first) + 7) % 7 + (week - 1) * 7
    return first + (offset < length ? offset : offset - 7)
  }

  private static func first(of month: Int, in year: Int) -> Int {
    CivilDate(year: year, month: month, day: 1)?.daysSince1970 ?? 0
  }
}
