import Logging
import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store
import Synchronization
import Zones

/// Starts the polls of automatic integrations when their schedules say so (D3, D4), and goes on with suspended ones.
///
/// `ScheduleTrack` decides; this asks it, does what it says, and keeps what came of that. How far a schedule is handled is
/// stored with the poll that it starts, so that a daemon killed at any instant has done both or neither.
package final class Scheduler: Sendable {
  /// What the scheduler needs of polls.
  package struct Polls: Sendable {
    /// The poll of an integration that runs or is suspended.
    var current: @Sendable (UInt64) -> PollRecord?
    /// Starts a poll for that time and stores the schedule's state with it, or returns the one that has not ended.
    var start:
      @Sendable (IntegrationRecord, Poller.Trigger, _ scheduledFor: Int64, ScheduleStateRecord) async throws ->
        PollRecord
    var suspended: @Sendable () -> [(integration: UInt64, resumesAt: Int64)]
    var resume: @Sendable (UInt64) async throws -> Void
  }

  private struct Entry {
    /// What is stored; another there means that the schedule began anew.
    var kept: ScheduleStateRecord
    var track: ScheduleTrack
  }

  private struct State {
    /// By integration.
    var entries: [UInt64: Entry] = [:]
    /// What keeps an integration from being polled, for people.
    var problems: [UInt64: String] = [:]
    var isStopping = false
  }

  /// The longest sleep: a clock that is set, and another file of time zones, are seen after it.
  private static let sleepMaximum: Int64 = 60_000_000_000
  /// The wait before looking again at an integration that changed meanwhile.
  private static let changeWait: Int64 = 1_000_000_000

  private let store: StateStore
  private let polls: Polls
  private let zones: ZoneDatabase
  private let clock: WallClock
  private let log: Logger
  private let startedAt: Timestamp
  private let state = Mutex(State())
  private let wake = WakeUp()

  package init(store: StateStore, polls: Polls, zones: ZoneDatabase, clock: WallClock, log: Logger) {
    self.store = store
    self.polls = polls
    self.zones = zones
    self.clock = clock
    self.log = log
    startedAt = Timestamp(nanosecondsSince1970: clock.now)
  }

  /// Integrations were changed.
  package func changed() { wake.send() }

  /// Starts no more polls; `run` returns soon.
  package func stop() {
    state.withLock { $0.isStopping = true }
    wake.send()
  }

  /// Works until `stop`.
  package func run() async {
    while !isStopping {
      let sleep = await tick()
      await wake.wait(atMost: sleep)
    }
  }

  private var isStopping: Bool { state.withLock(\.isStopping) }

  // MARK: - What is told

  /// When the integration is polled next; nil for a manual one, and where that cannot be said. Without an entry in the
  /// store it begins now.
  package func next(of integration: IntegrationRecord) throws -> Timestamp? {
    guard integration.isAutomatic, let schedule = integration.schedule else { return nil }
    let plan: SchedulePlan
    do {
      plan = try SchedulePlan(schedule, zones: zones)
    } catch {
      // `problem` says it.
      return nil
    }
    let now = Timestamp(nanosecondsSince1970: clock.now)
    let stored = try store.scheduleState(of: integration.id)
    let entry = state.withLock { $0.entries[integration.id] }
    let track: ScheduleTrack
    if let stored, stored.schedule == schedule.text {
      track = entry?.kept == stored ? entry?.track ?? ScheduleTrack(.init(stored)) : ScheduleTrack(.init(stored))
    } else {
      track = ScheduleTrack(.init(beginningAt: now))
    }
    return track.next(plan.schedule, in: plan.zone, now: now)
  }

  /// Why the integration is not polled though it is automatic, for people; nil when nothing is wrong.
  package func problem(of integration: UInt64) -> String? { state.withLock { $0.problems[integration] } }

  // MARK: - What is done

  /// Does what is due now; returns how long to sleep.
  func tick() async -> Duration {
    let now = clock.now
    var next = now + Self.sleepMaximum
    await resumeSuspended(now, &next)
    do {
      let schedules = try store.schedules()
      forget(allBut: Set(schedules.map(\.integration.id)))
      for (integration, stored) in schedules where !isStopping {
        if let wanted = await look(at: integration, stored) { next = min(next, wanted) }
      }
    } catch {
      log.error("the schedules cannot be read", metadata: ["error": "\(error)"])
    }
    return .nanoseconds(max(0, next - clock.now))
  }

  /// One that cannot go on is tried again when the longest sleep is over.
  private func resumeSuspended(_ now: Int64, _ next: inout Int64) async {
    for (integration, resumesAt) in polls.suspended() where !isStopping {
      guard resumesAt <= now else {
        next = min(next, resumesAt)
        continue
      }
      do {
        try await polls.resume(integration)
      } catch is Poller.Stopping {
        return
      } catch {
        log.error(
          "a suspended poll cannot go on", metadata: ["integration": "\(integration)", "error": "\(error)"])
      }
    }
  }

  private func forget(allBut ids: Set<UInt64>) {
    state.withLock { state in
      state.entries = state.entries.filter { ids.contains($0.key) }
      state.problems = state.problems.filter { ids.contains($0.key) }
    }
  }

  /// Does what is due of one integration; returns when to look again, nil: when anything else is.
  private func look(at integration: IntegrationRecord, _ stored: ScheduleStateRecord?) async -> Int64? {
    // Nothing is stored without one.
    guard let schedule = integration.schedule else { return nil }
    do {
      let plan = try SchedulePlan(schedule, zones: zones)
      var kept = stored
      if kept?.schedule != schedule.text {
        kept = try await store.beginSchedule(of: integration.id, now: clock.now)
      }
      guard let kept, kept.schedule == schedule.text else { return clock.now + Self.changeWait }
      return try await work(integration, schedule, plan, kept)
    } catch  where Self.isPassing(error) {
      return clock.now + Self.changeWait
    } catch {
      report("\(error)", of: integration)
      return nil
    }
  }

  private func work(
    _ integration: IntegrationRecord, _ schedule: ScheduleRecord, _ plan: SchedulePlan, _ kept: ScheduleStateRecord
  ) async throws -> Int64? {
    let known = state.withLock { $0.entries[integration.id] }
    var entry = Entry(kept: kept, track: ScheduleTrack(.init(kept)))
    if let known, known.kept == kept { entry = known }
    while !isStopping {
      let now = clock.now
      let poll = polls.current(integration.id)
      let step = entry.track.step(
        plan.schedule, in: plan.zone, now: Timestamp(nanosecondsSince1970: now), startedAt: startedAt,
        isBusy: poll != nil)
      let due: ScheduleTrack.Due
      switch step {
      case .wait(let until):
        set(entry, of: integration)
        return until?.nanosecondsSince1970
      case .run(let found), .passOver(let found): due = found
      }
      let reached = ScheduleStateRecord(due.state, of: schedule)
      do {
        try await handle(due, of: integration, reached, isBusyWith: poll)
        entry.track.conclude(due)
        entry.kept = reached
      } catch  where !Self.isPassing(error) {
        let attempts = entry.track.fail(now: Timestamp(nanosecondsSince1970: now))
        await tell(error, of: integration, due, attempts: attempts)
      }
    }
    return nil
  }

  /// Starts the poll, or passes it over because one has not ended; either is stored with the schedule's state.
  private func handle(
    _ due: ScheduleTrack.Due, of integration: IntegrationRecord, _ reached: ScheduleStateRecord,
    isBusyWith poll: PollRecord?
  ) async throws {
    let time = due.time.nanosecondsSince1970
    var running = poll
    if running == nil {
      let trigger: Poller.Trigger = due.isMissed ? .missed : .schedule
      let started = try await polls.start(integration, trigger, time, reached)
      // Somebody else may have started one meanwhile: then that one is returned, and nothing is stored.
      running = started.scheduledFor == time && started.trigger == trigger.rawValue ? nil : started
    }
    guard let running else { return }
    let detail = "due at \(due.time), poll \(running.id) \(running.state == .suspended ? "is suspended" : "still runs")"
    try await store.passOver(integration, reached, poll: running, detail: detail, now: clock.now)
    log.warning(
      "poll passed over", metadata: ["integration": "\(integration.name)", "reason": "\(detail)"])
  }

  private func set(_ entry: Entry, of integration: IntegrationRecord) {
    state.withLock { state in
      state.entries[integration.id] = entry
      if !entry.track.isRetrying { state.problems[integration.id] = nil }
    }
  }

  /// Whether it is to be looked at again as it then is: it was changed or removed meanwhile, somebody else is starting a
  /// poll, or the daemon stops.
  private static func isPassing(_ error: any Error) -> Bool {
    error is IntegrationError || error is Poller.AlreadyStarting || error is Poller.Stopping
  }
}

