import Posix
import Synchronization

/// A clock that stands still until a test moves it.
package final class ManualTime: Sendable {
  private struct Sleeper {
    let id: UInt64
    let length: Duration
    let end: Duration
    let continuation: CheckedContinuation<Void, any Error>
  }

  private struct Waiter {
    let id: UInt64
    let length: Duration
    let count: Int
    let continuation: CheckedContinuation<Void, Never>
  }

  private struct State {
    var now = Duration.zero
    var sleepers: [Sleeper] = []
    var lastID: UInt64 = 0
    var waiters: [Waiter] = []

    mutating func ready() -> [CheckedContinuation<Void, Never>] {
      let lengths = sleepers.map(\.length)
      let isReady = { (waiter: Waiter) in lengths.count { $0 == waiter.length } >= waiter.count }
      let ready = waiters.filter(isReady).map(\.continuation)
      waiters.removeAll(where: isReady)
      return ready
    }

    mutating func nextID() -> UInt64 {
      lastID += 1
      return lastID
    }
  }

  private let state = Mutex(State())

  package init() {}

  package var now: Duration { state.withLock(\.now) }

  package var clock: MonotonicClock { MonotonicClock({ self.now }, wait: { try await self.sleep($0) }) }

  /// Wakes who has slept long enough.
  package func advance(_ time: Duration) {
    let due = state.withLock { state in
      state.now += time
      let due = state.sleepers.filter { $0.end <= state.now }
      state.sleepers.removeAll { $0.end <= state.now }
      return due
    }
    for sleeper in due { sleeper.continuation.resume() }
  }

  /// Returns when so many sleep that asked to sleep for exactly `length`: a test that moves the clock sooner wakes nobody. Also
  /// when the test was given up by then, which it says.
  package func wait(forSleepOf length: Duration, count: Int = 1) async {
    let id = state.withLock { $0.nextID() }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let ready: [CheckedContinuation<Void, Never>] = state.withLock { state in
          if Task.isCancelled { return [continuation] }
          state.waiters.append(Waiter(id: id, length: length, count: count, continuation: continuation))
          return state.ready()
        }
        for waiter in ready { waiter.resume() }
      }
    } onCancel: {
      let waiter = state.withLock { state in
        state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
      }
      if waiter != nil { print("given up: \(count) that sleep \(length) did not come") }
      waiter?.continuation.resume()
    }
  }

  private func sleep(_ length: Duration) async throws {
    // It is over already, and nobody may come to move the clock.
    if length <= .zero { return }
    let id = state.withLock { $0.nextID() }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let ready: [CheckedContinuation<Void, Never>]? = state.withLock { state in
          if Task.isCancelled { return nil }
          state.sleepers.append(
            Sleeper(id: id, length: length, end: state.now + length, continuation: continuation))
          return state.ready()
        }
        guard let ready else { return continuation.resume(throwing: CancellationError()) }
        for waiter in ready { waiter.resume() }
      }
    } onCancel: {
      let sleeper = state.withLock { state in
        state.sleepers.firstIndex { $0.id == id }.map { state.sleepers.remove(at: $0) }
      }
      sleeper?.continuation.resume(throwing: CancellationError())
    }
  }
}
