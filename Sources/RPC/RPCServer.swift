import CPosix
import Glibc
import Posix

/// A ttrpc server on a Unix socket: one thread with an epoll loop reads frames, starts each call on itself
/// (`Task.immediate`) and writes the answers of one read together. A handler that suspends resumes on Swift's pool; its
/// answer comes back through a mailbox and an eventfd, its stream's messages through a bounded queue. Nothing else
/// touches a connection.
///
/// Rejected: a task per call on the default executor (3 to 4 times the latency), a thread per connection (memory), NIO.
package final class RPCServer: Sendable {
  /// What the server asks of its owner.
  package struct Policy: Sendable {
    /// What holds for one method.
    package struct Rule: Sendable {
      /// The refusal, or nil when `peer` may call it.
      package var authorise: @Sendable (_ peer: Peer) -> RPCError?
      /// Told after each call: for metrics and logs.
      package var observe: @Sendable (_ peer: Peer, _ duration: Duration, _ failure: RPCError?) -> Void

      package init(
        authorise: @escaping @Sendable (Peer) -> RPCError?,
        observe: @escaping @Sendable (Peer, Duration, RPCError?) -> Void
      ) {
        self.authorise = authorise
        self.observe = observe
      }
    }

    /// Asked once for each method (`Service/Method`), when the server starts.
    package var rule: @Sendable (_ method: String) -> Rule
    /// Turns what a handler threw into a status.
    package var translate: @Sendable (any Error) -> RPCError

    package init(
      rule: @escaping @Sendable (String) -> Rule, translate: @escaping @Sendable (any Error) -> RPCError
    ) {
      self.rule = rule
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
    let table = MethodTable(
      methods.map {
        ServedMethod($0, policy.rule($0.fullName), isExempt: limits.exemptMethods.contains($0.fullName))
      })
    let ended = self.ended
    startThread(named: "rpc-loop") {
      let loop = ServerLoop(
        epoll: epoll, listener: listener, shared: shared, methods: table, translate: policy.translate, limits: limits)
      loop.run()
      shared.end()
      close(epoll)
      ended.send()
    }
  }

  /// Refuses new calls and ends those that stream answers (UNAVAILABLE, with their cursors), lets the others finish for
  /// at most `drain`, flushes, cancels the rest, closes.
  /// Returns when the socket is closed, also to a second caller, the shortest of whose `drain`s counts; a cancelled
  /// handler may still be on its way out then. Blocks the calling thread.
  package func stop(drain: Duration) {
    shared.stop(by: ContinuousClock.now + drain)
    ended.wait()
    ended.send()
  }
}
