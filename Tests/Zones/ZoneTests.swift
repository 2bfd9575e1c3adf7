import Model
import Testing

@testable import Zones

/// Offsets of files made here: tables, rules, and where the two meet.
struct ZoneTests {
  /// As it is in Berlin since 1996, from a table of one change on.
  private static let berlin = ZoneBytes(
    changes: [(seconds("1996-10-27T01:00:00Z"), 1)], offsets: [7_200, 3_600], footer: "\nCET-1CEST,M3.5.0,M10.5.0/3\n")

  private func zone(_ file: ZoneBytes) throws -> Zone { try ZoneFile.parse(file.bytes, name: "Test/Zone") }

  @Test(arguments: [
    ("1996-10-27T00:59:59Z", 7_200), ("1996-10-27T01:00:00Z", 3_600), ("1997-03-30T00:59:59Z", 3_600),
    ("1997-03-30T01:00:00Z", 7_200), ("2026-03-29T00:59:59Z", 3_600), ("2026-03-29T01:00:00Z", 7_200),
    ("2026-10-25T00:59:59Z", 7_200), ("2026-10-25T01:00:00Z", 3_600), ("2099-07-01T00:00:00Z", 7_200),
    ("9999-12-31T23:59:59Z", 3_600), ("0000-01-01T00:00:00Z", 7_200),
  ])
  func `The table holds up to its end, then the rule`(instant: String, offset: Int64) throws {
    #expect(try zone(Self.berlin).offset(at: seconds(instant)) == offset)
  }

  @Test func `A span is as long as its offset holds`() throws {
    let span = try zone(Self.berlin).span(at: seconds("2026-07-01T00:00:00Z"))
    #expect(span.start == seconds("2026-03-29T01:00:00Z") && span.end == seconds("2026-10-25T01:00:00Z"))
    let first = try zone(Self.berlin).span(at: seconds("1900-01-01T00:00:00Z"))
    #expect(first.start < seconds("0000-01-01T00:00:00Z") && first.end == seconds("1996-10-27T01:00:00Z"))
    let joined = try zone(Self.berlin).span(at: seconds("1996-12-01T00:00:00Z"))
    #expect(joined.start == seconds("1996-10-27T01:00:00Z") && joined.end == seconds("1997-03-30T01:00:00Z"))
  }

  @Test(arguments: [
    ("UTC0", "2026-07-01T00:00:00Z", 0), ("<+0545>-5:45", "2026-07-01T00:00:00Z", 20_700),
    // South of the equator the summer goes over the new year.
    ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-01-01T00:00:00Z", 39_600),
    ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-07-01T00:00:00Z", 36_000),
    // Half an hour.
    ("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2026-12-31T23:59:59Z", 39_600),
    // Ireland's winter is the time that is set back.
    ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-01-01T00:00:00Z", 0),
    ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-07-01T00:00:00Z", 3_600),
    // Hours before the day, and beyond it.
    ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T00:59:59Z", -7_200),
    ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", -3_600),
    ("EET-2EEST,M3.4.4/50,M10.4.4/50", "2026-03-28T00:00:00Z", 10_800),
    ("EET-2EEST,M3.4.4/50,M10.4.4/50", "2026-03-27T23:59:59Z", 7_200),
    // All the year; "XXX", "AAA" and "BBB" are abbreviations that no zone has.
    ("XXX3EDT4,0/0,J365/23", "2026-01-01T00:00:00Z", -14_400),
    ("XXX3EDT4,0/0,J365/23", "2027-06-01T00:00:00Z", -14_400),
    // The 60th day with and without 29 February.
    ("AAA0BBB,J60/0,J300/0", "2028-02-29T12:00:00Z", 0), ("AAA0BBB,J60/0,J300/0", "2028-03-01T12:00:00Z", 3_600),
    ("AAA0BBB,59/0,300/0", "2028-02-29T12:00:00Z", 3_600), ("AAA0BBB,59/0,300/0", "2027-02-28T12:00:00Z", 0),
  ])
  func `Rules say the offset of any time`(rule: String, instant: String, offset: Int64) throws {
    #expect(try zone(ZoneBytes(offsets: [1], footer: "\n\(rule)\n")).offset(at: seconds(instant)) == offset)
  }

  @Test(arguments: [
    ("", false), ("UTC", false), ("U0", false), ("UTC25", false), ("UTC0:60", false), ("CET-1CEST", false),
    ("CET-1CEST,M3.5.0", false), ("CET-1CEST,M13.5.0,M10.5.0", false), ("CET-1CEST,M3.6.0,M10.5.0", false),
    ("CET-1CEST,M3.0.0,M10.5.0", false), ("CET-1CEST,M3.5.7,M10.5.0", false), ("CET-1CEST,J0,J300", false),
    ("CET-1CEST,366,300", false), ("CET-1CEST,M3.5.0/168,M10.5.0", false), ("CET-1CEST,M3.5.0,M10.5.0/3x", false),
    ("<+01-1", false), ("<é>-1", false), ("CET-99999999999999999999", false), ("CET--1", false),
    ("CET-24", true), ("CET-1CEST,M3.5.0/-167,M10.5.0/167", true),
  ])
  func `What is no rule is said to be none`(text: String, isRule: Bool) {
    #expect((YearlyRule(text.utf8) != nil) == isRule)
  }

  @Test func `Without a rule the last change holds for ever`() throws {
    var file = Self.berlin
    file.footer = "\n\n"
    #expect(try zone(file).offset(at: seconds("2026-07-01T00:00:00Z")) == 3_600)
  }

  @Test func `A time that is skipped is at the end of the gap, one that repeats at its first`() throws {
    let zone = try zone(Self.berlin)
    func first(_ time: String) -> Int64 { zone.firstInstant(showing: seconds(time)) }
    #expect(first("2026-03-29T01:59:59Z") == seconds("2026-03-29T00:59:59Z"))
    #expect(first("2026-03-29T02:00:00Z") == seconds("2026-03-29T01:00:00Z"))
    #expect(first("2026-03-29T02:30:00Z") == seconds("2026-03-29T01:00:00Z"))
    #expect(first("2026-03-29T03:00:00Z") == seconds("2026-03-29T01:00:00Z"))
    #expect(first("2026-03-29T03:00:01Z") == seconds("2026-03-29T01:00:01Z"))
    #expect(first("2026-10-25T02:30:00Z") == seconds("2026-10-25T00:30:00Z"))
    #expect(first("2026-10-25T03:00:00Z") == seconds("2026-10-25T02:00:00Z"))
  }

  @Test func `What was shown stays shown while clocks are set back`() throws {
    let zone = try zone(Self.berlin)
    func next(_ instant: String) -> Int64 { zone.firstTimeNotShown(until: seconds(instant)) }
    #expect(next("2026-10-25T00:30:00Z") == seconds("2026-10-25T02:30:01Z"))
    #expect(next("2026-10-25T01:00:00Z") == seconds("2026-10-25T03:00:00Z"))
    #expect(next("2026-10-25T01:59:59Z") == seconds("2026-10-25T03:00:00Z"))
    #expect(next("2026-10-25T02:00:00Z") == seconds("2026-10-25T03:00:01Z"))
    #expect(next("2026-03-29T01:00:00Z") == seconds("2026-03-29T03:00:01Z"))
  }

  @Test func `Instants beyond all reckoning are taken for its end`() throws {
    for zone in [try zone(Self.berlin), .utc] {
      for instant in [Int64.min, Int64.max] {
        let span = zone.span(at: instant)
        #expect(span.start < span.end)
      }
    }
  }
}
