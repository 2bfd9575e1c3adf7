import Model
import Selection
import Testing
import Zones

/// What clocks show, taken apart by counting days one by one.
private struct Reading {
  var (year, month, day, weekday) = (2010, 11, 1, 1)
  var minute = 0

  /// The next quarter of an hour.
  mutating func advance() {
    minute += 15
    guard minute == 1_440 else { return }
    minute = 0
    weekday = (weekday + 1) % 7
    day += 1
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    guard day > [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] else { return }
    (month, day) = month == 12 ? (1, 1) : (month + 1, 1)
    if month == 1 { year += 1 }
  }
}

/// A schedule, and what it means in other words.
private struct Case: Sendable, CustomTestStringConvertible {
  let kind: String
  let value: String
  /// Nil for one that counts elapsed time.
  let matches: (@Sendable (Reading) -> Bool)?
  var isOfEveryHour = false

  var testDescription: String { "\(kind) \(value)" }

  static let all = [
    Case(kind: "daily", value: "02:30") { $0.minute == 150 },
    Case(kind: "daily", value: "00:00") { $0.minute == 0 },
    Case(kind: "weekly", value: "sun,wed@02:15") { $0.minute == 135 && [0, 3].contains($0.weekday) },
    Case(kind: "cron", value: "0,30 1-3 * * sun,mon") {
      [1, 2, 3].contains($0.minute / 60) && $0.minute % 30 == 0 && $0.weekday < 2
    },
    Case(kind: "cron", value: "45 23 29 2,oct *") { $0.minute == 1_425 && $0.day == 29 && [2, 10].contains($0.month) },
    Case(kind: "cron", value: "15 0 1,30 * fri") { $0.minute == 15 && ([1, 30].contains($0.day) || $0.weekday == 5) },
    Case(kind: "cron", value: "0 */6 * * sat-7") { $0.minute % 360 == 0 && [0, 6].contains($0.weekday) },
    Case(
      kind: "cron", value: "30 * * * sun", matches: { $0.minute % 60 == 30 && $0.weekday == 0 }, isOfEveryHour: true),
    Case(kind: "every", value: "11h", matches: nil),
    Case(kind: "every", value: "7d", matches: nil),
  ]
}

/// Ten years of schedules in five time zones, against times found by going through all quarters of an hour.
struct TenYearsTests {
  private static let zones = [
    "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia",
  ]
  private static let (start, end) = (instant("2011-01-01T00:00:00Z"), instant("2021-01-01T00:00:00Z"))
  /// What clocks show when a `Reading` begins.
  private static let firstReading = instant("2010-11-01T00:00:00Z").seconds
  private static let quarter: Int64 = 900

  /// For each quarter of an hour since `firstReading`, whether clocks then show a time of the schedule.
  private func times(_ schedule: Case) -> [Bool] {
    guard let matches = schedule.matches else { return [] }
    var reading = Reading()
    return (0..<(96 * 365 * 11)).map { _ in
      defer { reading.advance() }
      return matches(reading)
    }
  }

  /// All instants at which the schedule is due, from a month before the ten years to a month after them.
  private func dues(_ schedule: Case, _ isTime: [Bool], _ zone: Zone) -> [Timestamp] {
    guard schedule.matches != nil else {
      let period: Int64 = schedule.value == "11h" ? 39_600 : 604_800
      return (1...(Self.end.seconds - Self.start.seconds + 30 * 86_400) / period).map {
        Self.start.advanced(bySeconds: $0 * period)
      }
    }
    var found: [Timestamp] = []
    var span = zone.span(at: Self.firstReading)
    var shown: Int?
    var now = Self.firstReading + 20 * 86_400
    let last = Self.end.seconds + 30 * 86_400
    while now < last {
      if now >= span.end { span = zone.span(at: now) }
      let shows = Int((now + span.offset - Self.firstReading) / Self.quarter)
      if let latest = shown {
        let isDue =
          schedule.isOfEveryHour || shows == latest + 1
          ? isTime[shows] : latest < shows && isTime[(latest + 1)...shows].contains(true)
        if isDue { found.append(Timestamp(seconds: now)) }
      }
      shown = max(shown ?? shows, shows)
      now += Self.quarter
    }
    return found
  }

  @Test(arguments: Case.all)
  fileprivate func `Each due time is there, and is handled once whatever clock and daemon do`(schedule: Case) throws {
    let read = try SelectionTests.schedule(schedule.kind, schedule.value)
    let isTime = times(schedule)
    for name in Self.zones {
      let zone = try zone(name)
      let dues = dues(schedule, isTime, zone)
      try check(read, zone, dues)
      try live(read, zone, dues, isElapsed: schedule.matches == nil, seed: UInt64(name.utf8.count))
    }
  }

