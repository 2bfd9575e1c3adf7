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
  /// How much of a name that is not ours an answer repeats.
  private static let echoedMaximum = 128

  private let epoll: Int32
  private var listener: Int32
  private let shared: LoopShared
  private let methods: [String: RPCMethod]
  private let services: Set<String>
  private let policy: RPCServer.Policy
  private let limits: RPCServer.Limits
  private let thread = pthread_self()

  private var connections: [UInt64: ServerConnection] = [:]
  private var nextToken: UInt64 = 2
  /// Connections with something to write or to re-arm after this round.
  private var touched: Set<UInt64> = []
  private var deadlines = DeadlineHeap()
  private var stopBy: ContinuousClock.Instant?
  /// Set while accept fails for want of descriptors or memory: the listener rests until then, or until a connection
  /// closes. What is short may be held by other parts of the process, hence the time.
  private var listenerRestsUntil: ContinuousClock.Instant?
  private let readBuffer = UnsafeMutableRawBufferPointer.allocate(byteCount: readSize, alignment: 16)

  /// `epoll` watches `listener` and the wake descriptor already.
  init(
    epoll: Int32, listener: Int32, shared: LoopShared, methods: [String: RPCMethod], policy: RPCServer.Policy,
    limits: RPCServer.Limits
  ) {
    self.epoll = epoll
    self.listener = listener
    self.shared = shared
    self.methods = methods
    services = Set(methods.values.map(\.service))
    self.policy = policy
    self.limits = limits
  }

  deinit { readBuffer.deallocate() }

  func run() {
    var events = [cposix_event](repeating: cposix_event(), count: 256)
    while true {
      let count = cposix_epoll_wait(epoll, &events, Int32(events.count), waitMilliseconds())
      // The descriptors are ours and open: anything but EINTR (read as 0) is a defect.
      precondition(count >= 0, "epoll_wait: \(String(cString: strerror(errno)))")
      for event in events.prefix(Int(count)) { handle(event) }
      if let until = listenerRestsUntil, ContinuousClock.now >= until { wakeListener() }
      expireDeadlines()
      takeAnswers()
      flushTouched()
      if let stopBy, connections.isEmpty || ContinuousClock.now >= stopBy {
        for connection in Array(connections.values) { drop(connection) }
        return
      }
    }
  }

  // MARK: - Events

  private func waitMilliseconds() -> Int32 {
    guard let next = [deadlines.next, stopBy, listenerRestsUntil].compactMap({ $0 }).min() else { return -1 }
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
      touched.insert(event.token)
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
      guard connections.count < limits.connections, let peer = Peer(of: descriptor) else {
        close(descriptor)
        continue
      }
      let connection = ServerConnection(token: nextToken, descriptor: descriptor, peer: peer)
      nextToken += 1
      guard cposix_epoll_add(epoll, descriptor, connection.watched, connection.token) == 0 else {
        close(descriptor)
        continue
      }
      connections[connection.token] = connection
    }
  }

  private func wakeListener() {
    guard listenerRestsUntil != nil else { return }
    let isAwake = listener < 0 || cposix_epoll_add(epoll, listener, cposix_event_in, Self.listenerToken) == 0
    listenerRestsUntil = isAwake ? nil : ContinuousClock.now + Self.listenerRest
  }

  private func receive(_ connection: ServerConnection) {
    let count = read(connection.descriptor, readBuffer.baseAddress, readBuffer.count)
    if count > 0 {
      connection.receive(UnsafeRawBufferPointer(rebasing: readBuffer[..<count])) { accept($0, on: connection) }
    } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
      // A ttrpc client that is gone wants no answers: EOF ends its calls.
      drop(connection)
    }
  }

  // MARK: - Frames

  private func accept(_ incoming: ServerConnection.Incoming, on connection: ServerConnection) {
    switch incoming {
    case .oversized(let header): refuseOversized(header, on: connection)
    case .frame(let header, let data):
      switch Frame.Kind(rawValue: header.kind) {
      case .request: begin(header, data, on: connection)
      case .data:
        // No method streams yet. Data for a finished call crossed its answer on the wire and is dropped.
        if connection.calls[header.stream] != nil || header.stream > connection.highestStream {
          refuse(header.stream, "stream \(header.stream) takes no data", on: connection)
        }
      case .response, nil: break
      }
    }
  }

  private func refuseOversized(_ header: Frame.Header, on connection: ServerConnection) {
    let stream = header.stream
    switch Frame.Kind(rawValue: header.kind) {
    case .request:
      // Refused or not, the id is used up.
      if stream % 2 == 1 { connection.highestStream = max(connection.highestStream, stream) }
    case .data: if connection.calls[stream] == nil && stream <= connection.highestStream { return }
    case .response, nil: return
    }
    refuse(
      stream, "a frame of \(header.length) bytes is over the limit of \(Frame.dataMaximum)", code: .resourceExhausted,
      on: connection)
  }

  private func refuse(
    _ stream: UInt32, _ message: String, code: RPCError.Code = .invalidArgument, on connection: ServerConnection
  ) {
    connection.respond(stream: stream, .failure(RPCError(code, message)))
  }

  private func begin(_ header: Frame.Header, _ data: ArraySlice<UInt8>, on connection: ServerConnection) {
    let stream = header.stream
    guard stream % 2 == 1 else { return refuse(stream, "stream id \(stream) is not odd", on: connection) }
    guard stream > connection.highestStream else {
      return refuse(
        stream, "stream id \(stream) is not above the last one, \(connection.highestStream)", on: connection)
    }
    connection.highestStream = stream
    let request: RequestEnvelope
    do {
      request = try RequestEnvelope(decoding: data)
    } catch {
      return refuse(stream, "the request does not decode: \(error.reason)", on: connection)
    }
    let name = "\(request.service)/\(request.method)"
    guard let method = methods[name] else {
      let unknown =
        services.contains(request.service)
        ? "method \(request.method.prefix(Self.echoedMaximum))"
        : "service \(request.service.prefix(Self.echoedMaximum))"
      return refuse(stream, unknown, code: .unimplemented, on: connection)
    }
    let started = ContinuousClock.now
    func fail(_ error: RPCError) {
      policy.observe(name, connection.peer, ContinuousClock.now - started, error)
      connection.respond(stream: stream, .failure(error))
    }
    guard header.flags.isDisjoint(with: [.remoteClosed, .remoteOpen]) else {
      return fail(RPCError(.invalidArgument, "\(name) is a unary method"))
    }
    guard stopBy == nil else { return fail(RPCError(.unavailable, "the daemon is stopping")) }
    guard connection.calls.count < limits.streamsPerConnection else {
      return fail(
        RPCError(.resourceExhausted, "\(limits.streamsPerConnection) calls are in flight on this connection"))
    }
    if let refusal = policy.authorise(connection.peer, name) { return fail(refusal) }
    guard request.timeoutNanoseconds >= 0 else {
      return fail(RPCError(.deadlineExceeded, "the deadline was over before the call began"))
    }
    let deadline = request.timeoutNanoseconds == 0 ? nil : started + .nanoseconds(request.timeoutNanoseconds)
    if let deadline {
      deadlines.insert(DeadlineHeap.Entry(instant: deadline, connection: connection.token, stream: stream)) {
        connections[$0.connection]?.calls[$0.stream] != nil
      }
    }
    connection.calls[stream] = ServerConnection.Call(task: nil, method: name, started: started)
    let context = CallContext(
      peer: connection.peer, deadline: deadline, metadata: request.metadata.map { ($0.key, $0.value) })
    let task = start(method, request.payload, context, connection: connection.token, stream: stream, name: name)
    // The answer of a handler that never suspended waits in the mailbox: the entry is still there to be completed.
    connection.calls[stream] = ServerConnection.Call(task: task, method: name, started: started)
  }

  private func start(
    _ method: RPCMethod, _ payload: [UInt8], _ context: CallContext, connection: UInt64, stream: UInt32, name: String
  ) -> Task<Void, Never> {
    let shared = self.shared
    let policy = self.policy
    let loopThread = LoopThread(thread)
    return Task.immediate {
      let result: Result<[UInt8], RPCError>
      do {
        result = .success(try await method.handle(payload, context))
      } catch let error as RPCError {
        result = .failure(error)
      } catch {
        result = .failure(policy.translate(error))
      }
      shared.deliver(
        LoopShared.Answer(connection: connection, stream: stream, method: name, result: result),
        isLoopThread: loopThread.isCurrent)
    }
  }

  // MARK: - Answers

  private func takeAnswers() {
    let (answers, stopBy) = shared.take()
    for answer in answers {
      guard let connection = connections[answer.connection],
        let call = connection.calls.removeValue(forKey: answer.stream)
      else { continue }
      complete(connection, answer.stream, call, answer.result)
    }
    if let stopBy, self.stopBy == nil {
      self.stopBy = stopBy
      if listenerRestsUntil == nil { cposix_epoll_remove(epoll, listener) }
      listenerRestsUntil = nil
      close(listener)
      listener = -1
      // Idle connections go at once, busy ones when their last answer is written.
      touched.formUnion(connections.keys)
    }
  }

  private func expireDeadlines() {
    let now = ContinuousClock.now
    while let expired = deadlines.popExpired(at: now) {
      guard let connection = connections[expired.connection],
        let call = connection.calls.removeValue(forKey: expired.stream)
      else { continue }
      call.task?.cancel()
      complete(connection, expired.stream, call, .failure(RPCError(.deadlineExceeded, "the call's deadline is over")))
    }
  }

  private func complete(
    _ connection: ServerConnection, _ stream: UInt32, _ call: ServerConnection.Call, _ result: Result<[UInt8], RPCError>
  ) {
    var failure: RPCError?
    if case .failure(let error) = result { failure = error }
    policy.observe(call.method, connection.peer, ContinuousClock.now - call.started, failure)
    connection.respond(stream: stream, result)
    touched.insert(connection.token)
  }

  private func flushTouched() {
    for token in touched {
      guard let connection = connections[token] else { continue }
      let flushed = connection.flush()
      if flushed == .failed {
        drop(connection)
        continue
      }
      if stopBy != nil && flushed == .done && connection.calls.isEmpty {
        drop(connection)
        continue
      }
      var wanted: UInt32 = 0
      if connection.unsentBytes <= limits.unsentBytes { wanted |= cposix_event_in }
      if flushed == .blocked { wanted |= cposix_event_out }
      if wanted != connection.watched {
        connection.watched = wanted
        cposix_epoll_modify(epoll, connection.descriptor, wanted, token)
      }
    }
    touched.removeAll(keepingCapacity: true)
  }

  private func drop(_ connection: ServerConnection) {
    guard connections.removeValue(forKey: connection.token) != nil else { return }
    for call in connection.calls.values {
      call.task?.cancel()
      policy.observe(
        call.method, connection.peer, ContinuousClock.now - call.started,
        RPCError(.cancelled, "the connection ended before the call did"))
    }
    close(connection.descriptor)
    wakeListener()
  }
}

/// A thread's identity, to be compared only.
private struct LoopThread: Sendable {
  private let identity: UInt
  init(_ thread: pthread_t) { identity = UInt(thread) }
  var isCurrent: Bool { identity == UInt(pthread_self()) }
}
