import Foundation
import Posix
import Queue
import StorageMessages
import Store
import TestSupport
import Testing

/// Random commands to the queue on a real store and to a model of it, which must never differ. The number of commands of
/// each seed is that of TIDEWAITER_MODEL_COMMANDS, 10,000 by default.
@Suite("The queue against a model") struct QueueModelTests {
  private static let commands =
    ProcessInfo.processInfo.environment["TIDEWAITER_MODEL_COMMANDS"].flatMap { Int($0) } ?? 10_000

  @Test("any sequence of commands leaves both the same", arguments: 1...20)
  func sequences(seed: Int) async throws {
    let run = try await Run(seed: UInt64(seed))
    for step in 0..<Self.commands {
      do {
        try await run.command()
        // Everything there is, now and then; what a command is about, each time.
        if step % 100 == 0 || step == Self.commands - 1 { try run.compare() }
      } catch {
        Issue.record("seed \(seed), command \(step) (\(run.last)): \(error)")
        return
      }
    }
    if Self.commands >= 10_000 { #expect(run.seen == Set(Run.Command.allCases)) }
  }
}

private struct Difference: Error, CustomStringConvertible { let description: String }

private final class Run {
  enum Command: CaseIterable {
    case enqueue, lease, describe, parse, finish, fail, giveBack, interrupt, useStaleLease, cancel, cancelUnknown
    case cancelSelection, carryOut, retry, retrySelection, prioritize, prioritizeSelection, clear, clearSelection
    case pause, resume, restart, advance
  }

  /// How often each comes.
  private static let weights: [(Command, Int)] = [
    (.enqueue, 60), (.lease, 60), (.describe, 10), (.parse, 30), (.finish, 25), (.fail, 8), (.giveBack, 30),
    (.interrupt, 8), (.useStaleLease, 4), (.cancel, 6), (.cancelUnknown, 1), (.cancelSelection, 2), (.carryOut, 4),
    (.retry, 12), (.retrySelection, 1), (.prioritize, 8), (.prioritizeSelection, 1), (.clear, 16),
    (.clearSelection, 1), (.pause, 2), (.resume, 6), (.restart, 1), (.advance, 20),
  ]
  private static let wheel = weights.flatMap { Array(repeating: $0.0, count: $0.1) }
  private static let codes = ["REGISTRY_UNAVAILABLE", "SCAN_TIMEOUT", "UNAUTHORIZED"]

  private var random: Seeded
  private var fixture: QueueFixture
  private var model = QueueModel()
  private var ids: [UInt64] = []
  private var leases: [UInt64: JobQueue.Lease] = [:]
  private var stale: [JobQueue.Lease] = []
  private(set) var last = Command.restart
  private(set) var seen: Set<Command> = []

  private var queue: JobQueue { fixture.queue }

  init(seed: UInt64) async throws {
    random = Seeded(seed)
    fixture = try await QueueFixture()
    for number in 1...3 as ClosedRange<UInt64> {
      var record = IntegrationRecord()
      record.name = "registry\(number)"
      let made = try await fixture.store.createIntegration(record, secrets: [:], now: 1)
      try require(made.id == number, "an integration has id \(made.id)")
    }
  }

  private func require(_ condition: Bool, _ problem: @autoclosure () -> String) throws {
    if !condition { throw Difference(description: problem()) }
  }

  private func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
  private func integration() -> UInt64 { UInt64(number(1...3)) }

  private func selection() -> JobQueue.Selection {
    var selection = JobQueue.Selection()
    if number(0...1) == 0 { selection.integration = integration() }
    if number(0...3) == 0 { selection.poll = UInt64(number(1...3)) }
    if number(0...2) == 0 { selection.repository = "team/app\(number(0...7))" }
    return selection
  }

  private func anyJob() -> UInt64? { ids.isEmpty ? nil : ids[number(0...ids.count - 1)] }

  private func held(in state: JobState? = nil) -> JobQueue.Lease? {
    let candidates = leases.keys.sorted().filter { id in state.map { model.jobs[id]?.state == $0 } ?? true }
    return candidates.randomElement(using: &random).flatMap { leases[$0] }
  }

  /// Leases of jobs that do not run any more are stale.
  private func dropEnded() {
    for (id, lease) in leases where model.jobs[id]?.lease != lease.number {
      leases[id] = nil
      stale.append(lease)
      if stale.count > 50 { stale.removeFirst() }
    }
  }

  func command() async throws {
    last = Self.wheel[number(0...Self.wheel.count - 1)]
    seen.insert(last)
    let touched = try await carry(out: last)
    dropEnded()
    for id in touched { try compare(id) }
  }

