import Selection
import Testing

/// D4: the texts of schedules.
struct ScheduleTests {
  private func read(_ kind: String, _ value: String) throws -> Schedule? { try Schedule(kind: kind, value: value) }

  @Test func `Every kind is read`() throws {
    #expect(try read("every", "30m") == .every(minutes: 30))
    #expect(try read("every", "6h") == .every(minutes: 360))
    #expect(try read("every", "366d") == .every(minutes: Schedule.minutesMaximum))
    #expect(try read("daily", "02:30") == .daily(minute: 150))
    #expect(try read("weekly", "Mon,thu@23:59") == .weekly(days: [1, 4], minute: 1439))
    #expect(try read("hourly", "1") == nil)
  }

  @Test(arguments: [
    ("every", ""), ("every", "0m"), ("every", "6"), ("every", "6w"), ("every", "-1h"), ("every", "367d"),
    ("every", "٣h"),
    ("every", "99999999999999999999h"), ("daily", "2:30"), ("daily", "24:00"), ("daily", "02:60"), ("daily", "0230"),
    ("daily", "+2:30"), ("weekly", "mon"), ("weekly", "@02:30"), ("weekly", "mon,@02:30"), ("weekly", "monday@02:30"),
    ("weekly", "mon@02:30@03:30"),
  ])
  func `What is none is said to be none`(kind: String, value: String) {
    #expect(throws: Schedule.Malformed.self) { try read(kind, value) }
  }

  private func cron(_ text: String) throws -> CronExpression { try CronExpression(text) }

  @Test func `Cron has numbers, names, ranges, steps and lists`() throws {
    let every = try cron("* * * * *")
    #expect(every.minutes.count == 60 && every.hours.count == 24 && every.daysOfMonth.count == 31)
    #expect(every.months.count == 12 && every.daysOfWeek == NumberSet(0...6) && !every.hasBothDays)
    let mixed = try cron("*/15 8-18/5,23 1,15 jan-mar,DEC mon-fri")
    #expect(mixed.minutes == [0, 15, 30, 45])
    #expect(mixed.hours == [8, 13, 18, 23])
    #expect(mixed.daysOfMonth == [1, 15] && mixed.months == [1, 2, 3, 12] && mixed.daysOfWeek == [1, 2, 3, 4, 5])
    #expect(mixed.hasBothDays)
    #expect(try cron("5/20 * * * 7").minutes == [5, 25, 45])
    #expect(try cron("0 0 * * 7").daysOfWeek == [0])
    #expect(try cron("0 0 * * 5-7").daysOfWeek == [5, 6, 0])
    #expect(try cron("0 0 29 2 *").daysOfMonth == [29])
    #expect(try cron("0 0 30 2 mon").daysOfWeek == [1])
  }

  @Test(arguments: [
    "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 * ", "* * * * 8",
    "*/0 * * * *", "*/60 * * * *", "1-0 * * * *", "1- * * * *", "-1 * * * *", "1,,2 * * * *", "1/2/3 * * * *",
    "a * * * *", "* * * feb-jan *", "0 0 30 2 *", "0 0 31 4,6 *", "@daily", "٣ * * * *", "* * * * montag",
  ])
  func `A cron line that is none, or that no day fits, is refused`(text: String) {
    #expect(throws: Schedule.Malformed.self) { try cron(text) }
  }

  /// What is said of a text that is none.
  private func refusal(_ kind: String, _ value: String) -> String {
    do {
      _ = try Schedule(kind: kind, value: value)
      return ""
    } catch {
      return error.description
    }
  }

  @Test(arguments: [
    ("every", "6w", ["\"w\" at character 2", "m, h or d", "such as 30m"]),
    ("every", "6", ["nothing at character 2", "no unit"]), ("every", "h", ["nothing at character 1", "no number"]),
    ("every", "367d", ["\"367\" at character 1", "1 to 366"]), ("every", "0m", ["\"0\" at character 1"]),
    ("daily", "25:00", ["\"25\" at character 1", "hour", "00 to 23"]),
    ("daily", "02:60", ["\"60\" at character 4", "minute", "00 to 59"]), ("daily", "0230", ["HH:MM"]),
    ("weekly", "mon,tusday@02:30", ["\"tusday\" at character 5", "sun, mon, tue"]),
    ("weekly", "mon@2:30", ["\"2\" at character 5", "hour"]), ("weekly", "mon 02:30", ["mon,thu@02:30"]),
    ("cron", "0 0 32 * *", ["\"32\" at character 5", "field 3 of 5, day of the month", "1 to 31", "1,15"]),
    ("cron", "0 0 1-x * *", ["\"1-x\" at character 5"]), ("cron", "*/99 * * * *", ["\"99\" at character 3", "step"]),
    ("cron", "1,,2 * * * *", ["nothing at character 3", "minute"]),
    ("cron", "0 0 * foo *", ["\"foo\" at character 7", "field 4 of 5, month", "names such as feb"]),
    ("cron", "0 0 * * mon-sun", ["\"mon-sun\" at character 9", "field 5 of 5"]),
    ("cron", "0 0 * *", ["has 4 of 5 fields", "minute, hour, day of the month, month, day of the week"]),
    ("cron", "0 0 30 2 *", ["\"30\" at character 5", "never"]),
  ])
  func `A message says where, what is expected, and how it would be right`(kind: String, value: String, words: [String])
  {
    let text = refusal(kind, value)
    for word in words { #expect(text.contains(word), "\(text)") }
  }
}
