import Posix
import Synchronization

/// Slots that who is stalled lends to others, as `SlotLedger` decides. First come, first served among those it
/// admits; waiting can be cancelled.
package final class LendingSlots: Sendable {
  /// A slot that somebody holds. Dropping it gives it back.
  final class Slot: Sendable {
    private let slots: LendingSlots
    private let number: UInt64

    fileprivate init(_ slots: LendingSlots, _ number: UInt64) {
      self.slots = slots
      self.number = number
    }

    deinit { release() }

    func received(_ bytes: Int) { slots.change { $0.receive(bytes, self.number, at: $1) } }

    /// A step is done.
    func progress() { slots.change { $0.progress(self.number, at: $1) } }

    /// From here to `endWork` its holder waits for nobody outside.
    func beginWork() { slots.change { $0.beginWork(self.number, at: $1) } }
    func endWork() { slots.change { $0.endWork(self.number, at: $1) } }

    /// Gives it back, once.
    func release() { slots.end(number) }
  }

  private struct Waiter {
    let number: UInt64
    let integration: UInt64
    let continuation: CheckedContinuation<Void, any Error>
  }

  private struct State {
    var ledger: SlotLedger
    var waiters: [Waiter] = []
    var lastNumber: UInt64 = 0
    /// Somebody looks again when the next holder is stalled.
    var isWatched = false

    mutating func nextNumber() -> UInt64 {
      lastNumber += 1
      return lastNumber
    }
  }

  private let state: Mutex<State>
  private let clock: MonotonicClock
  /// Sent when a slot was given back.
  private let freed: @Sendable () -> Void

  init(
    _ slots: Int, patience: Duration, clock: MonotonicClock, freed: @escaping @Sendable () -> Void = {}
  ) {
    state = Mutex(State(ledger: SlotLedger(slots: slots, patience: patience)))
    self.clock = clock
    self.freed = freed
  }

  package struct Load: Sendable, Equatable {
    package var slots = 0
    /// Stalled ones too.
    package var running = 0
    /// Of these: wait for a registry that lets them wait.
    package var stalled = 0
  }

  var load: Load {
    let now = clock.now
    return state.withLock { state in
      Load(slots: state.ledger.slots, running: state.ledger.count, stalled: state.ledger.stalledCount(at: now))
    }
  }

  // MARK: - Who chooses whose turn it is

  var hasRoom: Bool {
    let now = clock.now
    return state.withLock { $0.ledger.hasRoom(at: now) }
  }

  /// Whether room is for this integration too.
  func admits(_ integration: UInt64) -> Bool { state.withLock { $0.ledger.admits(integration) } }

  /// Slots that an integration holds.
  func count(of integration: UInt64) -> Int { state.withLock { $0.ledger.count(of: integration) } }

  /// How long until the next holder lends its slot if nothing happens until then.
  var untilNextStall: Duration? {
    let now = clock.now
    return state.withLock { state in state.ledger.nextStall(after: now).map { $0 - now } }
  }

  /// Takes a slot, after `hasRoom` and `admits` said that there is one for it.
  func take(for integration: UInt64) -> Slot {
    let now = clock.now
    return Slot(
      self,
      state.withLock { state in
        let number = state.nextNumber()
        state.ledger.begin(number, of: integration, at: now)
        return number
      })
  }

  // MARK: - Waiting for one's turn

  func acquire(for integration: UInt64) async throws -> Slot {
    let number = state.withLock { $0.nextNumber() }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let isCancelled = state.withLock { state in
          if Task.isCancelled { return true }
          state.waiters.append(Waiter(number: number, integration: integration, continuation: continuation))
          return false
        }
        if isCancelled { continuation.resume(throwing: CancellationError()) } else { serve() }
      }
      // Whoever resumed it has taken the slot for it.
    } onCancel: {
      let waiter = state.withLock { state in
        state.waiters.firstIndex { $0.number == number }.map { state.waiters.remove(at: $0) }
      }
      waiter?.continuation.resume(throwing: CancellationError())
    }
    return Slot(self, number)
  }

  /// Gives free and lent slots to those who wait.
  private func serve() {
    let now = clock.now
    let (served, isToBeWatched) = state.withLock { state in
      var served: [Waiter] = []
      while state.ledger.hasRoom(at: now),
        let index = state.waiters.firstIndex(where: { state.ledger.admits($0.integration) })
      {
        let next = state.waiters.remove(at: index)
        state.ledger.begin(next.number, of: next.integration, at: now)
        served.append(next)
      }
      let isToBeWatched = !state.waiters.isEmpty && !state.isWatched
      if isToBeWatched { state.isWatched = true }
      return (served, isToBeWatched)
    }
    for waiter in served { waiter.continuation.resume() }
    // Ends by itself when nobody waits, or nobody can be stalled before something else happens.
    if isToBeWatched { Task { await watch() } }
  }

  private func watch() async {
    while true {
      let now = clock.now
      let wait: Duration? = state.withLock { state in
        let next = state.waiters.isEmpty ? nil : state.ledger.nextStall(after: now)
        if next == nil { state.isWatched = false }
        return next.map { $0 - now }
      }
      guard let wait else { return }
      do { try await clock.sleep(for: wait) } catch { return state.withLock { $0.isWatched = false } }
      serve()
    }
  }

  private func change(_ body: (inout SlotLedger, _ now: Duration) -> Void) {
    let now = clock.now
    let isWaitedFor = state.withLock { state in
      body(&state.ledger, now)
      return !state.waiters.isEmpty && !state.isWatched
    }
    // One that works no more can be stalled.
    if isWaitedFor { serve() }
  }

  private func end(_ number: UInt64) {
    guard state.withLock({ $0.ledger.end(number) }) else { return }
    serve()
    freed()
  }
}
