import Model
import Selection
import Testing
import Zones

/// Seconds since 1970 of an RFC 3339 time.
func instant(_ text: String) -> Timestamp { Timestamp(rfc3339: text) ?? .earliest }

/// The system's zones.
func zone(_ name: String) throws -> Zone { try ZoneDatabase.system.zone(name) }

func schedule(_ kind: String, _ value: String) throws -> Schedule {
  try #require(try Schedule(kind: kind, value: value))
}

/// D4: which instants a schedule means.
struct ScheduleInstantTests {
  /// The times from after `start` on, as many as are expected.
  private func check(
    _ kind: String, _ value: String, _ zoneName: String, after start: String, anchor: String? = nil,
    _ expected: [String],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let (schedule, zone) = (try schedule(kind, value), try zone(zoneName))
    var found: [String] = []
    var last = instant(start)
    for _ in expected {
      last = try #require(schedule.next(after: last, in: zone, anchor: instant(anchor ?? start)))
      found.append(last.description)
    }
    #expect(found == expected, sourceLocation: sourceLocation)
  }

  @Test func `A time that is skipped runs at the next valid minute`() throws {
    // 02:00 to 03:00 is skipped.
    try check(
      "daily", "02:30", "Europe/Berlin", after: "2026-03-28T00:00:00Z",
      ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"])
    try check(
      "weekly", "sun@02:00", "America/New_York", after: "2026-03-02T00:00:00Z",
      ["2026-03-08T07:00:00Z", "2026-03-15T06:00:00Z"])
    // Half an hour is skipped.
    try check(
      "daily", "02:15", "Australia/Lord_Howe", after: "2026-10-02T15:45:00Z",
      ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"])
    // Midnight is skipped.
    try check(
      "daily", "00:00", "America/Sao_Paulo", after: "2017-10-14T03:00:00Z",
      ["2017-10-15T03:00:00Z", "2017-10-16T02:00:00Z"])
  }

  @Test func `Several times of one gap run once, and the time after it is a run of its own`() throws {
    try check(
      "cron", "0,20,40 2 * * *", "Europe/Berlin", after: "2026-03-28T01:40:00Z",
      ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"])
    try check(
      "cron", "30 2,3 * * *", "Europe/Berlin", after: "2026-03-28T02:30:00Z",
      ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"])
    try check(
      "cron", "0 2,3 * * *", "Europe/Berlin", after: "2026-03-28T02:00:00Z",
      ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"])
  }

  @Test func `A time that repeats runs once`() throws {
    // 02:00 to 03:00 is there twice.
    try check(
      "daily", "02:30", "Europe/Berlin", after: "2026-10-24T00:30:00Z",
      ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"])
    try check(
      "cron", "*/15 2 * * *", "Europe/Berlin", after: "2026-10-24T01:00:00Z",
      [
        "2026-10-25T00:00:00Z", "2026-10-25T00:15:00Z", "2026-10-25T00:30:00Z", "2026-10-25T00:45:00Z",
        "2026-10-26T01:00:00Z",
      ])
    // Midnight repeats on the day before: 23:00 to 24:00 is there twice.
    try check(
      "daily", "23:30", "America/Sao_Paulo", after: "2018-02-17T00:00:00Z",
      ["2018-02-17T01:30:00Z", "2018-02-18T01:30:00Z", "2018-02-19T02:30:00Z"])
  }

  @Test func `A line for every hour goes by the minutes that clocks show`() throws {
    try check(
      "cron", "30 * * * *", "Europe/Berlin", after: "2026-03-28T23:30:00Z",
      ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"])
    try check(
      "cron", "*/30 * * * *", "Europe/Berlin", after: "2026-10-25T00:00:00Z",
      [
        "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:00:00Z",
      ])
    try check(
      "cron", "0 0-23 * * sun", "Europe/Berlin", after: "2026-03-28T23:00:00Z",
      ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"])
    // Half an hour is skipped, and its minute with it.
    try check(
      "cron", "15 * * * *", "Australia/Lord_Howe", after: "2026-10-03T14:45:00Z",
      ["2026-10-03T16:15:00Z", "2026-10-03T17:15:00Z"])
  }

  @Test func `A day that is skipped whole runs at the next midnight`() throws {
    // There was no 30 December.
    try check(
      "daily", "02:30", "Pacific/Apia", after: "2011-12-29T12:30:00Z",
      ["2011-12-30T10:00:00Z", "2011-12-30T12:30:00Z", "2011-12-31T12:30:00Z"])
    try check("cron", "0 12 30 12 *", "Pacific/Apia", after: "2011-01-01T00:00:00Z", ["2011-12-30T10:00:00Z"])
  }

  @Test func `Leap days`() throws {
    try check(
      "cron", "0 12 29 2 *", "UTC", after: "2026-01-01T00:00:00Z", ["2028-02-29T12:00:00Z", "2032-02-29T12:00:00Z"])
    try check("cron", "0 12 29 feb *", "Etc/UTC", after: "2096-03-01T00:00:00Z", ["2104-02-29T12:00:00Z"])
    try check("daily", "23:59", "UTC", after: "2028-02-28T23:59:00Z", ["2028-02-29T23:59:00Z", "2028-03-01T23:59:00Z"])
    // 29 February on a Sunday, with the year 2100 between.
    try check(
      "cron", "0 0 29 2 */7", "UTC", after: "2072-01-01T00:00:00Z", ["2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"])
  }

  @Test func `A day of the month or of the week`() throws {
    try check(
      "cron", "0 0 13 * fri", "UTC", after: "2026-02-10T00:00:00Z",
      [
        "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-06T00:00:00Z",
        "2026-03-13T00:00:00Z",
      ])
    // One of them open: both must hold.
    try check(
      "cron", "0 0 */13 * fri", "UTC", after: "2026-02-10T00:00:00Z", ["2026-02-27T00:00:00Z", "2026-03-27T00:00:00Z"])
    try check(
      "cron", "0 6 1 1,jul *", "Asia/Kolkata", after: "2026-02-01T00:00:00Z",
      ["2026-07-01T00:30:00Z", "2027-01-01T00:30:00Z"])
  }

  @Test func `Every so many minutes counts elapsed time from its anchor`() throws {
    let anchor = "2026-03-28T20:10:07Z"
    try check(
      "every", "6h", "Europe/Berlin", after: "2026-03-28T21:00:00Z", anchor: anchor,
      ["2026-03-29T02:10:07Z", "2026-03-29T08:10:07Z"])
    try check("every", "1d", "Europe/Berlin", after: "2026-03-29T20:10:07Z", anchor: anchor, ["2026-03-30T20:10:07Z"])
    // Before its anchor nothing was.
    try check("every", "1d", "UTC", after: "2025-01-01T00:00:00Z", anchor: anchor, ["2026-03-29T20:10:07Z"])
    try check("every", "366d", "UTC", after: anchor, ["2027-03-29T20:10:07Z"])
  }

  @Test func `Weekly runs on its days`() throws {
    try check(
      "weekly", "mon,thu@02:30", "Asia/Kolkata", after: "2026-11-26T00:00:00Z",
      ["2026-11-29T21:00:00Z", "2026-12-02T21:00:00Z", "2026-12-06T21:00:00Z"])
  }

  @Test func `The calendar has an end`() throws {
    for (kind, value) in [("every", "1d"), ("daily", "00:00"), ("cron", "* * * * *"), ("cron", "0 0 29 2 *")] {
      #expect(try schedule(kind, value).next(after: .latest, in: zone("Europe/Berlin"), anchor: .earliest) == nil)
      #expect(
        try schedule(kind, value).next(after: .earliest, in: zone("Europe/Berlin"), anchor: .earliest) != nil)
    }
  }

  @Test func `The last one before a time is found without going through all`() throws {
    let (every, zone) = (try schedule("cron", "* * * * *"), try zone("Europe/Berlin"))
    let (start, now) = (instant("1980-01-01T00:00:00Z"), instant("2026-11-26T10:11:12Z"))
    #expect(every.last(after: start, notAfter: now, in: zone, anchor: start) == instant("2026-11-26T10:11:00Z"))
    let yearly = try schedule("cron", "0 0 1 1 *")
    #expect(yearly.last(after: start, notAfter: now, in: zone, anchor: start) == instant("2025-12-31T23:00:00Z"))
    #expect(yearly.last(after: instant("2026-01-01T00:00:00Z"), notAfter: now, in: zone, anchor: start) == nil)
    #expect(yearly.last(after: now, notAfter: start, in: zone, anchor: start) == nil)
    #expect(yearly.last(after: now, notAfter: now, in: zone, anchor: start) == nil)
  }
}
