import Model

extension CronExpression {
  private static let minutesPerDay: Int64 = 1_440
  /// Days after which the calendar repeats, and so do days that no month of these years had.
  private static let daysSearched = 146_097

  /// Whether every hour is meant. Then the expression says how often, and not at what time.
  var isOfEveryHour: Bool { hours.count == 24 }

  func matches(_ date: CivilDate) -> Bool {
    guard months.contains(date.month) else { return false }
    let isDay = daysOfMonth.contains(date.day)
    let isWeekday = daysOfWeek.contains(CivilDate.weekday(daysSince1970: date.daysSince1970))
    return hasBothDays ? isDay || isWeekday : isDay && isWeekday
  }

  /// The first time that matches, from `start` on and before `end`: what clocks show, in seconds since 1970.
  func firstTime(from start: Int64, before end: Int64) -> Int64? {
    let minute = Self.divide(start + 59, by: 60)
    var day = Int(Self.divide(minute, by: Self.minutesPerDay))
    var earliest = Int(minute - Int64(day) * Self.minutesPerDay)
    let last = day + Self.daysSearched
    while day <= last, Int64(day) * Self.minutesPerDay * 60 < end {
      let date = CivilDate(daysSince1970: day)
      if !months.contains(date.month) {
        day += CivilDate.days(inMonth: date.month, of: date.year) - date.day + 1
      } else if matches(date), let minuteOfDay = firstMinute(from: earliest) {
        let time = (Int64(day) * Self.minutesPerDay + Int64(minuteOfDay)) * 60
        return time < end ? time : nil
      } else {
        day += 1
      }
      earliest = 0
    }
    return nil
  }

  /// The first minute of the day from that one on.
  private func firstMinute(from start: Int) -> Int? {
    guard let hour = hours.first(from: start / 60) else { return nil }
    if hour == start / 60, let minute = minutes.first(from: start % 60) { return hour * 60 + minute }
    guard let next = hour == start / 60 ? hours.first(from: hour + 1) : hour, let minute = minutes.first(from: 0) else {
      return nil
    }
    return next * 60 + minute
  }

  /// Rounded down.
  private static func divide(_ value: Int64, by divisor: Int64) -> Int64 {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }
}
