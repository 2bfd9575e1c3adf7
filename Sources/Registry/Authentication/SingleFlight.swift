import Synchronization

/// Makes one value a key at a time: who asks while it is being made waits for it. The first asker does the work inside
/// its own task, so no task is detached; when that one is cancelled, the next in line begins anew. Waiting can be
/// cancelled too.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
  /// Nil asks the waiter to lead.
  private typealias Waiter = CheckedContinuation<Value?, any Error>

  private enum Step { case waits, leaderLeft, cancelled }

  private struct State {
    var waiters: [Key: [UInt64: Waiter]] = [:]
    var lastID: UInt64 = 0
  }

  private let state = Mutex(State())

  func value(for key: Key, make: () async throws -> Value) async throws -> Value {
    while true {
      if join(key) {
        do {
          let value = try await make()
          for waiter in leave(key) { waiter.resume(returning: value) }
          return value
        } catch is CancellationError {
          for waiter in leave(key) { waiter.resume(returning: nil) }
          throw CancellationError()
        } catch {
          for waiter in leave(key) { waiter.resume(throwing: error) }
          throw error
        }
      }
      if let value = try await wait(for: key) { return value }
    }
  }

  /// Whether the caller leads.
  private func join(_ key: Key) -> Bool {
    state.withLock { state in
      guard state.waiters[key] == nil else { return false }
      state.waiters[key] = [:]
      return true
    }
  }

  private func leave(_ key: Key) -> [Waiter] {
    state.withLock { state in state.waiters.removeValue(forKey: key).map { Array($0.values) } ?? [] }
  }

  private func wait(for key: Key) async throws -> Value? {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (waiter: Waiter) in
        let step: Step = state.withLock { state in
          // Checked under the lock: the handler takes it too, so a cancellation is seen here or finds the waiter.
          if Task.isCancelled { return .cancelled }
          guard state.waiters[key] != nil else { return .leaderLeft }
          state.waiters[key]?[id] = waiter
          return .waits
        }
        switch step {
        case .waits: break
        case .leaderLeft: waiter.resume(returning: nil)
        case .cancelled: waiter.resume(throwing: CancellationError())
        }
      }
    } onCancel: {
      state.withLock { $0.waiters[key]?.removeValue(forKey: id) }?.resume(throwing: CancellationError())
    }
  }
}
