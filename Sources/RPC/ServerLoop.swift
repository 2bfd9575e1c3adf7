import CPosix
import Glibc

/// The epoll loop behind `RPCServer`. Everything here runs on its one thread.
final class ServerLoop {
  static let wakeToken: UInt64 = 0
  static let listenerToken: UInt64 = 1
  private static let readSize = 64 * 1024
  /// Connections taken in one round, so that a storm of them leaves the others served.
  private static let acceptsPerRound = 64
  private static let listenerRest: Duration = .milliseconds(100)

  private let epoll: Int32
  private var listener: Int32
  let shared: LoopShared
  let methods: MethodTable
  let translate: @Sendable (any Error) -> RPCError
  let limits: RPCServer.Limits
  let thread = ThreadIdentity.current

  private(set) var connections: [UInt64: ServerConnection] = [:]
  private struct User {
    var connections = 0
    let budget: UserBudget
  }

  /// Those with connections that count, or with handlers left of such, by uid; the other connections wait to hear their
  /// refusal.
  private var users: [UInt32: User] = [:]
  /// Handlers that have not ended although their connection has, by its token: whose, and how many.
  private var abandoned: [UInt64: (uid: UInt32, handlers: Int)] = [:]
  private var refused = 0
  private var nextToken: UInt64 = 2
  /// Connections with something to write or to re-arm after this round.
  private var touched: [ServerConnection] = []
  private var deadlines = DeadlineHeap()
  private(set) var stopBy: ContinuousClock.Instant?
  /// Set while accept fails for want of descriptors or memory: the listener rests until then, or until a connection
  /// closes. What is short may be held by other parts of the process, hence the time.
  private var listenerRestsUntil: ContinuousClock.Instant?
  private let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: readSize, alignment: 16)

  /// `epoll` watches `listener` and the wake descriptor already.
  init(
    epoll: Int32, listener: Int32, shared: LoopShared, methods: MethodTable,
    translate: @escaping @Sendable (any Error) -> RPCError, limits: RPCServer.Limits
  ) {
    self.epoll = epoll
    self.listener = listener
    self.shared = shared
    self.methods = methods
    self.translate = translate
    self.limits = limits
  }

  deinit { readBuffer.deallocate() }

  func run() {
    var events = [cposix_event](repeating: cposix_event(), count: 256)
    while true {
      let count = cposix_epoll_wait(epoll, &events, Int32(events.count), touched.isEmpty ? waitMilliseconds() : 0)
      // The descriptors are ours and open: anything but EINTR (read as 0) is a defect.
      precondition(count >= 0, "epoll_wait: \(String(cString: strerror(errno)))")
      for event in events.prefix(Int(count)) { handle(event) }
      if let until = listenerRestsUntil, ContinuousClock.now >= until { wakeListener() }
      expire()
      takeCommands()
      flushTouched()
      if let stopBy, connections.isEmpty || ContinuousClock.now >= stopBy {
        for connection in Array(connections.values) { drop(connection) }
        return
      }
    }
  }

  /// The connection has something to write.
  func touch(_ connection: ServerConnection) {
    if connection.isTouched { return }
    connection.isTouched = true
    touched.append(connection)
  }

  // MARK: - Events

  private func waitMilliseconds() -> Int32 {
    var next = deadlines.next
    if let stopBy { next = min(next ?? stopBy, stopBy) }
    if let listenerRestsUntil { next = min(next ?? listenerRestsUntil, listenerRestsUntil) }
    guard let next else { return -1 }
    let (seconds, attoseconds) = (next - ContinuousClock.now).components
    // A client chooses its deadline: the sum must not overflow. Waking early does no harm.
    let milliseconds = min(seconds, 86_400) * 1000 + attoseconds / 1_000_000_000_000_000 + 1
    return Int32(clamping: max(0, milliseconds))
  }

  private func handle(_ event: cposix_event) {
    switch event.token {
    case Self.wakeToken:
      var count: UInt64 = 0
      _ = read(shared.wakeDescriptor, &count, 8)
    case Self.listenerToken:
      acceptSome()
    default:
      guard let connection = connections[event.token] else { return }
      touch(connection)
      if event.events & (cposix_event_in | cposix_event_hangup) != 0 { receive(connection) }
    }
  }

  private func acceptSome() {
    for _ in 0..<Self.acceptsPerRound {
      let descriptor = cposix_accept(listener)
      if descriptor < 0 {
        switch errno {
        case EINTR, ECONNABORTED: continue
        case EAGAIN: return
        default:
          // Without this the loop would spin on a listener that stays readable.
          cposix_epoll_remove(epoll, listener)
          listenerRestsUntil = ContinuousClock.now + Self.listenerRest
          return
        }
      }
      guard let peer = Peer(of: descriptor) else {
        close(descriptor)
        continue
      }
      let refusal = refusal(of: peer)
      guard refusal == nil || refused < limits.refusals else {
        close(descriptor)
        continue
      }
      let user = users[peer.uid] ?? User(budget: UserBudget(limit: limits.userBytes))
      let connection = ServerConnection(
        token: nextToken, descriptor: descriptor, peer: peer, unsentMaximum: 2 * limits.unsentBytes,
        budget: user.budget, refusal: refusal)
      nextToken += 1
      guard cposix_epoll_add(epoll, descriptor, connection.watched, connection.token) == 0 else {
        close(descriptor)
        continue
      }
      if refusal == nil {
        users[peer.uid, default: user].connections += 1
      } else {
        refused += 1
      }
      connections[connection.token] = connection
      if refusal != nil || limits.idleTime != nil {
        connection.idleSince = .now
        touch(connection)
      }
    }
  }

  /// Why a new connection of `peer` is one too many.
  private func refusal(of peer: Peer) -> RPCError? {
    if users[peer.uid]?.connections ?? 0 >= limits.connectionsPerUser {
      return RPCError(
        .resourceExhausted, "user \(peer.uid) has \(limits.connectionsPerUser) connections open, as many as one may")
    }
    if connections.count - refused >= limits.connections {
      return RPCError(.resourceExhausted, "\(limits.connections) connections are open, as many as there may be")
    }
    return nil
  }

  private func wakeListener() {
    guard listenerRestsUntil != nil else { return }
    let isAwake = listener < 0 || cposix_epoll_add(epoll, listener, cposix_event_in, Self.listenerToken) == 0
    listenerRestsUntil = isAwake ? nil : ContinuousClock.now + Self.listenerRest
  }

  private func receive(_ connection: ServerConnection) {
    let count = read(connection.descriptor, readBuffer.baseAddress, readBuffer.count)
    if count > 0 {
      if limits.idleTime != nil && connection.refusal == nil { connection.idleSince = .now }
      connection.receive(UnsafeRawBufferPointer(rebasing: readBuffer[..<count])) { accept($0, $1, on: connection) }
      // It may have been a password, and the next bytes may be long in coming.
      if let base = readBuffer.baseAddress { explicit_bzero(base, count) }
    } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
      // A ttrpc client that is gone wants no answers: EOF ends its calls.
      drop(connection)
    }
  }

  // MARK: - Commands

  private func takeCommands() {
    let (commands, stopBy) = shared.take()
    for command in commands {
      switch command {
      case .ended(let token, let stream, let result): handlerEnded(token, stream, result)
      case .ready(let token, let stream):
        guard let connection = connections[token] else { continue }
        connection.markReady(stream)
        touch(connection)
      case .overflowed(let token, let stream, let error):
        if let connection = connections[token] { end(stream, of: connection, .failure(error), discarding: false) }
      case .cancel(let token, let stream, let continuation):
        continuation.resume(returning: connections[token].map { cancel(stream, of: $0) } ?? false)
      }
    }
    if let stopBy {
      if self.stopBy == nil { beginStop(by: stopBy) } else { self.stopBy = stopBy }
    }
  }

  private func beginStop(by instant: ContinuousClock.Instant) {
    stopBy = instant
    if listenerRestsUntil == nil { cposix_epoll_remove(epoll, listener) }
    listenerRestsUntil = nil
    close(listener)
    listener = -1
    // Idle connections go at once, busy ones when their last answer is written. A watch would outlast any drain.
    for connection in connections.values {
      endStreams(of: connection)
      touch(connection)
    }
  }

  // MARK: - Time

  /// A call's deadline, to be acted on.
  func watchDeadline(_ instant: ContinuousClock.Instant, _ connection: ServerConnection, _ stream: UInt32) {
    deadlines.insert(DeadlineHeap.Entry(instant: instant, connection: connection.token, stream: stream)) {
      isLive($0)
    }
  }

  /// Stream 0, which no call has, stands for the connection itself.
  private func isLive(_ entry: DeadlineHeap.Entry) -> Bool {
    guard let connection = connections[entry.connection] else { return false }
    return entry.stream == 0 ? connection.timer == entry.instant : connection.calls[entry.stream] != nil
  }

  /// Has the loop look at the connection's times when the first of them may be over.
  private func armTimer(_ connection: ServerConnection) {
    guard let expiry = connection.expiry(limits) else { return }
    if let timer = connection.timer, timer <= expiry { return }
    connection.timer = expiry
    watchDeadline(expiry, connection, 0)
  }

  private func expire() {
    guard let next = deadlines.next else { return }
    let now = ContinuousClock.now
    guard next <= now else { return }
    while let expired = deadlines.popExpired(at: now) {
      guard isLive(expired), let connection = connections[expired.connection] else { continue }
      if expired.stream == 0 {
        connection.timer = nil
        if let expiry = connection.expiry(limits), expiry <= now { drop(connection) } else { armTimer(connection) }
      } else {
        end(
          expired.stream, of: connection, .failure(RPCError(.deadlineExceeded, "the call's deadline is over")),
          discarding: true)
      }
    }
  }

  // MARK: - Output

  private func flushTouched() {
    // The array's storage serves round after round.
    let count = touched.count
    for index in 0..<count {
      let connection = touched[index]
      connection.isTouched = false
      if connection.isDropped { continue }
      let flushed = connection.flush()
      if flushed == .failed {
        drop(connection)
        continue
      }
      if flushed == .done {
        if connection.isClosing || (stopBy != nil && connection.calls.isEmpty) {
          drop(connection)
          continue
        }
        // Streams have more; the others' turn comes first.
        if connection.hasReadyStreams { touch(connection) }
      }
      watch(connection, isBlocked: flushed == .blocked)
      armTimer(connection)
    }
    touched.removeFirst(count)
  }

  private func watch(_ connection: ServerConnection, isBlocked: Bool) {
    var wanted: UInt32 = 0
    if connection.unsentBytes <= limits.unsentBytes { wanted |= cposix_event_in }
    if isBlocked { wanted |= cposix_event_out }
    if wanted == connection.watched { return }
    if wanted & ~connection.watched & cposix_event_in != 0 { connection.restartFrameClock() }
    connection.watched = wanted
    cposix_epoll_modify(epoll, connection.descriptor, wanted, connection.token)
  }

  private func drop(_ connection: ServerConnection) {
    guard connections.removeValue(forKey: connection.token) != nil else { return }
    connection.isDropped = true
    abandonCalls(of: connection)
    if connection.refusal != nil {
      refused -= 1
    } else {
      if connection.runningHandlers > 0 {
        abandoned[connection.token] = (connection.peer.uid, connection.runningHandlers)
        connection.budget.addAbandonedHandlers(connection.runningHandlers)
      }
      users[connection.peer.uid]?.connections -= 1
      forgetIfGone(connection.peer.uid)
    }
    close(connection.descriptor)
    wakeListener()
  }

  /// A handler has ended whose connection is gone.
  func abandonedHandlerEnded(_ token: UInt64) {
    guard let (uid, handlers) = abandoned[token] else { return }
    abandoned[token] = handlers > 1 ? (uid, handlers - 1) : nil
    users[uid]?.budget.addAbandonedHandlers(-1)
    forgetIfGone(uid)
  }

  private func forgetIfGone(_ uid: UInt32) {
    guard let user = users[uid], user.connections == 0, user.budget.abandonedHandlers == 0 else { return }
    users[uid] = nil
  }
}