  /// Every instant, and no other.
  private func check(_ schedule: Schedule, _ zone: Zone, _ dues: [Timestamp]) throws {
    let expected = dues.filter { Self.start < $0 && $0 < Self.end }
    try #require(expected.count >= 10)
    var found: [Timestamp] = []
    var last = Self.start
    while let next = schedule.next(after: last, in: zone, anchor: Self.start), next < Self.end {
      found.append(next)
      last = next
    }
    #expect(found == expected, "\(zone.name)")
    // From all around each change of clocks.
    var span = zone.span(at: Self.start.seconds)
    var index = 0
    while span.end < Self.end.seconds {
      for minutes in -140...140 where minutes.isMultiple(of: 14) {
        let time = Timestamp(seconds: span.end + Int64(minutes) * 60)
        while index < dues.count, dues[index] <= time { index += 1 }
        guard index < dues.count else { return }
        let next = schedule.next(after: time, in: zone, anchor: Self.start)
        #expect(next == dues[index], "\(zone.name) after \(time)")
      }
      span = zone.span(at: span.end)
    }
  }

  // MARK: - A daemon's life

  /// What may happen in these years.
  private enum Upset: CaseIterable { case down, downLong, forward, forwardFar, back, idle, longPoll, trueTime }

  /// What a run is told by.
  private struct Outcome: Equatable {
    let time: Timestamp
    let isMissed: Bool
    let isRun: Bool
  }

  private func live(
    _ schedule: Schedule, _ zone: Zone, _ dues: [Timestamp], isElapsed: Bool, seed: UInt64
  ) throws {
    // A schedule of elapsed time starts anew when the clock goes back: another test's matter.
    let upsets = Upset.allCases.filter { !isElapsed || ![.back, .trueTime].contains($0) }
    var generator = SeededGenerator(seed: seed)
    // What the daemon knows.
    var track = ScheduleTrack(ScheduleTrack.State(beginningAt: Self.start))
    var (startedAt, busyUntil) = (Self.start, Self.start)
    // What the test knows: the clock's error, the latest time that it showed, and which due is the next after that.
    var (now, skew) = (Self.start.seconds, Int64(0))
    var next = dues.firstIndex { $0 > Self.start } ?? dues.count
    var (found, expected): ([Outcome], [Outcome]) = ([], [])
    var upset = now + 86_400
    while now < Self.end.seconds - 40 * 86_400 {
      if now >= upset {
        upset = now + Int64.random(in: 3_600...(40 * 86_400), using: &generator)
        func upTo(_ seconds: Int64) -> Int64 { Int64.random(in: 1...seconds, using: &generator) }
        switch upsets.randomElement(using: &generator) {
        case .down, .downLong: now += Bool.random(using: &generator) ? upTo(7_200) : upTo(12 * 86_400)
        case .forward: skew += upTo(7_200)
        case .forwardFar where skew < 5 * 86_400: skew += upTo(5 * 86_400)
        // No further than a day before what was handled last.
        case .back: skew -= min(upTo(86_400), max(0, now + skew - track.state.handled.seconds + 86_400))
        case .longPoll: busyUntil = Timestamp(seconds: now + upTo(3 * 86_400))
        case .trueTime where abs(skew) < 86_400: skew = 0
        default: now += upTo(60)
        }
        if Bool.random(using: &generator) {
          track = ScheduleTrack(track.state)
          startedAt = Timestamp(seconds: now + skew)
        }
      }
      let clock = Timestamp(seconds: now + skew)
      let isBusy = now < busyUntil.seconds
      // A due time that the clock shows, or passes, for the first time.
      let passed = dues[next...].prefix { $0 <= clock }
      if let last = passed.last {
        expected.append(Outcome(time: last, isMissed: last < startedAt, isRun: !isBusy))
        next = passed.endIndex
      }
      switch track.step(schedule, in: zone, now: clock, startedAt: startedAt, isBusy: isBusy) {
      case .wait(let until):
        // The daemon looks once a minute; where nothing happens until then, it may as well not have.
        let sleep = until.map { $0.seconds - clock.seconds } ?? 86_400
        try #require(sleep > 0)
        now = min(now + sleep, max(upset, now + 1))
      case .run(let due):
        found.append(Outcome(time: due.time, isMissed: due.isMissed, isRun: true))
        track.conclude(due)
      case .passOver(let due):
        found.append(Outcome(time: due.time, isMissed: due.isMissed, isRun: false))
        track.conclude(due)
      }
    }
    #expect(found == expected)
    #expect(found.count >= 5 && zip(found, found.dropFirst()).allSatisfy { $0.time < $1.time }, "none twice")
  }
}