// MARK: - Problems

extension Scheduler {
  /// Keeps what is wrong, and logs it when it is new.
  private func report(_ problem: String, of integration: IntegrationRecord) {
    let isNew = state.withLock { state in
      defer { state.problems[integration.id] = problem }
      return state.problems[integration.id] != problem
    }
    guard isNew else { return }
    log.error("not polled by its schedule", metadata: ["integration": "\(integration.name)", "reason": "\(problem)"])
  }

  private func tell(
    _ error: any Error, of integration: IntegrationRecord, _ due: ScheduleTrack.Due, attempts: Int
  ) async {
    let detail = "the poll due at \(due.time) could not start: \(Self.reason(error))"
    report(detail + "; it is tried again", of: integration)
    guard attempts == 1 else { return }
    do {
      try await store.recordUnstarted(integration, detail: detail, now: clock.now)
    } catch {
      // What keeps the poll from starting may be the store itself.
      log.error("cannot be recorded", metadata: ["integration": "\(integration.name)", "error": "\(error)"])
    }
  }

  private static func reason(_ error: any Error) -> String {
    switch error {
    case let error as RegistryError: "\(error.code.rawValue): \(error.message)"
    case let error as StoreError: "\(error.code.rawValue): \(error.message)"
    default: "\(error)"
    }
  }
}

extension Scheduler.Polls {
  /// Those of the daemon.
  package init(_ poller: Poller) {
    self.init(
      current: { poller.current(of: $0) },
      start: { try await poller.start($0, trigger: $1, scheduledFor: $2, schedule: $3) },
      suspended: { poller.suspended }, resume: { try await poller.resume($0) })
  }
}
