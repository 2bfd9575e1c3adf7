/// Tasks that wait for the same thing. Part of the state that a lock guards; resumed outside the lock.
struct Waiters {
  typealias Continuation = CheckedContinuation<Void, any Error>
  private var waiting: [UInt64: Continuation] = [:]
  private var next: UInt64 = 0

  /// A name for a waiter to come, so that its cancellation finds it.
  mutating func ticket() -> UInt64 {
    next += 1
    return next
  }

  mutating func add(_ continuation: Continuation, _ ticket: UInt64) { waiting[ticket] = continuation }

  /// Nil when it was resumed already, or has not begun to wait.
  mutating func remove(_ ticket: UInt64) -> Continuation? { waiting.removeValue(forKey: ticket) }

  mutating func removeAll() -> [Continuation] {
    if waiting.isEmpty { return [] }
    defer { waiting = [:] }
    return Array(waiting.values)
  }
}
