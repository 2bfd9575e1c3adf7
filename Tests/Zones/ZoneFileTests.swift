import Testing

@testable import Zones

/// Files that others wrote.
struct ZoneFileTests {
  private static let sound = ZoneBytes(
    changes: [(0, 1), (86_400, 0)], offsets: [0, 3_600], footer: "\nCET-1CEST,M3.5.0,M10.5.0/3\n")

  private func reason(_ bytes: [UInt8]) -> String? {
    do {
      _ = try ZoneFile.parse(bytes, name: "Test")
      return nil
    } catch {
      return error.reason
    }
  }

  @Test func `A file cut short anywhere is refused`() {
    let bytes = Self.sound.bytes
    #expect(reason(bytes) == nil)
    for count in 0..<bytes.count { #expect(reason(Array(bytes.prefix(count))) != nil) }
  }

  @Test func `No byte that is another traps`() {
    var generator = SplitMix(state: 1)
    let bytes = Self.sound.bytes
    for position in bytes.indices {
      for _ in 0..<8 {
        var other = bytes
        other[position] = UInt8.random(in: 0...255, using: &generator)
        // Most are refused, which is as good; what is read must hold.
        guard let zone = try? ZoneFile.parse(other, name: "Test") else { continue }
        for instant in [Int64.min, -1, 0, 86_400, 4_000_000_000, Int64.max] {
          let span = zone.span(at: instant)
          #expect(span.start < span.end)
        }
        #expect(zone.firstInstant(showing: 90_000) >= -90_000)
        _ = zone.firstTimeNotShown(until: 90_000)
      }
    }
  }

  @Test(arguments: [
    (ZoneBytes(version: 0), "version 1"), (ZoneBytes(leapSeconds: 2), "leap seconds"),
    (ZoneBytes(offsets: []), "no kind"), (ZoneBytes(offsets: [93_600]), "more than a day"),
    (ZoneBytes(offsets: [-90_000]), "more than a day"), (ZoneBytes(offsets: [.min]), "more than a day"),
    (ZoneBytes(changes: [(5, 0), (5, 0)]), "out of order"), (ZoneBytes(changes: [(.min, 0)]), "out of order"),
    (ZoneBytes(changes: [(5, 1)]), "not there"), (ZoneBytes(footer: "UTC0\n"), "end is missing"),
    (ZoneBytes(footer: "\nUTC0"), "end is missing"), (ZoneBytes(footer: "\nhello\n"), "\"hello\" is none"),
  ])
  func `What is wrong is said`(file: ZoneBytes, words: String) { #expect(reason(file.bytes)?.contains(words) == true) }

  @Test func `A count that no file could hold is refused`() {
    var bytes = Self.sound.bytes
    for position in 20..<44 { bytes[position] = 0xff }
    #expect(reason(bytes) != nil)
    #expect(reason(Array("hello".utf8)) == "it is cut short")
    #expect(reason([UInt8](repeating: 0x41, count: 64)) == "it is no file of time zones")
  }
}

/// Numbers that are the same in each run.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
