import CPosix
import Glibc
import Posix
import Synchronization

/// A ttrpc server on a Unix socket: one thread with an epoll loop reads frames, starts each call on itself
/// (`Task.immediate`) and writes the answers of one read together. A handler that suspends resumes on Swift's pool; its
/// answer comes back through a mailbox and an eventfd. Nothing else touches a connection.
///
/// Rejected: a task per call on the default executor (3 to 4 times the latency), a thread per connection (memory), NIO.
package final class RPCServer: Sendable {
  package struct Limits: Sendable {
    /// Calls in flight on one connection; the next is answered RESOURCE_EXHAUSTED.
    package var streamsPerConnection = 64
    package var connections = 4096
    /// Answer bytes that may wait for a peer that does not read; then its requests are not read either.
    package var unsentBytes = 8 << 20
    package init() {}
  }

  /// What the server asks of its owner.
  package struct Policy: Sendable {
    /// The refusal, or nil when `peer` may call `method` (`Service/Method`).
    package var authorise: @Sendable (_ peer: Peer, _ method: String) -> RPCError?
    /// Told after each call: for metrics and logs.
    package var observe: @Sendable (_ method: String, _ peer: Peer, _ duration: Duration, _ failure: RPCError?) -> Void
    /// Turns what a handler threw into a status.
    package var translate: @Sendable (any Error) -> RPCError

    package init(
      authorise: @escaping @Sendable (Peer, String) -> RPCError?,
      observe: @escaping @Sendable (String, Peer, Duration, RPCError?) -> Void,
      translate: @escaping @Sendable (any Error) -> RPCError
    ) {
      self.authorise = authorise
      self.observe = observe
      self.translate = translate
    }
  }

  private let shared: LoopShared
  private let ended = Signal()

  /// Serves `methods` on `listener`: a listening, non-blocking socket, owned by the server unless this throws.
  package init(
    listener: Int32, methods: [RPCMethod], policy: Policy, limits: Limits = Limits()
  ) throws(PosixError) {
    let epoll = cposix_epoll_create()
    guard epoll >= 0 else { throw PosixError("epoll_create1") }
    let wake = cposix_eventfd()
    guard wake >= 0 else {
      let error = PosixError("eventfd")
      close(epoll)
      throw error
    }
    let shared = LoopShared(wake: wake)
    guard cposix_epoll_add(epoll, wake, cposix_event_in, ServerLoop.wakeToken) == 0,
      cposix_epoll_add(epoll, listener, cposix_event_in, ServerLoop.listenerToken) == 0
    else {
      let error = PosixError("epoll_ctl")
      close(epoll)
      throw error
    }
    self.shared = shared
    let table = Dictionary(uniqueKeysWithValues: methods.map { ("\($0.service)/\($0.name)", $0) })
    let ended = self.ended
    startThread(named: "rpc-loop") {
      let loop = ServerLoop(
        epoll: epoll, listener: listener, shared: shared, methods: table, policy: policy, limits: limits)
      loop.run()
      close(epoll)
      ended.send()
    }
  }

  /// Refuses new calls (UNAVAILABLE), lets those in flight finish for at most `drain`, flushes, cancels the rest, closes.
  /// Returns when the socket is closed, also to a second caller; a cancelled handler may still be on its way out then.
  /// Blocks the calling thread.
  package func stop(drain: Duration) {
    shared.stop(by: ContinuousClock.now + drain)
    ended.wait()
    ended.send()
  }
}

/// What other threads may touch of the loop: answers on their way in, and the order to stop.
final class LoopShared: Sendable {
  struct Answer: Sendable {
    let connection: UInt64
    let stream: UInt32
    let method: String
    let result: Result<[UInt8], RPCError>
  }

  private struct State {
    var answers: [Answer] = []
    var stopBy: ContinuousClock.Instant?
    var isAwake = false
  }

  private let state = Mutex(State())
  private let wake: Int32

  init(wake: Int32) { self.wake = wake }

  /// Not closed with the loop: a cancelled handler that ends later still signals, and must not write to whatever got
  /// the descriptor's number meanwhile.
  deinit { close(wake) }

  var wakeDescriptor: Int32 { wake }

  /// From any thread. The loop's own thread looks at the mailbox anyway and needs no wake-up.
  func deliver(_ answer: Answer, isLoopThread: Bool) {
    let mustWake = state.withLock { state -> Bool in
      state.answers.append(answer)
      if isLoopThread || state.isAwake { return false }
      state.isAwake = true
      return true
    }
    if mustWake { signal() }
  }

  func stop(by deadline: ContinuousClock.Instant) {
    state.withLock { $0.stopBy = deadline }
    signal()
  }

  func take() -> (answers: [Answer], stopBy: ContinuousClock.Instant?) {
    state.withLock { state in
      defer { state.answers = [] }
      state.isAwake = false
      return (state.answers, state.stopBy)
    }
  }

  private func signal() {
    var one: UInt64 = 1
    // Only EAGAIN can happen, at 2^64 - 2 unread wake-ups: the loop is awake then.
    _ = write(wake, &one, 8)
  }
}
