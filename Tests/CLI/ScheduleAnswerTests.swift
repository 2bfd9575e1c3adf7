import Testing
import TidewaiterClient

@testable import CLIKit

/// Answers to the question for a schedule.
struct ScheduleAnswerTests {
  @Test(arguments: [
    ("6h", "every", "6h"), ("every 6h", "every", "6h"), ("02:30", "daily", "02:30"), ("daily 02:30", "daily", "02:30"),
    ("mon,thu@02:30", "weekly", "mon,thu@02:30"), ("weekly mon@02:30", "weekly", "mon@02:30"),
    ("0 2 * * mon", "cron", "0 2 * * mon"), ("cron 0 2 * * *", "cron", "0 2 * * *"), ("", "every", ""),
  ])
  func `An answer is read by its first word or its form`(answer: String, kind: String, value: String) {
    let schedule = Schedule(reading: answer, timezone: "Europe/Berlin")
    #expect(schedule.kind == kind && schedule.value == value && schedule.timezone == "Europe/Berlin")
  }
}
