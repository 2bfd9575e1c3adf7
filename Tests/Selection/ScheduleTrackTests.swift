import Model
import Selection
import Testing
import Zones

/// D4: missed and overlapping runs, and clocks that jump.
struct ScheduleTrackTests {
  private static let begun = instant("2026-11-26T10:00:00.5Z")

  private func step(
    _ track: inout ScheduleTrack, _ schedule: Schedule, at now: String, startedAt: String = "2026-11-26T00:00:00Z",
    isBusy: Bool = false
  ) throws -> ScheduleTrack.Step {
    track.step(
      schedule, in: try zone("Europe/Berlin"), now: instant(now), startedAt: instant(startedAt), isBusy: isBusy)
  }

  /// The time that is run at `now`; it is concluded.
  private func run(
    _ track: inout ScheduleTrack, _ schedule: Schedule, at now: String, startedAt: String = "2026-11-26T00:00:00Z"
  ) throws -> (time: String, isMissed: Bool)? {
    guard case .run(let due) = try step(&track, schedule, at: now, startedAt: startedAt) else { return nil }
    track.conclude(due)
    return (due.time.description, due.isMissed)
  }

  private func waits(_ step: ScheduleTrack.Step, until time: String) -> Bool { step == .wait(until: instant(time)) }

  private func begin() -> ScheduleTrack { ScheduleTrack(ScheduleTrack.State(beginningAt: Self.begun)) }

  @Test func `A new schedule makes nothing up`() throws {
    var track = begin()
    let daily = try schedule("daily", "02:30")
    #expect(waits(try step(&track, daily, at: "2026-11-26T10:00:01Z"), until: "2026-11-27T01:30:00Z"))
    #expect(try run(&track, daily, at: "2026-11-27T01:29:59Z") == nil)
    #expect(try run(&track, daily, at: "2026-11-27T01:30:00Z")?.time == "2026-11-27T01:30:00Z")
    #expect(waits(try step(&track, daily, at: "2026-11-27T01:30:00Z"), until: "2026-11-28T01:30:00Z"))
  }

  @Test func `Runs missed while the daemon was down are made up for once`() throws {
    var track = begin()
    let daily = try schedule("daily", "02:30")
    let made = try run(&track, daily, at: "2026-12-03T12:00:00Z", startedAt: "2026-12-03T12:00:00Z")
    #expect(made?.time == "2026-12-03T01:30:00Z" && made?.isMissed == true)
    #expect(waits(try step(&track, daily, at: "2026-12-03T12:00:01Z"), until: "2026-12-04T01:30:00Z"))
  }

  @Test func `A run that the daemon came late to is not missed`() throws {
    var track = begin()
    let late = try run(
      &track, try schedule("daily", "02:30"), at: "2026-11-27T01:30:40Z", startedAt: "2026-11-27T01:29:00Z")
    #expect(late?.isMissed == false)
  }

  @Test func `A run is passed over while a poll runs, and the next is its own`() throws {
    var track = begin()
    let every = try schedule("every", "1h")
    guard case .passOver(let due) = try step(&track, every, at: "2026-11-26T11:00:00.5Z", isBusy: true) else {
      Issue.record("it must be passed over")
      return
    }
    #expect(due.time == instant("2026-11-26T11:00:00Z"))
    track.conclude(due)
    #expect(waits(try step(&track, every, at: "2026-11-26T11:30:00Z"), until: "2026-11-26T12:00:00Z"))
    #expect(try run(&track, every, at: "2026-11-26T12:00:00Z")?.time == "2026-11-26T12:00:00Z")
  }

  @Test func `A clock that jumps forwards makes one run`() throws {
    var track = begin()
    let every = try schedule("every", "1h")
    let run = try run(&track, every, at: "2027-02-01T00:20:00Z")
    #expect(run?.time == "2027-02-01T00:00:00Z" && run?.isMissed == false)
    #expect(waits(try step(&track, every, at: "2027-02-01T00:20:01Z"), until: "2027-02-01T01:00:00Z"))
  }

  @Test func `A clock that is set back by less than a day doubles nothing`() throws {
    var track = begin()
    let daily = try schedule("daily", "02:30")
    #expect(try run(&track, daily, at: "2026-11-27T01:30:00Z") != nil)
    for now in ["2026-11-27T01:29:59Z", "2026-11-26T02:00:00Z", "2026-11-26T01:30:00Z", "2026-11-27T01:30:00Z"] {
      #expect(waits(try step(&track, daily, at: now), until: "2026-11-28T01:30:00Z"))
    }
  }

