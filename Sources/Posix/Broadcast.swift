import Synchronization

/// Tells any number of tasks that a number has risen. It holds the number alone, so that nothing queues up for those who
/// are slow: each looks for itself at what happened since the number it knew.
package final class Broadcast: Sendable {
  /// Nothing is told any more.
  package struct Closed: Error, Equatable {
    package init() {}
  }

  private enum Outcome { case risen, timeOver, cancelled, closed }

  private struct State {
    var newest: UInt64
    var isClosed = false
    var waiters: [UInt64: CheckedContinuation<Outcome, Never>] = [:]
    var lastWaiter: UInt64 = 0
  }

  private let state: Mutex<State>

  package init(at newest: UInt64 = 0) { state = Mutex(State(newest: newest)) }

  package var newest: UInt64 { state.withLock { $0.newest } }

  /// Wakes everybody who waits for more than was known before; a number that is none wakes nobody.
  package func raise(to number: UInt64) {
    let waiters = state.withLock { state -> [CheckedContinuation<Outcome, Never>] in
      guard number > state.newest else { return [] }
      state.newest = number
      return Self.takeAll(&state)
    }
    for waiter in waiters { waiter.resume(returning: .risen) }
  }

  /// Ends all waiting, now and later.
  package func close() {
    let waiters = state.withLock { state in
      state.isClosed = true
      return Self.takeAll(&state)
    }
    for waiter in waiters { waiter.resume(returning: .closed) }
  }

  /// Returns when the number is above `known`, or `limit` is over. Throws `Closed`, or `CancellationError`.
  package func wait(above known: UInt64, atMost limit: Duration? = nil) async throws {
    let id = state.withLock { state in
      state.lastWaiter += 1
      return state.lastWaiter
    }
    let timer = limit.map { limit in
      Task { [self] in
        // Ended by cancellation when something else came first.
        do { try await Task.sleep(for: limit) } catch { return }
        end(id, .timeOver)
      }
    }
    defer { timer?.cancel() }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let outcome: Outcome? = state.withLock { state in
          if Task.isCancelled { return .cancelled }
          // What was told before the end is told first.
          if state.newest > known { return .risen }
          if state.isClosed { return .closed }
          state.waiters[id] = continuation
          return nil
        }
        if let outcome { continuation.resume(returning: outcome) }
      }
    } onCancel: {
      end(id, .cancelled)
    }
    switch outcome {
    case .risen, .timeOver: return
    case .cancelled: throw CancellationError()
    case .closed: throw Closed()
    }
  }

  private func end(_ id: UInt64, _ outcome: Outcome) {
    let waiter = state.withLock { $0.waiters.removeValue(forKey: id) }
    waiter?.resume(returning: outcome)
  }

  private static func takeAll(_ state: inout State) -> [CheckedContinuation<Outcome, Never>] {
    defer { state.waiters = [:] }
    return Array(state.waiters.values)
  }
}
