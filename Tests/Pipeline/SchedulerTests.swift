import Logging
import Model
import Posix
import Queue
import StorageMessages
import Store
import Synchronization
import TestSupport
import Testing
import Zones

@testable import Pipeline

/// Stands in for the poller: polls end when the test says so.
private final class FakePolls: Sendable {
  struct Refusal: Error, CustomStringConvertible { let description = "the registry's settings are no good" }

  private struct State {
    var current: [UInt64: PollRecord] = [:]
    var suspended: [UInt64: Int64] = [:]
    var resumed: [UInt64] = []
    var failure: (any Error)?
    /// What another asker has started by the time that the scheduler asks.
    var overtaker: PollRecord?
  }

  let store: StateStore
  private let clock: TestClock
  private let state = Mutex(State())

  init(_ store: StateStore, _ clock: TestClock) {
    self.store = store
    self.clock = clock
  }

  var seam: Scheduler.Polls {
    Scheduler.Polls(
      current: { id in self.state.withLock { $0.current[id] } },
      start: { try await self.start($0, $1, $2, $3) },
      suspended: { self.state.withLock { $0.suspended.map { ($0.key, $0.value) } } },
      resume: { id in
        self.state.withLock { state in
          state.resumed.append(id)
          state.suspended[id] = nil
        }
      })
  }

  private func start(
    _ integration: IntegrationRecord, _ trigger: Poller.Trigger, _ scheduledFor: Int64, _ schedule: ScheduleStateRecord
  ) async throws -> PollRecord {
    if let failure = state.withLock(\.failure) { throw failure }
    if let overtaker = state.withLock(\.overtaker) { return overtaker }
    var wanted = PollRecord()
    wanted.integrationId = integration.id
    wanted.startedAt = clock.wall.now
    wanted.trigger = trigger.rawValue
    wanted.scheduledFor = scheduledFor
    let record = try await store.createPoll(wanted, schedule: schedule)
    state.withLock { $0.current[integration.id] = record }
    return record
  }

  var resumed: [UInt64] { state.withLock(\.resumed) }
  func end(_ integration: UInt64) { state.withLock { $0.current[integration] = nil } }
  func run(_ poll: PollRecord) { state.withLock { $0.current[poll.integrationId] = poll } }
  func suspend(_ integration: UInt64, until: Int64) { state.withLock { $0.suspended[integration] = until } }
  func refuse(_ failure: (any Error)?) { state.withLock { $0.failure = failure } }
  func overtake(_ poll: PollRecord?) { state.withLock { $0.overtaker = poll } }
}

/// D3, D4: the scheduler on a real store, by a clock that the test sets.
final class SchedulerTests {
  private let directory: TemporaryDirectory
  private let clock = TestClock("2026-11-26T10:00:00Z")
  private let store: StateStore
  private let polls: FakePolls
  private let events = Events()

  init() async throws {
    directory = try TemporaryDirectory()
    var options = Environment.Options()
    options.isSynchronous = false
    options.mapSizeBytes = 1 << 28
    store = try await StateStore(
      directory: try StateDirectory(opening: directory.path + "/state"), tables: QueueTables.all,
      migrations: QueueTables.migrations, options: options)
    polls = FakePolls(store, clock)
  }

  deinit { store.close() }

  private func makeScheduler() -> Scheduler {
    Scheduler(store: store, polls: polls.seam, zones: .system, clock: clock.wall, log: events.logger)
  }

  private func schedule(_ kind: String, _ value: String, _ zone: String = "Europe/Berlin") -> ScheduleRecord {
    var schedule = ScheduleRecord()
    schedule.kind = kind
    schedule.value = value
    schedule.timezone = zone
    return schedule
  }

  private func integration(_ schedule: ScheduleRecord?) async throws -> IntegrationRecord {
    var record = IntegrationRecord()
    record.name = "hub"
    record.isAutomatic = schedule != nil
    record.schedule = schedule
    return try await store.createIntegration(record, now: clock.wall.now)
  }

  private func edit(_ name: String, _ change: @escaping @Sendable (inout IntegrationRecord) -> Void) async throws {
    _ = try await store.updateIntegration(named: name, revision: 0, now: clock.wall.now) { change(&$0) }
  }

