import Synchronization

/// A wake-up for one waiting task: a `send` that nobody waits for is kept, several count as one.
package final class WakeUp: Sendable {
  private struct State {
    var isSent = false
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let state = Mutex(State())

  package init() {}

  package func send() {
    let waiter = state.withLock { state in
      state.isSent = state.waiter == nil
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume()
  }

  /// Returns after the next `send`, or at once if one is kept. One task at a time.
  package func wait() async {
    await withCheckedContinuation { continuation in
      let isSent = state.withLock { state -> Bool in
        if state.isSent {
          state.isSent = false
          return true
        }
        precondition(state.waiter == nil, "two tasks wait for one wake-up")
        state.waiter = continuation
        return false
      }
      if isSent { continuation.resume() }
    }
  }

  /// As `wait`, but no longer than `limit` by `clock`.
  package func wait(atMost limit: Duration, clock: MonotonicClock = .system) async {
    let timer = Task {
      // Ended by cancellation when the wake-up came first: then it must not send.
      do { try await clock.sleep(for: limit) } catch { return }
      send()
    }
    await wait()
    timer.cancel()
  }
}