  @Test func `A clock that is set back by more than a day starts anew`() throws {
    var track = begin()
    let daily = try schedule("daily", "02:30")
    #expect(try run(&track, daily, at: "2027-11-27T01:30:00Z") != nil)
    #expect(waits(try step(&track, daily, at: "2026-11-26T12:00:00Z"), until: "2026-11-27T01:30:00Z"))
    #expect(try run(&track, daily, at: "2026-11-27T01:30:00Z")?.time == "2026-11-27T01:30:00Z")
    // What was kept of the other year is gone with that run.
    #expect(try run(&track, daily, at: "2026-11-28T01:30:00Z")?.time == "2026-11-28T01:30:00Z")
  }

  @Test func `A computer that starts in 1970 and learns the time later repeats nothing`() throws {
    var track = begin()
    let daily = try schedule("daily", "02:30")
    #expect(try run(&track, daily, at: "2026-11-27T01:30:00Z") != nil)
    track = ScheduleTrack(track.state)
    let start = "1970-01-01T00:00:10Z"
    #expect(waits(try step(&track, daily, at: start, startedAt: start), until: "1970-01-01T01:30:00Z"))
    #expect(waits(try step(&track, daily, at: "2026-11-27T09:00:00Z", startedAt: start), until: "2026-11-28T01:30:00Z"))
    let every = try schedule("every", "6h")
    track = begin()
    #expect(try run(&track, every, at: "2026-11-26T16:00:00Z") != nil)
    #expect(waits(try step(&track, every, at: start, startedAt: start), until: "1970-01-01T06:00:10Z"))
    #expect(waits(try step(&track, every, at: "2026-11-26T17:00:00Z", startedAt: start), until: "2026-11-26T22:00:00Z"))
  }

  @Test func `Elapsed time that a clock takes back is counted anew, and never waited for`() throws {
    var track = begin()
    let every = try schedule("every", "5m")
    #expect(try run(&track, every, at: "2026-11-26T10:05:00Z") != nil)
    #expect(waits(try step(&track, every, at: "2026-11-25T11:00:00Z"), until: "2026-11-25T11:05:00Z"))
    #expect(try run(&track, every, at: "2026-11-25T11:05:00Z")?.time == "2026-11-25T11:05:00Z")
    #expect(waits(try step(&track, every, at: "2026-11-25T11:05:01Z"), until: "2026-11-25T11:10:00Z"))
  }

  @Test func `A poll that cannot start is tried again later, and ever later`() throws {
    var track = begin()
    let daily = try schedule("daily", "02:30")
    var now = instant("2026-11-27T01:30:00Z")
    for (attempt, wait) in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600].enumerated() {
      #expect(track.fail(now: now) == attempt + 1)
      let again = now.advanced(bySeconds: Int64(wait))
      #expect(waits(try step(&track, daily, at: now.description), until: again.description))
      #expect(track.next(daily, in: try zone("Europe/Berlin"), now: now) == again)
      now = again
      guard case .run(let due) = try step(&track, daily, at: now.description) else {
        Issue.record("it must be tried at \(now)")
        return
      }
      #expect(due.time == instant("2026-11-27T01:30:00Z"))
    }
    // A clock that is set back does not make the wait longer.
    _ = track.fail(now: now)
    let back = now.advanced(bySeconds: -7_200)
    guard case .run(let due) = try step(&track, daily, at: back.description) else {
      Issue.record("it must be tried at \(back)")
      return
    }
    track.conclude(due)
    #expect(track.fail(now: now) == 1)
  }

  @Test func `The next run is told`() throws {
    let (track, daily) = (begin(), try schedule("daily", "02:30"))
    let berlin = try zone("Europe/Berlin")
    #expect(track.next(daily, in: berlin, now: Self.begun) == instant("2026-11-27T01:30:00Z"))
    // What is due already is not the next.
    #expect(track.next(daily, in: berlin, now: instant("2026-11-30T00:00:00Z")) == instant("2026-11-30T01:30:00Z"))
    #expect(track.next(daily, in: berlin, now: instant("2020-01-01T00:00:00Z")) == instant("2020-01-01T01:30:00Z"))
  }
}
