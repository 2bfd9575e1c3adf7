import CLIKit
import Testing
import Zones

/// Next runs as people read them.
struct ZoneTimeTests {
  /// 2026-03-29T01:00:00Z: clocks in Berlin go from 02:00 to 03:00.
  private static let seconds: Int64 = 1_774_746_000

  @Test(arguments: [
    ("Europe/Berlin", "2026-03-29 03:00:00 +02:00 (2026-03-29 01:00:00Z)", "2026-03-29 03:00 +02:00 (01:00Z)"),
    ("America/New_York", "2026-03-28 21:00:00 -04:00 (2026-03-29 01:00:00Z)", "2026-03-28 21:00 -04:00 (01:00Z)"),
    ("Asia/Kolkata", "2026-03-29 06:30:00 +05:30 (2026-03-29 01:00:00Z)", "2026-03-29 06:30 +05:30 (01:00Z)"),
    ("Etc/UTC", "2026-03-29 01:00:00Z", "2026-03-29 01:00Z"),
    ("Mars/Olympus_Mons", "2026-03-29 01:00:00Z", "2026-03-29 01:00Z"),
  ])
  func `Clocks of the zone, and UTC`(zone: String, long: String, short: String) {
    let time = ZoneTime(seconds: Self.seconds, zone: zone)
    #expect(time.long == long)
    #expect(time.short == short)
  }

  @Test func `An empty name is this computer's zone`() {
    let database = ZoneDatabase(variable: "Asia/Tokyo")
    let time = ZoneTime(seconds: Self.seconds, zone: "", database: database)
    #expect(time.zone == "Asia/Tokyo" && time.short == "2026-03-29 10:00 +09:00 (01:00Z)")
    #expect(ZoneTime(seconds: .max, zone: "Europe/Berlin", database: database).long.hasPrefix("9999-12-31 23:59:59"))
  }
}