  /// Returns the jobs that it was about.
  private func carry(out command: Command) async throws -> [UInt64] {
    switch command {
    case .enqueue: return try await enqueue()
    case .lease: return try await lease()
    case .describe:
      guard let held = held() else { return [] }
      try await queue.describe(held, bytesTotal: 100, layersTotal: 3, layersKnown: 1)
      return [held.job.id]
    case .parse:
      guard let held = held(in: .inProgress) else { return [] }
      try await queue.beginParsing(held)
      model.jobs[held.job.id]?.state = .parsingResults
      return [held.job.id]
    case .finish:
      guard let held = held(in: .parsingResults) else { return [] }
      try await fixture.store.write { [queue] in try queue.finish(held, in: $0) }
      model.finish(held.job.id)
      return [held.job.id]
    case .fail, .giveBack, .interrupt: return try await end(command)
    case .useStaleLease: return try await useStaleLease()
    case .cancel:
      guard let id = anyJob() else { return [] }
      let isFinal = model.jobs[id]?.state.isFinal == true
      let changes = try await queue.cancel([id], actor: "uid:7")
      try require(changes.map(\.isChanged) == [!isFinal], "cancel of \(id) answered \(changes)")
      try require(changes[0].lease == model.jobs[id]?.lease ?? 0, "cancel of \(id) ended lease \(changes[0].lease)")
      if !isFinal { model.cancel(id) }
      return [id]
    case .cancelUnknown:
      let known = anyJob()
      do {
        _ = try await queue.cancel([known, .max].compactMap { $0 }, actor: "")
        throw Difference(description: "an unknown job was cancelled")
      } catch let error as JobQueue.UnknownJob {
        try require(error.job == .max, "job \(error.job) is unknown")
      }
      return [known].compactMap { $0 }
    case .cancelSelection: return try await cancelSelection()
    case .carryOut:
      let hadOpen = try queue.openCancellationCount() > 0
      try require(try await queue.carryOutCancellations() == hadOpen, "there were open cancellations: \(hadOpen)")
      return []
    case .retry:
      guard let id = anyJob(), let job = model.jobs[id] else { return [] }
      let existing = job.state.isFinal ? model.active[job.image] ?? 0 : id
      let changes = try await queue.retry([id], actor: "uid:8")
      try require(
        changes.map(\.isChanged) == [existing == 0] && changes.map(\.existing) == [existing],
        "retry of \(id) answered \(changes)")
      if existing == 0 { model.retry(id) }
      return [id]
    case .retrySelection:
      var selection = selection()
      let states: [Set<JobState>] = [
        [], [.error], [.cancelled], [.error, .cancelled, .finished], [.cancelled, .pending],
      ]
      selection.states = states[number(0...4)]
      if selection.states.isEmpty, number(0...1) == 0 { selection.errorCodes = [Self.codes[number(0...2)]] }
      let wanted = model.matching(
        selection, states: selection.states.isEmpty ? [.error] : selection.states.filter(\.isFinal))
      var expected: (changed: UInt64, existed: UInt64) = (0, 0)
      for id in wanted {
        if let job = model.jobs[id], model.active[job.image] == nil {
          model.retry(id)
          expected.changed += 1
        } else {
          expected.existed += 1
        }
      }
      let outcome = try await queue.retry(selection, actor: "uid:8")
      try require(outcome == expected, "retry of \(selection) answered \(outcome), not \(expected)")
      return wanted
    case .prioritize, .prioritizeSelection: return try await prioritize(selection: command == .prioritizeSelection)
    case .clear:
      guard let id = anyJob() else { return [] }
      let isFinal = model.jobs[id]?.state.isFinal == true
      try require(try await queue.clear([id], actor: "").map(\.isChanged) == [isFinal], "clear of \(id)")
      if isFinal { forget([id]) }
      return [id]
    case .clearSelection:
      var selection = selection()
      let state = [JobState.finished, .error, .cancelled][number(0...2)]
      selection.states = [state]
      let wanted = model.matching(selection, states: [state])
      try require(try await queue.clear(selection, actor: "") == UInt64(wanted.count), "clear of \(selection)")
      forget(Set(wanted))
      return wanted
    case .pause:
      let integration = number(0...3)
      try await queue.pause(integration == 0 ? nil : UInt64(integration), reason: "", actor: "")
      model.paused.insert(UInt64(integration))
      return []
    case .resume:
      guard let integration = model.paused.sorted().randomElement(using: &random) else { return [] }
      try await queue.resume(integration == 0 ? nil : integration, actor: "")
      model.paused.remove(integration)
      return []
    case .restart:
      fixture.store.close()
      fixture = try await QueueFixture(after: fixture)
      try require(try await queue.recover() == leases.count, "\(leases.count) leases were to be returned")
      for id in leases.keys.sorted() { model.interrupt(id) }
      return Array(leases.keys)
    case .advance:
      fixture.clock.advance(by: .seconds(number(0...10)))
      return []
    }
  }

