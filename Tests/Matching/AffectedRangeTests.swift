import StorageMessages
import Testing

@testable import Matching

@Suite struct AffectedRangeTests {
  private func range(_ events: [RangeEvent.Event], type: String = "ECOSYSTEM") -> RangeRecord {
    var range = RangeRecord()
    range.type = type
    range.events = events.map {
      var event = RangeEvent()
      event.event = $0
      return event
    }
    return range
  }

  private func entry(_ ranges: [RangeRecord], versions: [String] = []) -> AffectedRecord {
    var entry = AffectedRecord()
    entry.ranges = ranges
    entry.versions = versions
    return entry
  }

  private func fixes(_ version: String, _ events: [RangeEvent.Event]) -> [String]? {
    entry([range(events)]).fixes(for: version, order: .dpkg)
  }

  @Test func everythingBeforeTheFixIsAffected() {
    let events: [RangeEvent.Event] = [.introduced("0"), .fixed("2.0")]
    #expect(fixes("1.9", events) == ["2.0"])
    #expect(fixes("0", events) == ["2.0"])
    #expect(fixes("0~rc1", events) == ["2.0"], "the beginning is before every version")
    #expect(fixes("2.0~rc1", events) == ["2.0"])
    #expect(fixes("2.0", events) == nil)
    #expect(fixes("2.1", events) == nil)
  }

  @Test func withoutAFixAllLaterVersionsAreAffected() {
    #expect(fixes("1.0", [.introduced("1.0")]) == [])
    #expect(fixes("99", [.introduced("1.0")]) == [])
    #expect(fixes("0.9", [.introduced("1.0")]) == nil)
  }

  @Test func theLastAffectedVersionIsAffected() {
    let events: [RangeEvent.Event] = [.introduced("1.0"), .lastAffected("1.5")]
    #expect(fixes("1.5", events) == [])
    #expect(fixes("1.5+b1", events) == nil)
    #expect(fixes("1.4", events) == [])
  }

  @Test func severalPairsInAnyOrder() {
    let events: [RangeEvent.Event] = [
      .fixed("4.0"), .introduced("3.0"), .introduced("0"), .fixed("2.0"), .introduced("5.0"), .lastAffected("6.0"),
    ]
    for events in [events, events.reversed()] {
      #expect(fixes("1.0", events) == ["2.0"])
      #expect(fixes("2.5", events) == nil)
      #expect(fixes("3.0", events) == ["4.0"])
      #expect(fixes("4.0", events) == nil)
      #expect(fixes("5.5", events) == [], "the pair it is in has no fix")
      #expect(fixes("6.1", events) == nil)
    }
  }

  @Test func aPairThatIsClosedWhereTheNextOneOpens() {
    let events: [RangeEvent.Event] = [.introduced("1"), .fixed("2"), .introduced("2"), .fixed("3")]
    #expect(fixes("2", events) == ["3"])
    #expect(fixes("1", [.introduced("1"), .fixed("1")]) == nil)
  }

  @Test func aFixBelowItsIntroductionClosesNothing() {
    let events: [RangeEvent.Event] = [.introduced("2.0"), .fixed("1.0")]
    for version in ["0.5", "1.0", "1.5"] { #expect(fixes(version, events) == nil) }
    #expect(fixes("2.0", events) == [])
  }

  @Test func limitsBoundARange() {
    #expect(fixes("1", [.introduced("0"), .limit("2")]) == [])
    #expect(fixes("2", [.introduced("0"), .limit("2")]) == nil)
    #expect(fixes("3", [.introduced("0"), .limit("2"), .limit("4")]) == [])
    #expect(fixes("9", [.introduced("0"), .limit("*"), .limit("4")]) == [])
  }

  @Test func nothingIsAffectedWithoutAnIntroduction() {
    #expect(fixes("1", []) == nil)
    #expect(fixes("1", [.fixed("2")]) == nil)
    #expect(entry([]).fixes(for: "1", order: .rpm) == nil)
    #expect(entry([range([.introduced("0")], type: "GIT")]).fixes(for: "1", order: .rpm) == nil)
  }

  @Test func listedVersionsAreAffectedExactly() {
    let listed = entry([range([.introduced("5"), .fixed("6")])], versions: ["1.0", "1.1"])
    #expect(listed.fixes(for: "1.1", order: .dpkg) == [])
    #expect(listed.fixes(for: "1.10", order: .dpkg) == nil)
    #expect(listed.fixes(for: "5.5", order: .dpkg) == ["6"])
  }

  @Test func fixesOfAllItsRangesAreGivenOnce() {
    let ranges = [
      range([.introduced("0"), .fixed("2")]), range([.introduced("0"), .fixed("3")]),
      range([.introduced("1"), .fixed("2")]),
    ]
    #expect(entry(ranges).fixes(for: "1.5", order: .dpkg) == ["2", "3"])
  }

  @Test func theOrderIsTheEcosystems() {
    let events: [RangeEvent.Event] = [.introduced("0"), .fixed("1.0_rc2")]
    #expect(entry([range(events)]).fixes(for: "1.0_rc1", order: .apk) != nil)
    #expect(entry([range(events)]).fixes(for: "1.0", order: .apk) == nil)
    let epoch: [RangeEvent.Event] = [.introduced("0"), .fixed("1:0.5-1")]
    #expect(entry([range(epoch)]).fixes(for: "9.0-1", order: .rpm) == ["1:0.5-1"])
  }
}
