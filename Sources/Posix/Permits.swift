import Synchronization

/// How many may do something at a time. First come, first served; waiting can be cancelled.
package final class Permits: Sendable {
  private enum Waiter {
    case task(CheckedContinuation<Void, any Error>)
    case call(@Sendable (_ isGranted: Bool) -> Void)
  }

  private struct State {
    var free: Int
    var waiters: [(id: UInt64, waiter: Waiter)] = []
    var lastID: UInt64 = 0
  }

  private let state: Mutex<State>

  package init(_ count: Int) { state = Mutex(State(free: count)) }

  package func acquire() async throws {
    try Task.checkCancellation()
    let isFree = state.withLock { state in
      guard state.free > 0 else { return false }
      state.free -= 1
      return true
    }
    if !isFree { try await wait() }
  }

  private func wait() async throws {
    let id = ticket()
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let outcome: Result<Void, any Error>? = state.withLock { state in
          if Task.isCancelled { return .failure(CancellationError()) }
          guard state.free == 0 else {
            state.free -= 1
            return .success(())
          }
          state.waiters.append((id, .task(continuation)))
          return nil
        }
        if let outcome { continuation.resume(with: outcome) }
      }
    } onCancel: {
      if case .task(let continuation) = remove(id) { continuation.resume(throwing: CancellationError()) }
    }
  }

  /// Calls `body` with true as soon as there is a permit: at once, or on the thread of who releases one. `body` must be
  /// short. The permit is then its to release. `ticket` takes the wish back.
  package func whenFree(_ ticket: UInt64, _ body: @escaping @Sendable (_ isGranted: Bool) -> Void) {
    let isFree = state.withLock { state in
      guard state.free == 0 else {
        state.free -= 1
        return true
      }
      state.waiters.append((ticket, .call(body)))
      return false
    }
    if isFree { body(true) }
  }

  /// For `whenFree`.
  package func ticket() -> UInt64 {
    state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
  }

  /// Calls what waits under `ticket`, if it still does, with false.
  package func withdraw(_ ticket: UInt64) {
    if case .call(let body) = remove(ticket) { body(false) }
  }

  private func remove(_ id: UInt64) -> Waiter? {
    state.withLock { state in
      state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0).waiter }
    }
  }

  package func release() {
    let next = state.withLock { state in
      guard !state.waiters.isEmpty else {
        state.free += 1
        return nil as Waiter?
      }
      return state.waiters.removeFirst().waiter
    }
    switch next {
    case .task(let continuation): continuation.resume()
    case .call(let body): body(true)
    case nil: break
    }
  }

  package func withPermit<Value>(_ body: () async throws -> Value) async throws -> Value {
    try await acquire()
    defer { release() }
    return try await body()
  }
}
