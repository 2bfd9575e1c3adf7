import Synchronization

/// The messages of a stream on their way in: bounded, never waits for its consumer. One task at a time reads it.
package final class MessageQueue: Sendable {
  /// What a message costs beside its bytes.
  private static let overhead = 64

  private struct State {
    var messages: [[UInt8]] = []
    var start = 0
    var bytes = 0
    var isEnded = false
    var failure: RPCError?
    var waiters = Waiters()
  }

  private let limit: Int
  private let budget: UserBudget?
  private let state = Mutex(State())

  /// Holds `limit` bytes, or a single message of any size.
  package convenience init(limit: Int) { self.init(limit: limit, budget: nil) }

  init(limit: Int, budget: UserBudget?) {
    self.limit = limit
    self.budget = budget
  }

  deinit { state.withLock { [budget] state in budget?.charge(-state.bytes) } }

  /// Adds a message; false when there is no room for it. What comes after the end is dropped.
  package func push(_ message: [UInt8]) -> Bool {
    let (fits, waiting) = state.withLock { state -> (Bool, [Waiters.Continuation]) in
      if state.isEnded { return (true, []) }
      let cost = message.count + Self.overhead
      guard state.bytes == 0 || state.bytes + cost <= limit, budget?.hasRoom(for: cost) ?? true else {
        return (false, [])
      }
      state.messages.append(message)
      state.bytes += cost
      budget?.charge(cost)
      return (true, state.waiters.removeAll())
    }
    for continuation in waiting { continuation.resume() }
    return fits
  }

  /// No more comes. What is queued is still read, then the end or `failure`; with `discarding` the failure at once.
  /// Only the first end counts, unless a later one discards.
  package func end(_ failure: RPCError? = nil, discarding: Bool = false) {
    let waiting = state.withLock { state -> [Waiters.Continuation] in
      if discarding {
        state.messages = []
        state.start = 0
        budget?.charge(-state.bytes)
        state.bytes = 0
      }
      if !state.isEnded || discarding { state.failure = failure }
      state.isEnded = true
      return state.waiters.removeAll()
    }
    for continuation in waiting { continuation.resume() }
  }

  /// The status the stream ended with, as far as it has.
  var failure: RPCError? { state.withLock { $0.failure } }

  /// The next message; nil at the end. Throws the failure the stream ended with, or CANCELLED.
  package func next() async throws -> [UInt8]? {
    while true {
      let ready = state.withLock { state -> Result<[UInt8]?, RPCError>? in
        if state.start < state.messages.count {
          let message = state.messages[state.start]
          state.messages[state.start] = []
          state.start += 1
          state.bytes -= message.count + Self.overhead
          budget?.charge(-message.count - Self.overhead)
          if state.start == state.messages.count {
            state.messages.removeAll(keepingCapacity: state.messages.capacity <= 64)
            state.start = 0
          } else if state.start > 1024 {
            state.messages.removeFirst(state.start)
            state.start = 0
          }
          return .success(message)
        }
        if let failure = state.failure { return .failure(failure) }
        return state.isEnded ? .success(nil) : nil
      }
      if let ready { return try ready.get() }
      try await wait()
    }
  }

  private func wait() async throws {
    let ticket = state.withLock { $0.waiters.ticket() }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let mustWait = state.withLock { state -> Bool in
          guard state.start == state.messages.count, !state.isEnded else { return false }
          state.waiters.add(continuation, ticket)
          return true
        }
        if !mustWait {
          continuation.resume()
        } else if Task.isCancelled {
          // The handler below may have run before the continuation was known.
          cancel(ticket)
        }
      }
    } onCancel: {
      cancel(ticket)
    }
  }

  private func cancel(_ ticket: UInt64) {
    state.withLock { $0.waiters.remove(ticket) }?.resume(throwing: RPCError(.cancelled, "the call was cancelled"))
  }
}
