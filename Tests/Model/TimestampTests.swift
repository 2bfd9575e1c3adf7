import Model
import Testing

struct TimestampTests {
  @Test(arguments: [
    ("1970-01-01T00:00:00Z", 0, 0),
    ("1970-01-01T00:00:01.5Z", 1, 500_000_000),
    ("1969-12-31T23:59:59.25Z", -1, 250_000_000),
    ("2024-02-29T12:30:00Z", 1_709_209_800, 0),
    ("2024-02-29T14:30:00+02:00", 1_709_209_800, 0),
    ("2024-02-29T07:00:00-05:30", 1_709_209_800, 0),
    ("2024-02-29t12:30:00z", 1_709_209_800, 0),
    ("2024-02-29 12:30:00Z", 1_709_209_800, 0),
    ("2024-02-29T12:30:00", 1_709_209_800, 0),
    ("2024-02-29T12:30:00.123456789123456789Z", 1_709_209_800, 123_456_789),
    ("2016-12-31T23:59:60Z", 1_483_228_800, 0),
    ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
    ("0000-01-01T00:00:00Z", -62_167_219_200, 0),
    ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
    // Beyond what RFC 3339 can say in UTC: the nearer end.
    ("0000-01-01T00:00:00+23:59", -62_167_219_200, 0),
    ("9999-12-31T23:59:59-23:59", 253_402_300_799, 999_999_999),
  ])
  func reads(text: String, seconds: Int, nanoseconds: Int) {
    #expect(Timestamp(rfc3339: text) == Timestamp(seconds: Int64(seconds), nanoseconds: Int32(nanoseconds)))
  }

  @Test(arguments: [
    "", "Z", "2024", "2024-02-29", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-13-01T00:00:00Z",
    "2024-00-01T00:00:00Z", "2024-01-00T00:00:00Z", "2024-04-31T00:00:00Z", "2024-01-01T24:00:00Z",
    "2024-01-01T00:60:00Z", "2024-01-01T00:00:61Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+24:00",
    "2024-01-01T00:00:00+0200", "2024-01-01T00:00:00+02:60", "2024-01-01T00:00:00Zx", "2024-01-01T00:00:00 Z",
    " 2024-01-01T00:00:00Z", "-024-01-01T00:00:00Z", "12024-01-01T00:00:00Z", "2024-1-1T0:0:0Z",
    "２０２４-01-01T00:00:00Z", "2024-01-01T00:00:00Z\0", "Mon, 01 Jan 2024 00:00:00 GMT", "1700000000", "null",
  ])
  func refuses(text: String) {
    #expect(Timestamp(rfc3339: text) == nil)
  }

  @Test func refusesLongText() {
    #expect(Timestamp(rfc3339: "2024-01-01T00:00:00." + String(repeating: "0", count: 5 << 10) + "Z") == nil)
    #expect(Timestamp(rfc3339: String(repeating: "9", count: 5 << 10)) == nil)
  }

  @Test(arguments: ["0000-01-01T00:00:00Z", "1969-07-20T20:17:40Z", "2024-02-29T01:02:03Z", "9999-12-31T23:59:59Z"])
  func writesWhatItReads(text: String) {
    #expect(Timestamp(rfc3339: text)?.description == text)
  }

  @Test(arguments: [
    (Int64(0), Int64(0), Int32(0)), (1, 0, 1), (-1, -1, 999_999_999), (-1_000_000_000, -1, 0),
    (.max, 9_223_372_036, 854_775_807), (.min, -9_223_372_037, 145_224_192),
  ])
  func nanosecondsThereAndBack(total: Int64, seconds: Int64, nanoseconds: Int32) {
    let timestamp = Timestamp(nanosecondsSince1970: total)
    #expect(timestamp == Timestamp(seconds: seconds, nanoseconds: nanoseconds))
    #expect(timestamp.nanosecondsSince1970 == total)
  }

  @Test func endsDoNotOverflow() {
    #expect(Timestamp.latest.description == "9999-12-31T23:59:59Z")
    #expect(Timestamp.earliest.description == "0000-01-01T00:00:00Z")
    #expect(Timestamp.latest.nanosecondsSince1970 == .max)
    #expect(Timestamp.earliest.nanosecondsSince1970 == .min)
    #expect(Timestamp.latest.advanced(bySeconds: .max) == .latest)
    #expect(Timestamp.earliest.advanced(bySeconds: .min) == .earliest)
    #expect(Timestamp(seconds: 0, nanoseconds: .min) == Timestamp(seconds: 0))
    #expect(Timestamp(seconds: 0, nanoseconds: .max).nanoseconds == 999_999_999)
  }

  @Test func ordersByMoment() {
    let ordered = [
      Timestamp.earliest, Timestamp(seconds: -1), Timestamp(seconds: -1, nanoseconds: 5), Timestamp(seconds: 0),
      Timestamp(seconds: 0, nanoseconds: 1), .latest,
    ]
    #expect(ordered.shuffled().sorted() == ordered)
  }
}

struct CivilDateTests {
  /// Walks every day of 800 years, counting by hand.
  @Test func agreesWithCountingDayByDay() {
    var (year, month, day) = (1600, 1, 1)
    for number in -135_140 ..< -135_140 + 2 * 146_097 {
      let date = CivilDate(daysSince1970: number)
      guard date == CivilDate(year: year, month: month, day: day), date.daysSince1970 == number else {
        Issue.record("day \(number) is \(date), expected \(year)-\(month)-\(day)")
        return
      }
      day += 1
      if day > CivilDate.days(inMonth: month, of: year) { (month, day) = (month + 1, 1) }
      if month > 12 { (year, month) = (year + 1, 1) }
    }
    #expect((year, month, day) == (2400, 1, 1))
  }

  @Test(arguments: [
    (2024, 5, 1, "2024-05-01"), (1, 12, 31, "0001-12-31"), (0, 1, 1, "0000-01-01"), (9999, 10, 9, "9999-10-09"),
    (10_000, 1, 2, "10000-1-2"), (-2, 12, 1, "-2-12-1"),
  ])
  func writes(year: Int, month: Int, day: Int, text: String) throws {
    #expect(try #require(CivilDate(year: year, month: month, day: day)).description == text)
  }

  @Test(arguments: [
    ((2024, 3, 31), 1, (2024, 2, 29)), ((2023, 3, 31), 1, (2023, 2, 28)), ((2024, 1, 31), 1, (2023, 12, 31)),
    ((2024, 2, 29), 12, (2023, 2, 28)), ((2024, 2, 29), 48, (2020, 2, 29)), ((2024, 5, 31), 3, (2024, 2, 29)),
    ((2000, 1, 15), 0, (2000, 1, 15)), ((1, 1, 1), 1, (0, 12, 1)), ((0, 1, 1), 13, (-2, 12, 1)),
  ])
  func monthsBack(from: (Int, Int, Int), months: Int, to: (Int, Int, Int)) throws {
    let start = try #require(CivilDate(year: from.0, month: from.1, day: from.2))
    #expect(start.subtracting(months: months) == CivilDate(year: to.0, month: to.1, day: to.2))
  }

  @Test func ordersByDay() throws {
    let a = try #require(CivilDate(year: 2023, month: 12, day: 31))
    let b = try #require(CivilDate(year: 2024, month: 1, day: 1))
    #expect(a < b && a.daysSince1970 + 1 == b.daysSince1970)
    #expect(CivilDate(year: 2024, month: 2, day: 30) == nil)
    #expect(CivilDate(year: 2024, month: 0, day: 1) == nil)
  }
}
