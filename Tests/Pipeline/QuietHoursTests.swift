import Model
import Queue
import StorageMessages
import TestSupport
import Testing
import Zones

@testable import Pipeline

struct QuietHoursTests {
  private let berlin: Zone

  init() throws { berlin = try ZoneDatabase.system.zone("Europe/Berlin") }

  private func seconds(_ text: String) throws -> Int64 {
    try #require(Timestamp(rfc3339: text)).nanosecondsSince1970 / 1_000_000_000
  }

  private func end(_ window: String, at instant: String, _ zone: Zone) throws -> String? {
    let hours = QuietHours(window: try #require(DailyWindow(window)))
    return try hours.end(at: seconds(instant), in: zone).map {
      Timestamp(nanosecondsSince1970: $0 * 1_000_000_000).description
    }
  }

  @Test(arguments: [
    ("22:00-06:00", "2026-03-01T21:59:59Z", nil),
    ("22:00-06:00", "2026-03-01T22:00:00Z", "2026-03-02T06:00:00Z"),
    ("22:00-06:00", "2026-03-01T00:00:00Z", "2026-03-01T06:00:00Z"),
    ("22:00-06:00", "2026-03-01T05:59:59Z", "2026-03-01T06:00:00Z"),
    ("22:00-06:00", "2026-03-01T06:00:00Z", nil),
    ("09:30-17:00", "2026-03-01T09:29:59Z", nil),
    ("09:30-17:00", "2026-03-01T09:30:00Z", "2026-03-01T17:00:00Z"),
    ("09:30-17:00", "2026-03-01T17:00:00Z", nil),
    ("00:00-23:59", "2026-12-31T12:00:00Z", "2026-12-31T23:59:00Z"),
    ("00:00-00:01", "2026-12-31T23:59:59Z", nil),
    ("23:59-00:00", "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z"),
    ("22:00-06:00", "1969-12-31T23:00:00Z", "1970-01-01T06:00:00Z"),
  ])
  func `A window ends when clocks show its end, over midnight too`(
    window: String, instant: String, expected: String?
  ) throws {
    let found = try end(window, at: instant, .utc)
    #expect(found == expected)
  }

  /// 2026-03-29: clocks go from 02:00 to 03:00. 2026-10-25: from 03:00 back to 02:00.
  @Test(arguments: [
    // An hour shorter, and an hour longer, than other nights.
    ("22:00-06:00", "2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"),
    ("22:00-06:00", "2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"),
    // The end is skipped.
    ("22:00-02:30", "2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z"),
    ("22:00-02:30", "2026-03-29T01:00:00Z", nil),
    // The whole window is skipped.
    ("02:10-02:50", "2026-03-29T00:59:59Z", nil),
    ("02:10-02:50", "2026-03-29T01:00:00Z", nil),
    // The end is shown twice, and the clocks are set back over it.
    ("22:00-02:30", "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"),
    ("22:00-02:30", "2026-10-25T00:45:00Z", nil),
    ("22:00-02:30", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"),
    // A window that ends as clocks are set back goes on.
    ("22:00-03:00", "2026-10-24T23:00:00Z", "2026-10-25T02:00:00Z"),
  ])
  func `Days on which clocks change`(window: String, instant: String, expected: String?) throws {
    let found = try end(window, at: instant, berlin)
    #expect(found == expected)
  }
}

/// What the scanner makes of them. The clocks of these tests show UTC.
@Suite(.timeLimit(.minutes(1)))
struct QuietScanTests {
  @Test func `In quiet hours only what a person asked for is scanned, and the rest when they are over`() async throws {
    let (registry, time) = (try FakeRegistry(), ManualTime())
    let plant = try await Plant(clock: TestClock("2026-03-01T05:00:00Z"))
    func integration(_ name: String, _ hours: String) async throws -> IntegrationRecord {
      try await plant.integration(name, registry) { record in
        record.quietHours = hours
        record.scanTimeoutSeconds = 86_400
      }
    }
    let quiet = try await integration("quiet", "22:00-06:00")
    let loud = try await integration("loud", "06:00-22:00")
    var jobs: [UInt64] = []
    for (integration, priority) in [
      (quiet, JobQueue.Priority.newImage), (quiet, .rescan), (quiet, .person), (loud, .newImage),
    ] {
      let image = FakeImage("image \(jobs.count)")
      registry.put(image, "app")
      let item = Intake.Item(image: plant.key(image, integration), tag: "")
      jobs.append(try #require(await plant.intake.queue([item], priority: priority).first).job.id)
    }
    try await plant.scanning(time: time) { _ in
      await plant.events.wait(for: "scan finished", count: 2)
      let early = try jobs.map { try plant.job($0).state }
      #expect(early == [.pending, .pending, .finished, .finished])
      plant.clock.advance(.seconds(3600))
      while plant.events.count("scan finished") < 4 {
        // The longest sleep of the scanner, which nobody wakes.
        await time.wait(forSleepOf: .seconds(60))
        time.advance(.seconds(60))
      }
    }
    let late = try jobs.map { try plant.job($0) }
    #expect(late.allSatisfy { $0.state == .finished })
    #expect(late[0].startedAt < late[1].startedAt)
  }
}