  private func forget(_ gone: Set<UInt64>) {
    for id in gone { model.jobs[id] = nil }
    ids.removeAll { gone.contains($0) }
  }

  private func enqueue() async throws -> [UInt64] {
    let image = QueueFixture.image(number(0...30), integration: integration())
    let priority = JobQueue.Priority.allCases[number(0...2)]
    let poll = UInt64(number(0...3))
    let (job, existed) = try await fixture.store.write { [queue] in
      try queue.enqueue(image, tag: "latest", priority: priority, poll: poll, in: $0)
    }
    let active = model.active[image]
    try require(existed == (active != nil), "\(image.repository) existed: \(existed)")
    if let active {
      try require(job.id == active, "job \(job.id) instead of \(active)")
      if let known = model.jobs[active], known.state == .pending, priority.rawValue < known.priority.rawValue {
        model.jobs[active]?.priority = priority
      }
    } else {
      try require(model.jobs[job.id] == nil, "job \(job.id) a second time")
      model.enqueue(job.id, image, priority, poll: poll)
      ids.append(job.id)
    }
    return [job.id]
  }

  private func lease() async throws -> [UInt64] {
    let gates = (0...3).map { _ in [JobQueue.Gate.open, .open, .open, .peopleOnly, .closed][number(0...4)] }
    let gate: @Sendable (UInt64) -> JobQueue.Gate = { gates[Int($0)] }
    let expected = model.lease(at: fixture.clock.now, gate: gate)
    let mayLease = try queue.mayLease(gate: gate)
    try require(mayLease || expected == nil, "job \(expected ?? 0) may be leased, and the queue says that none may")
    let lease = try await queue.lease(gate: gate)
    try require(lease?.job.id == expected, "job \(lease?.job.id ?? 0) was leased, not \(expected ?? 0)")
    guard let lease else { return [] }
    model.start(lease.job.id, lease: lease.number)
    leases[lease.job.id] = lease
    return [lease.job.id]
  }

  private func end(_ command: Command) async throws -> [UInt64] {
    guard let held = held() else { return [] }
    let id = held.job.id
    let failure = JobQueue.Failure(code: Self.codes[number(0...2)], message: "m", hint: "h")
    switch command {
    case .fail:
      try await fixture.fail(held, failure)
      model.fail(id, code: failure.code)
    case .giveBack:
      let delay = number(0...20)
      let isTimeout = number(0...1) == 0
      try await fixture.store.write { [queue] in
        _ = try queue.giveBack(held, after: .seconds(delay), failure, isTimeout: isTimeout, in: $0)
      }
      let notBefore = delay == 0 ? 0 : fixture.clock.now + Int64(delay) * 1_000_000_000
      model.giveBack(id, notBefore: notBefore, isTimeout: isTimeout, code: failure.code)
    default:
      try await queue.interrupt(held)
      model.interrupt(id)
    }
    return [id]
  }

  private func useStaleLease() async throws -> [UInt64] {
    guard let lease = stale.randomElement(using: &random) else { return [] }
    do {
      switch number(0...3) {
      case 0: try await queue.beginParsing(lease)
      case 1: try await queue.describe(lease, bytesTotal: 1, layersTotal: 1)
      case 2: try await fixture.fail(lease)
      default: try await queue.interrupt(lease)
      }
      throw Difference(description: "stale lease \(lease.number) of job \(lease.job.id) was taken")
    } catch is JobQueue.StaleLease {
      return [lease.job.id]
    }
  }

  private func cancelSelection() async throws -> [UInt64] {
    var selection = selection()
    let running: Set<JobState> = [.inProgress, .parsingResults]
    selection.states = [[], [.pending], running][number(0...2)]
    let states = selection.states.isEmpty ? running.union([.pending]) : selection.states
    let wanted = model.matching(selection, states: states)
    let open = try queue.openCancellationCount()
    let isFull = open == JobQueue.openCancellationsMaximum && selection.states != running
    do {
      let outcome = try await queue.cancel(selection, actor: "uid:9")
      try require(!isFull, "a cancellation too many was taken")
      let ended = wanted.compactMap { model.jobs[$0]?.lease }.filter { $0 != 0 }
      try require(Set(outcome.leases) == Set(ended), "leases \(outcome.leases) were ended, not \(ended)")
      try require(
        outcome.matchedMaximum >= UInt64(wanted.count), "\(outcome.matchedMaximum) at most, of \(wanted.count)")
    } catch is JobQueue.TooManyCancellations {
      try require(isFull, "a cancellation was refused")
      while try await queue.carryOutCancellations() {}
      return []
    }
    if selection.states == [.pending] {
      for id in model.matching(selection, states: running) { model.spare(id) }
    }
    for id in wanted { model.cancel(id) }
    return wanted
  }