  private func nanoseconds(_ text: String) -> Int64 { Timestamp(rfc3339: text)?.nanosecondsSince1970 ?? 0 }

  private func go(to time: String) { clock.advance(.nanoseconds(nanoseconds(time) - clock.wall.now)) }

  /// The polls of an integration, the oldest first: by what, and for when.
  private func started(_ integration: IntegrationRecord) throws -> [String] {
    try store.polls(of: integration.id, limit: 100).reversed().map {
      "\($0.trigger) \(Timestamp(nanosecondsSince1970: $0.scheduledFor))"
    }
  }

  private func told(_ kind: EventKind) throws -> [EventRecord] {
    try store.events(after: 0, limit: 1_000).map(\.event).filter { $0.kind == kind.rawValue }
  }

  @Test func `A poll starts when it is due, and once`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(schedule("daily", "02:30")))
    #expect(await scheduler.tick() <= .seconds(60))
    go(to: "2026-11-27T01:29:30Z")
    let sleep = await scheduler.tick()
    #expect(sleep > .seconds(29) && sleep <= .seconds(30))
    #expect(try started(hub).isEmpty)
    go(to: "2026-11-27T01:30:00Z")
    for _ in 0..<3 { _ = await scheduler.tick() }
    polls.end(hub.id)
    for _ in 0..<3 { _ = await scheduler.tick() }
    #expect(try started(hub) == ["schedule 2026-11-27T01:30:00Z"])
    #expect(try store.scheduleState(of: hub.id)?.handled == nanoseconds("2026-11-27T01:30:00Z"))
  }

  @Test func `What was due while the daemon was down is made up for once, at start`() async throws {
    let hub = try await integration(schedule("every", "6h"))
    go(to: "2026-11-28T11:00:00Z")
    let scheduler = makeScheduler()
    _ = await scheduler.tick()
    polls.end(hub.id)
    _ = await scheduler.tick()
    #expect(try started(hub) == ["missed 2026-11-28T10:00:00Z"])
    go(to: "2026-11-28T16:00:00Z")
    _ = await scheduler.tick()
    #expect(try started(hub).last == "schedule 2026-11-28T16:00:00Z")
  }

  @Test func `A poll that the daemon's end has cut short is made up for at the next start, twice at most`() async throws
  {
    let hub = try await integration(schedule("daily", "02:30"))
    let first = makeScheduler()
    go(to: "2026-11-27T01:30:01Z")
    _ = await first.tick()
    for _ in 0..<4 {
      polls.end(hub.id)
      try await store.interruptRunningPolls(now: clock.wall.now)
      let next = makeScheduler()
      for _ in 0..<2 { _ = await next.tick() }
    }
    let due = "2026-11-27T01:30:00Z"
    #expect(try started(hub) == ["schedule \(due)", "missed \(due)", "missed \(due)"])
    #expect(try store.polls(of: hub.id, limit: 9).allSatisfy { $0.state == .interrupted })
  }

  @Test func `A run that is due while a poll goes on is passed over, and that is recorded`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(schedule("every", "1h")))
    go(to: "2026-11-26T11:00:00Z")
    _ = await scheduler.tick()
    go(to: "2026-11-26T12:00:30Z")
    _ = await scheduler.tick()
    _ = await scheduler.tick()
    let passed = try told(.pollPassedOver)
    #expect(passed.map(\.detail) == ["due at 2026-11-26T12:00:00Z, poll 1 still runs"])
    #expect(passed.first?.pollId == 1 && passed.first?.integration == "hub" && passed.first?.state == "running")
    #expect(events.count("poll passed over") == 1)
    polls.end(hub.id)
    _ = await scheduler.tick()
    #expect(try started(hub).count == 1)
    go(to: "2026-11-26T13:00:00Z")
    _ = await scheduler.tick()
    #expect(try started(hub).last == "schedule 2026-11-26T13:00:00Z")
  }

  @Test func `A suspended poll goes on when its time has come, and counts as one that runs`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(schedule("every", "1h")))
    var poll = PollRecord()
    poll.id = 9
    poll.integrationId = hub.id
    poll.state = .suspended
    polls.run(poll)
    polls.suspend(hub.id, until: nanoseconds("2026-11-26T11:00:20Z"))
    go(to: "2026-11-26T11:00:00Z")
    #expect(await scheduler.tick() <= .seconds(20))
    #expect(try started(hub).isEmpty && polls.resumed.isEmpty)
    #expect(try told(.pollPassedOver).map(\.detail) == ["due at 2026-11-26T11:00:00Z, poll 9 is suspended"])
    go(to: "2026-11-26T11:00:20Z")
    _ = await scheduler.tick()
    #expect(polls.resumed == [hub.id])
  }

  @Test func `A poll that another starts at that instant is the one that runs`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(schedule("every", "1h")))
    var poll = PollRecord()
    poll.id = 5
    poll.integrationId = hub.id
    poll.trigger = "person"
    poll.state = .running
    polls.overtake(poll)
    go(to: "2026-11-26T11:00:00Z")
    _ = await scheduler.tick()
    polls.overtake(nil)
    _ = await scheduler.tick()
    #expect(try started(hub).isEmpty)
    #expect(try told(.pollPassedOver).map(\.pollId) == [5])
  }

  @Test func `Manual integrations are left alone, and a mode or schedule that changes starts anew`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(nil))
    #expect(try scheduler.next(of: hub) == nil)
    go(to: "2026-12-26T10:00:00Z")
    _ = await scheduler.tick()
    #expect(try store.scheduleState(of: hub.id) == nil)
    let daily = schedule("daily", "02:30")
    try await edit("hub") { record in
      record.isAutomatic = true
      record.schedule = daily
    }
    _ = await scheduler.tick()
    // Another setting is none of the schedule's.
    go(to: "2026-12-26T11:00:00Z")
    let before = try store.scheduleState(of: hub.id)
    try await edit("hub") { $0.description = "other" }
    #expect(try store.scheduleState(of: hub.id) == before)
    // Another schedule makes nothing up, though one that was before would be due.
    go(to: "2026-12-27T12:00:00Z")
    let later = schedule("daily", "03:30")
    try await edit("hub") { $0.schedule = later }
    _ = await scheduler.tick()
    #expect(try started(hub).isEmpty)
    // Nor does one that was away for a while.
    try await edit("hub") { record in
      record.isAutomatic = false
      record.schedule = nil
    }
    go(to: "2026-12-30T12:00:00Z")
    try await edit("hub") { record in
      record.isAutomatic = true
      record.schedule = later
    }
    _ = await scheduler.tick()
    #expect(try started(hub).isEmpty)
    go(to: "2026-12-31T02:30:00Z")
    _ = await scheduler.tick()
    #expect(try started(hub) == ["schedule 2026-12-31T02:30:00Z"])
  }

  @Test func `A store of a version that kept no schedules begins them`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(schedule("daily", "02:30")))
    _ = try await store.write { try $0.delete(StateStore.scheduleStates, hub.id) }
    go(to: "2026-11-28T10:00:00Z")
    _ = await scheduler.tick()
    #expect(try started(hub).isEmpty)
    #expect(try store.scheduleState(of: hub.id)?.schedule == "daily 02:30 Europe/Berlin")
    go(to: "2026-11-29T01:30:00Z")
    _ = await scheduler.tick()
    #expect(try started(hub) == ["schedule 2026-11-29T01:30:00Z"])
  }

  @Test func `A poll that cannot start is recorded once and tried again with back-off`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(schedule("daily", "02:30")))
    polls.refuse(FakePolls.Refusal())
    go(to: "2026-11-27T01:30:00Z")
    #expect(await scheduler.tick() > .seconds(59))
    #expect(
      scheduler.problem(of: hub.id)?.contains("due at 2026-11-27T01:30:00Z could not start: the registry's") == true)
    #expect(try scheduler.next(of: hub)?.description == "2026-11-27T01:31:00Z")
    // Neither sooner, nor more often than it says.
    for _ in 0..<3 { _ = await scheduler.tick() }
    go(to: "2026-11-27T01:31:01Z")
    _ = await scheduler.tick()
    #expect(try told(.pollNotStarted).count == 1)
    #expect(events.count("not polled by its schedule") == 1)
    polls.refuse(nil)
    go(to: "2026-11-27T01:33:02Z")
    _ = await scheduler.tick()
    #expect(try started(hub) == ["schedule 2026-11-27T01:30:00Z"])
    #expect(scheduler.problem(of: hub.id) == nil)
  }

  @Test func `A stop is no failure`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(schedule("every", "1h")))
    polls.refuse(Poller.Stopping())
    go(to: "2026-11-26T11:00:00Z")
    _ = await scheduler.tick()
    #expect(scheduler.problem(of: hub.id) == nil)
    #expect(try told(.pollNotStarted).isEmpty)
    let handled = try #require(try store.scheduleState(of: hub.id)?.handled)
    #expect(handled < nanoseconds("2026-11-26T11:00:00Z"))
  }

  @Test func `A schedule that changed while its poll was about to start does not start it`() async throws {
    let hub = try await integration(schedule("every", "1h"))
    var state = ScheduleStateRecord(beginning: schedule("daily", "02:30"), now: 5)
    state.handled = 6
    var wanted = PollRecord()
    wanted.integrationId = hub.id
    await #expect(throws: IntegrationError.changed("hub")) { try await store.createPoll(wanted, schedule: state) }
    #expect(try store.polls(of: hub.id, limit: 1).isEmpty)
    #expect(try store.scheduleState(of: hub.id)?.schedule == "every 1h Europe/Berlin")
  }

  @Test func `A schedule that cannot be used is told, and used when it can be`() async throws {
    let zones = ZoneDatabase(folder: directory.path, localFile: directory.path + "/localtime", variable: nil)
    let hub = try await integration(schedule("daily", "02:30", "Utc"))
    let scheduler = Scheduler(store: store, polls: polls.seam, zones: zones, clock: clock.wall, log: events.logger)
    for _ in 0..<3 { _ = await scheduler.tick() }
    #expect(scheduler.problem(of: hub.id)?.contains("\"Utc\" is no time zone that this node knows") == true)
    #expect(try scheduler.next(of: hub) == nil)
    #expect(events.count("not polled by its schedule") == 1)
    _ = try directory.write("Utc", File.read("/usr/share/zoneinfo/Etc/UTC", limit: 1 << 16))
    go(to: "2026-11-27T02:30:00Z")
    _ = await scheduler.tick()
    #expect(try started(hub) == ["schedule 2026-11-27T02:30:00Z"])
    #expect(scheduler.problem(of: hub.id) == nil)
  }

  @Test func `A clock that goes back doubles nothing`() async throws {
    let (scheduler, hub) = (makeScheduler(), try await integration(schedule("daily", "02:30")))
    go(to: "2026-11-27T01:30:00Z")
    _ = await scheduler.tick()
    polls.end(hub.id)
    for time in ["2026-11-27T01:00:00Z", "2026-11-27T01:30:00Z", "2026-11-26T02:00:00Z", "2026-11-27T01:31:00Z"] {
      go(to: time)
      _ = await scheduler.tick()
    }
    // A day and more: anew, and as before when the clock comes back.
    go(to: "2026-11-20T00:00:00Z")
    _ = await scheduler.tick()
    #expect(try scheduler.next(of: hub) == Timestamp(rfc3339: "2026-11-20T01:30:00Z"))
    go(to: "2026-11-27T10:00:00Z")
    _ = await scheduler.tick()
    #expect(try started(hub) == ["schedule 2026-11-27T01:30:00Z"])
    #expect(try scheduler.next(of: hub) == Timestamp(rfc3339: "2026-11-28T01:30:00Z"))
  }

  @Test func `The loop works until it is stopped, and looks when integrations change`() async throws {
    let scheduler = makeScheduler()
    let running = Task { await scheduler.run() }
    let hub = try await integration(schedule("every", "1h"))
    go(to: "2026-11-26T11:00:00Z")
    polls.refuse(FakePolls.Refusal())
    scheduler.changed()
    await events.wait(for: "not polled by its schedule")
    #expect(scheduler.problem(of: hub.id) != nil)
    scheduler.stop()
    await running.value
  }
}
