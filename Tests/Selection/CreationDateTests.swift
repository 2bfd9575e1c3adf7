import Model
import Selection
import Testing

private func moment(_ text: String) throws -> Timestamp { try #require(Timestamp(rfc3339: text), "\(text)") }

struct CreationDateTests {
  static let now = "2024-06-15T12:00:00Z"
  static let pushed = "2024-05-01T00:00:00Z"
  static let firstSeen = "2024-06-15T11:00:00Z"

  @Test(
    arguments: [
      ("2024-04-01T10:00:00Z", pushed, .config, "2024-04-01T10:00:00Z"),
      ("2024-04-01T10:00:00.123+02:00", pushed, .config, "2024-04-01T08:00:00Z"),
      ("2024-04-01T10:00:00", pushed, .config, "2024-04-01T10:00:00Z"),
      ("1990-01-01T00:00:00Z", pushed, .config, "1990-01-01T00:00:00Z"),
      ("2024-06-16T12:00:00Z", pushed, .config, "2024-06-16T12:00:00Z"),
      // placeholders
      (nil, pushed, .pushed, pushed), ("", pushed, .pushed, pushed), ("not a date", pushed, .pushed, pushed),
      (String(repeating: "2024-04-01T10:00:00Z", count: 256), pushed, .pushed, pushed),
      ("0001-01-01T00:00:00Z", pushed, .pushed, pushed), ("1969-12-31T23:59:59Z", pushed, .pushed, pushed),
      ("1970-01-01T00:00:00Z", pushed, .pushed, pushed), ("1980-01-01T00:00:01Z", pushed, .pushed, pushed),
      ("1989-12-31T23:59:59.999999999Z", pushed, .pushed, pushed),
      ("2024-06-16T12:00:00.000000001Z", pushed, .pushed, pushed), ("9999-12-31T23:59:59Z", pushed, .pushed, pushed),
      // no usable push date either
      ("0001-01-01T00:00:00Z", nil, .firstSeen, firstSeen), (nil, "0001-01-01T00:00:00Z", .firstSeen, firstSeen),
      (nil, "9999-12-31T23:59:59-23:59", .firstSeen, firstSeen),
    ] as [(String?, String?, CreationDate.Source, String)])
  func effective(config: String?, pushed: String?, source: CreationDate.Source, expected: String) throws {
    let date = CreationDate(
      config: config.flatMap { Timestamp(rfc3339: $0) }, pushed: pushed.flatMap { Timestamp(rfc3339: $0) },
      firstSeen: try moment(Self.firstSeen), now: try moment(Self.now))
    #expect(date.source == source)
    #expect(date.moment.description == expected)
    let phrases: [CreationDate.Source: String] = [
      .config: "from the image config", .pushed: "from the registry's push date",
      .firstSeen: "first seen by the daemon",
    ]
    #expect(date.description == "created \(expected.prefix(10)), \(phrases[source] ?? "")")
  }

  @Test func theNewestPlatformCounts() throws {
    let dates = try [
      moment("2024-01-01T00:00:00Z"), nil, moment("2024-03-01T00:00:00Z"), moment("9999-01-01T00:00:00Z"),
    ]
    let now = try moment(Self.now)
    let date = CreationDate(configs: dates, pushed: nil, firstSeen: now, now: now)
    #expect(date.moment.description == "2024-03-01T00:00:00Z" && date.source == .config)
    #expect(CreationDate(configs: [], pushed: nil, firstSeen: now, now: now).source == .firstSeen)
  }

  @Test func theClockMayStandAtItsEnd() throws {
    #expect(CreationDate.isPlausible(.latest, now: .latest))
    #expect(!CreationDate.isPlausible(.earliest, now: .earliest))
  }
}

struct CalendarPeriodTests {
  @Test(
    arguments: [
      (60, .days, "2024-06-15T12:00:00Z", "2024-04-16T12:00:00Z"),
      (1, .days, "2024-03-01T00:00:00Z", "2024-02-29T00:00:00Z"),
      (1, .months, "2024-03-31T23:59:59Z", "2024-02-29T23:59:59Z"),
      (1, .months, "2023-03-31T23:59:59Z", "2023-02-28T23:59:59Z"),
      (6, .months, "2024-08-31T00:00:00Z", "2024-02-29T00:00:00Z"),
      (1, .years, "2024-02-29T06:00:00Z", "2023-02-28T06:00:00Z"),
      (4, .years, "2024-02-29T06:00:00Z", "2020-02-29T06:00:00Z"),
      (100, .years, "2024-06-15T12:00:00Z", "1924-06-15T12:00:00Z"),
      (1_200, .months, "2024-06-15T12:00:00Z", "1924-06-15T12:00:00Z"),
      (100, .years, "0050-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
    ] as [(Int, CalendarPeriod.Unit, String, String)])
  func start(count: Int, unit: CalendarPeriod.Unit, now: String, expected: String) throws {
    #expect(try CalendarPeriod(count, unit).start(before: moment(now)).description == expected)
  }

  @Test(arguments: [
    (60, 0, 0, "60 days"), (1, 0, 0, "1 day"), (0, 1, 0, "1 month"), (0, 0, 2, "2 years"), (36_500, 0, 0, "36500 days"),
    (0, 0, 0, "60 days"),
  ])
  func reads(days: Int, months: Int, years: Int, description: String) throws {
    #expect(try CalendarPeriod(days: days, months: months, years: years).description == description)
  }

  @Test(
    arguments: [
      (1, 1, 0, nil, "the period has 1 days and 1 months; give one of days, months and years"),
      (1, 0, 1, nil, "1 days and 1 years"), (1, 2, 3, nil, "1 days and 2 months and 3 years"),
      (-1, 0, 0, .days, "-1 days"),
      (36_501, 0, 0, .days, "36501 days is not a period that can be used; write 1 to 36500"),
      (0, 1_201, 0, .months, "write 1 to 1200"), (0, 0, 101, .years, "write 1 to 100"),
      (0, 0, .max, .years, "write 1 to 100"), (.min, 0, 0, .days, "write 1 to 36500"),
    ] as [(Int, Int, Int, ConditionError.Part?, String)])
  func refuses(days: Int, months: Int, years: Int, part: ConditionError.Part?, message: String) {
    let error = #expect(throws: ConditionError.self) {
      try CalendarPeriod(days: days, months: months, years: years)
    }
    #expect(error?.part == part)
    #expect(error?.code == (part == nil ? .severalUnits : .outOfRange))
    #expect(error?.description.contains(message) == true)
  }

  @Test(
    arguments: [
      ("2024-05-15T12:00:00Z", .selected), ("2024-05-15T11:59:59.999999999Z", .rejected),
      ("2024-06-16T00:00:00Z", .selected),
      ("1990-01-01T00:00:00Z", .rejected),
    ] as [(String, Verdict)])
  func decides(created: String, verdict: Verdict) throws {
    let now = try moment("2024-06-15T12:00:00Z")
    let period = try CalendarPeriod(1, .months)
    let date = CreationDate(config: try moment(created), pushed: nil, firstSeen: now, now: now)
    let decision = period.decide(created: date, now: now)
    #expect(decision.isSelected == (verdict == .selected))
    #expect(decision.reason.code == (verdict == .selected ? .createdWithinPeriod : .createdBeforePeriod))
    #expect(decision.reason.text.contains("1 month"))
  }

  enum Verdict: Sendable { case selected, rejected }

  @Test(
    arguments: [
      (nil, false), ("2024-05-15T12:00:00Z", false), ("2024-05-15T11:59:59Z", true), ("0001-01-01T00:00:00Z", false),
      ("1970-01-01T00:00:00Z", false), ("9999-12-31T23:59:59Z", false),
    ] as [(String?, Bool)])
  func rejectsByPushDate(pushed: String?, rejected: Bool) throws {
    let reason = try CalendarPeriod(1, .months).rejection(
      pushed: pushed.flatMap { Timestamp(rfc3339: $0) }, now: moment("2024-06-15T12:00:00Z"))
    #expect(reason?.code == (rejected ? .pushedBeforePeriod : nil))
  }
}