  private func prioritize(selection isSelection: Bool) async throws -> [UInt64] {
    let priority = JobQueue.Priority.allCases[number(0...2)]
    func isChanged(_ id: UInt64) -> Bool {
      model.jobs[id].map { $0.state == .pending && $0.priority != priority } ?? false
    }
    let wanted: [UInt64]
    if isSelection {
      let selection = selection()
      wanted = model.matching(selection, states: [.pending])
      let changed = try await queue.prioritize(selection, to: priority, actor: "")
      try require(changed == UInt64(wanted.count(where: isChanged)), "\(changed) of \(wanted.count) were moved")
    } else {
      guard let id = anyJob() else { return [] }
      wanted = [id]
      let changes = try await queue.prioritize([id], to: priority, actor: "")
      try require(changes.map(\.isChanged) == [isChanged(id)], "prioritize of \(id) answered \(changes)")
    }
    for id in wanted where isChanged(id) { model.jobs[id]?.priority = priority }
    return wanted
  }

  // MARK: - Comparing

  private func compare(_ id: UInt64) throws {
    let job = try queue.job(id)
    guard let expected = model.jobs[id] else { return try require(job == nil, "job \(id) is still there") }
    guard let job else { throw Difference(description: "job \(id) is gone") }
    try require(
      job.state == expected.state && job.attempt == expected.attempt && job.interruptions == expected.interruptions
        && job.errorCode == expected.code && job.priority == UInt32(expected.priority.rawValue)
        && job.notBefore == (expected.state == .pending && !expected.isReady ? expected.notBefore : job.notBefore),
      "job \(id) is \(job), and not \(expected)")
    let kept = Int(JobQueue.attemptsKept)
    try require(
      try queue.attempts(of: id).map(\.record.outcome) == expected.outcomes.suffix(kept),
      "attempts at job \(id) are not \(expected.outcomes)")
  }

  /// What is being cancelled and not counted so yet is at most as much as is told.
  private func compareCounts() throws {
    let counts = try queue.integrationCounts()
    let cancelling = try queue.cancelling()
    for integration in 1...3 as ClosedRange<UInt64> {
      let own = model.jobs.values.filter { $0.image.integration == integration }
      func count(_ state: JobState) -> UInt64 { UInt64(own.count { $0.state == state }) }
      func told(_ state: JobState) -> UInt64 { counts[integration]?[state] ?? 0 }
      for state in JobState.all where state != .pending && state != .cancelled {
        try require(told(state) == count(state), "\(told(state)) of \(integration) are \(state.name)")
      }
      let open = told(.pending) - min(count(.pending), told(.pending))
      try require(
        told(.pending) == count(.pending) + open && told(.cancelled) + open == count(.cancelled)
          && open <= cancelling[integration] ?? 0,
        "\(told(.pending)) of \(integration) are pending and \(told(.cancelled)) cancelled, at most "
          + "\(cancelling[integration] ?? 0) being so, not \(count(.pending)) and \(count(.cancelled))")
    }
  }

  func compare() throws {
    let stored = try fixture.audit()
    try require(Set(stored.keys) == Set(model.jobs.keys), "other jobs are there")
    for id in ids { try compare(id) }
    let line = model.line
    try require(
      try queue.line(after: nil, limit: 5000).jobs.map(\.id) == line.map(\.id), "the line is not \(line.map(\.id))")
    try require(try queue.orphans(after: nil, limit: .max).found.isEmpty, "there are orphans")
    let oldest = try line.compactMap { try queue.job($0.id)?.enqueuedAt }.min()
    let found = try queue.oldestPending().values.min()
    try require((found == nil) == (oldest == nil), "the oldest is of \(found ?? 0)")
    try compareCounts()
    guard try queue.openCancellationCount() == 0 else { return }
    for (index, job) in line.enumerated().filter({ $0.offset % 7 == 0 }) {
      guard let record = try queue.job(job.id) else { throw Difference(description: "job \(job.id) is gone") }
      try require(try queue.position(of: record) == UInt64(index + 1), "job \(job.id) is not at \(index + 1)")
    }
  }
}
