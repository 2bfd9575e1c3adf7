import Synchronization

/// The messages of a call on their way to its client: a bounded queue of frames that handlers fill from any thread and
/// the loop empties, turn by turn with the connection's other streams.
package final class OutboundStream: Sendable {
  private struct State {
    var frames: [UInt8] = []
    var start = 0
    /// The loop knows that there is something to fetch.
    var isSignalled = false
    /// Set once: nothing is taken any more.
    var failure: RPCError?
    var cursor: String?
    var waiters = Waiters()

    var queued: Int { frames.count - start }
  }

  private let stream: UInt32
  private let limit: Int
  private let budget: UserBudget?
  private let ready: @Sendable () -> Void
  private let overflowed: @Sendable (RPCError) -> Void
  private let state = Mutex(State())

  /// Holds `limit` bytes, or a single message. `ready` is called when an empty queue has got something, `overflowed`
  /// once, when a message found no room; both outside any lock, on the sender's thread.
  init(
    stream: UInt32, limit: Int, budget: UserBudget?, ready: @escaping @Sendable () -> Void,
    overflowed: @escaping @Sendable (RPCError) -> Void
  ) {
    self.stream = stream
    self.limit = limit
    self.budget = budget
    self.ready = ready
    self.overflowed = overflowed
  }

  deinit { state.withLock { [budget] state in budget?.charge(-state.queued) } }

  /// Where the client goes on when the stream ends before its time: set it after each message that has a place. It goes
  /// into the status of an overflow and of a daemon that stops.
  package var cursor: String? {
    get { state.withLock { $0.cursor } }
    set { state.withLock { $0.cursor = newValue } }
  }

  /// Queues a message, never waits. When there is no room the stream ends: what is queued is still sent, then
  /// RESOURCE_EXHAUSTED with the cursor, which is also thrown. After the stream's end, throws the status it ended with.
  /// `cursor` becomes the stream's with the message, so that neither can be without the other.
  package func send(_ message: [UInt8], cursor: String? = nil) throws(RPCError) {
    _ = try queue(message, cursor, orWait: false)
  }

  /// As `send`, but waits for room: for listings, whose client sets the pace. Throws CANCELLED when the task is.
  package func sendWhenReady(_ message: [UInt8], cursor: String? = nil) async throws {
    while !(try queue(message, cursor, orWait: true)) { try await waitForRoom(message) }
  }

  /// False when the message must wait.
  private func queue(_ message: [UInt8], _ cursor: String?, orWait: Bool) throws(RPCError) -> Bool {
    guard message.count <= Frame.dataMaximum else { throw Self.tooBig(message) }
    enum Outcome { case queued(mustSignal: Bool), wait, full(RPCError), ended(RPCError) }
    let outcome = state.withLock { state -> Outcome in
      if let failure = state.failure { return .ended(failure) }
      let userHasRoom = budget?.hasRoom(for: Frame.headerLength + message.count) ?? true
      if userHasRoom && hasRoom(state, for: message) {
        if let cursor { state.cursor = cursor }
        return .queued(mustSignal: append(message, to: &state))
      }
      // What other streams of the user hold gives no sign when it goes.
      if userHasRoom && orWait { return .wait }
      let error = RPCError(
        .resourceExhausted,
        userHasRoom
          ? "the stream ended because its client does not read: \(state.queued) bytes wait for it"
          : "the stream ended because this user's clients do not read"
      ).withCursor(state.cursor, reason: "STREAM_OVERFLOW")
      state.failure = error
      return .full(error)
    }
    switch outcome {
    case .queued(let mustSignal):
      if mustSignal { ready() }
      return true
    case .wait: return false
    case .full(let error):
      overflowed(error)
      throw error
    case .ended(let error): throw error
    }
  }

  private func hasRoom(_ state: borrowing State, for message: [UInt8]) -> Bool {
    state.queued == 0 || state.queued + Frame.headerLength + message.count <= limit
  }

  private static func tooBig(_ message: [UInt8]) -> RPCError {
    RPCError(.resourceExhausted, "a message of \(message.count) bytes is longer than one may be (4 MiB)")
  }

  /// Whether the loop must be told.
  private func append(_ message: [UInt8], to state: inout State) -> Bool {
    Frame.Header(length: UInt32(message.count), stream: stream, kind: .data).write(to: &state.frames)
    state.frames.append(contentsOf: message)
    budget?.charge(Frame.headerLength + message.count)
    defer { state.isSignalled = true }
    return !state.isSignalled
  }

  private func waitForRoom(_ message: [UInt8]) async throws {
    let ticket = state.withLock { $0.waiters.ticket() }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let mustWait = state.withLock { state -> Bool in
          guard state.failure == nil, !hasRoom(state, for: message) else { return false }
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

  // MARK: - The loop's side

  /// Moves whole frames to `output`, at least one and more until there are `quantum` bytes; false when nothing is left.
  func fetch(into output: inout [UInt8], quantum: Int) -> Bool {
    let (hasMore, waiting) = state.withLock { state -> (Bool, [Waiters.Continuation]) in
      var end = state.start
      while end < state.frames.count, end - state.start < quantum {
        end += Frame.headerLength + Int(Frame.Header(state.frames[end..<end + Frame.headerLength]).length)
      }
      output.append(contentsOf: state.frames[state.start..<end])
      budget?.charge(state.start - end)
      state.start = end
      if state.start == state.frames.count {
        state.frames.removeAll(keepingCapacity: state.frames.capacity <= 4096)
        state.start = 0
        state.isSignalled = false
      } else if state.start > state.queued {
        state.frames.removeFirst(state.start)
        state.start = 0
      }
      // Waking senders at a quarter, not at each frame, lets them queue several at a time.
      let waiting = state.queued <= limit / 4 ? state.waiters.removeAll() : []
      return (state.queued > 0, waiting)
    }
    for continuation in waiting { continuation.resume() }
    return hasMore
  }

  /// Takes nothing any more: senders get `failure`. What is queued goes, or stays to be fetched.
  func close(_ failure: RPCError, discarding: Bool) {
    let waiting = state.withLock { state -> [Waiters.Continuation] in
      if state.failure == nil { state.failure = failure }
      if discarding {
        budget?.charge(-state.queued)
        state.frames = []
        state.start = 0
      }
      return state.waiters.removeAll()
    }
    for continuation in waiting { continuation.resume() }
  }
}
