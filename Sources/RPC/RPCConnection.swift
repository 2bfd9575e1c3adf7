import CPosix
import Glibc
import Posix
import Synchronization

/// A client's connection to the daemon: calls of all kinds, many in flight, answered in any order. A call writes as far as
/// the socket takes it; a thread of its own reads, and writes the rest. So no caller ever blocks in a write: a daemon that
/// does not read delays answers, but neither deadlines nor cancellation.
///
/// It holds its descriptors until it is closed, or until the daemon hangs up and the last reference goes.
package final class RPCConnection: RPCChannel {
  /// The method by which the server is asked to end a call: ttrpc has no frame for it.
  package struct Cancellation: Sendable {
    let service: String
    let method: String
    let payload: @Sendable (_ stream: UInt32) -> [UInt8]

    /// `Service/Method`.
    package var fullName: String { "\(service)/\(method)" }

    package init(service: String, method: String, payload: @escaping @Sendable (_ stream: UInt32) -> [UInt8]) {
      self.service = service
      self.method = method
      self.payload = payload
    }
  }

  /// Request bytes that may wait for a daemon that does not read; messages of streams wait in their callers above the
  /// second.
  private static let unsentMaximum = 64 << 20
  static let unsentStreamMaximum = 1 << 20
  /// What may wait in a stream for its reader; a full one fails with RESOURCE_EXHAUSTED. Enough for all that a server's
  /// queue of a megabyte and the socket hold of even the smallest messages, so that its status is what ends a slow reader.
  static let streamQueueBytes = 16 << 20
  /// Longest wait for an answer: beyond it the clock's arithmetic, not the daemon, would decide.
  private static let timeoutMaximum: Duration = .seconds(10 * 365 * 86_400)
  /// The server ends a call too: a little earlier, so that its own answer wins where there is one.
  private static let timeoutGrace: Duration = .milliseconds(250)

  enum Waiting {
    case call(CheckedContinuation<[UInt8], any Error>)
    case stream(MessageQueue, RPCMethod.Kind, deadline: ContinuousClock.Instant?)

    func end(_ error: RPCError) {
      switch self {
      case .call(let continuation): continuation.resume(throwing: error)
      case .stream(let queue, _, _): queue.end(error)
      }
    }
  }

  struct State {
    var nextStream: UInt32 = 1
    var waiting: [UInt32: Waiting] = [:]
    /// Set once: no call begins after it.
    var failure: RPCError?
    var unsent: [UInt8] = []
    var unsentStart = 0
    /// Senders of messages.
    var senders = Waiters()
    var isClosed = false

    var unsentBytes: Int { unsent.count - unsentStart }
  }

  let descriptor: Int32
  let wake: Int32
  let state = Mutex(State())
  let ended = Signal()

  private let cancellation: Cancellation?

  private init(descriptor: Int32, wake: Int32, cancellation: Cancellation?) {
    self.descriptor = descriptor
    self.wake = wake
    self.cancellation = cancellation
  }

  // The I/O thread holds a reference: it has ended.
  deinit { closeDescriptors() }

  /// Connects; throws UNAVAILABLE when nothing listens at `path` and PERMISSION_DENIED when the socket refuses the user.
  /// Without a `cancellation`, the server hears nothing of calls that are given up.
  package static func connect(
    toSocket path: String, cancellation: Cancellation? = nil
  ) throws(RPCError) -> RPCConnection {
    let descriptor = cposix_connect_unix(path)
    guard descriptor >= 0 else {
      let error = PosixError("connect to \(path)")
      throw RPCError(error.errno == EACCES || error.errno == EPERM ? .permissionDenied : .unavailable, "\(error)")
    }
    let wake = cposix_eventfd()
    guard wake >= 0, cposix_set_nonblocking(descriptor) == 0 else {
      let error = PosixError("prepare the connection to \(path)")
      Glibc.close(descriptor)
      if wake >= 0 { Glibc.close(wake) }
      throw RPCError(.resourceExhausted, "\(error)")
    }
    let connection = RPCConnection(descriptor: descriptor, wake: wake, cancellation: cancellation)
    startThread(named: "rpc-client") { connection.run() }
    return connection
  }

  /// Ends the connection; calls in flight fail with CANCELLED. Blocks until its thread has ended.
  package func close() {
    fail(RPCError(.cancelled, "the connection was closed"))
    ended.wait()
    ended.send()
    closeDescriptors()
  }

  /// The connection is lost or closed: no call begins on it any more.
  package var hasFailed: Bool { state.withLock { $0.failure != nil } }

  private func closeDescriptors() {
    state.withLock { state in
      if state.isClosed { return }
      state.isClosed = true
      Glibc.close(descriptor)
      Glibc.close(wake)
    }
  }

  // MARK: - Calls

  package func call(service: String, method: String, payload: [UInt8], timeout: Duration?) async throws -> [UInt8] {
    let data = try Self.request(service, method, payload, timeout)
    guard let timeout else { return try await send(data) }
    return try await withThrowingTaskGroup(of: [UInt8].self) { group in
      group.addTask { try await self.send(data) }
      group.addTask {
        do {
          try await Task.sleep(for: min(timeout, Self.timeoutMaximum) + Self.timeoutGrace)
        } catch {
          throw RPCError(.cancelled, "the call was cancelled")
        }
        throw RPCError(.deadlineExceeded, "no answer from the daemon within the time limit")
      }
      defer { group.cancelAll() }
      guard let first = try await group.next() else { throw RPCError(.internal, "no result") }
      return first
    }
  }

  package func openStream(
    service: String, method: String, kind: RPCMethod.Kind, payload: [UInt8]?, timeout: Duration?
  ) throws(RPCError) -> ClientStream {
    let data = try Self.request(service, method, payload ?? [], timeout)
    let queue = MessageQueue(limit: Self.streamQueueBytes)
    let deadline = timeout.map { ContinuousClock.now + min($0, Self.timeoutMaximum) + Self.timeoutGrace }
    let flags: Frame.Flags = kind == .serverStreaming ? .remoteClosed : .remoteOpen
    let id = try begin(data, flags, .stream(queue, kind, deadline: deadline)).get()
    // The thread must learn of the deadline.
    if deadline != nil { signal() }
    return ClientStream(
      incoming: queue,
      transport: ClientStream.Transport(
        send: { try await self.send($0, on: id, queue) },
        finishSending: { () throws(RPCError) in try self.sendFrame([], .end, on: id, queue) },
        cancel: { self.abandon(id) }))
  }

  private static func request(
    _ service: String, _ method: String, _ payload: [UInt8], _ timeout: Duration?
  ) throws(RPCError) -> [UInt8] {
    var request = RequestEnvelope()
    request.service = service
    request.method = method
    request.payload = payload
    if let timeout {
      guard timeout > .zero else { throw RPCError(.deadlineExceeded, "the time limit was over before the call began") }
      request.timeoutNanoseconds = nanoseconds(timeout)
    }
    let data = request.encoded()
    try checkSize(data)
    return data
  }

  private static func checkSize(_ data: [UInt8]) throws(RPCError) {
    guard data.count <= Frame.dataMaximum else {
      throw RPCError(.resourceExhausted, "the request has \(data.count) bytes, more than a message may have (4 MiB)")
    }
  }

  /// At least 1, since 0 means no deadline on the wire; at most what the wire holds.
  private static func nanoseconds(_ timeout: Duration) -> Int64 {
    let (seconds, attoseconds) = timeout.components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return .max }
    let (sum, overflowed) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflowed ? .max : max(1, sum)
  }

  private func send(_ data: [UInt8]) async throws -> [UInt8] {
    let stream = Mutex<UInt32>(0)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        if Task.isCancelled { return continuation.resume(throwing: RPCError(.cancelled, "the call was cancelled")) }
        switch begin(data, [], .call(continuation)) {
        case .failure(let error): continuation.resume(throwing: error)
        case .success(let id):
          stream.withLock { $0 = id }
          // The handler below may have run before the id was known.
          if Task.isCancelled { abandon(id) }
        }
      }
    } onCancel: {
      abandon(stream.withLock { $0 })
    }
  }

  /// Numbers the call and writes its frame under one lock, so that frames stay whole and ids rise on the wire. Nobody
  /// waits for the answer of a call without `waiting`.
  private func begin(_ data: [UInt8], _ flags: Frame.Flags, _ waiting: Waiting?) -> Result<UInt32, RPCError> {
    let (result, mustWake) = state.withLock { state -> (Result<UInt32, RPCError>, Bool) in
      if let failure = state.failure { return (.failure(failure), false) }
      guard state.nextStream < UInt32.max - 1 else {
        return (
          .failure(RPCError(.unavailable, "the connection has carried all the calls it can: connect anew")), false
        )
      }
      guard state.unsentBytes <= Self.unsentMaximum else {
        return (.failure(RPCError(.resourceExhausted, "the daemon does not read: 64 MiB of requests wait")), false)
      }
      let id = state.nextStream
      state.nextStream += 2
      let header = Frame.Header(length: UInt32(data.count), stream: id, kind: .request, flags: flags)
      switch write(header, data, &state) {
      case .failure(let error): return (.failure(error), false)
      case .success(let mustWake):
        state.waiting[id] = waiting
        return (.success(id), mustWake)
      }
    }
    if mustWake { signal() }
    return result
  }

  /// Stops waiting for a call, and tells the server so if it can be told. What still comes is dropped.
  private func abandon(_ stream: UInt32) {
    guard let waiting = state.withLock({ $0.waiting.removeValue(forKey: stream) }) else { return }
    let error = RPCError(.cancelled, "the call was cancelled")
    if case .stream(let queue, _, _) = waiting { queue.end(error, discarding: true) } else { waiting.end(error) }
    tellServer(ofCancelled: stream)
  }

  func tellServer(ofCancelled stream: UInt32) {
    guard let cancellation else { return }
    var request = RequestEnvelope()
    request.service = cancellation.service
    request.method = cancellation.method
    request.payload = cancellation.payload(stream)
    // Fails only when the connection does, which ends the call as well.
    _ = begin(request.encoded(), [], nil)
  }

  /// A message of a stream, when there is room for it.
  private func send(_ message: [UInt8], on stream: UInt32, _ queue: MessageQueue) async throws {
    try Self.checkSize(message)
    let ticket = state.withLock { $0.senders.ticket() }
    while !(try sendIfRoom(message, on: stream, queue)) {
      try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
          let mustWait = state.withLock { state -> Bool in
            guard state.failure == nil, state.unsentBytes > Self.unsentStreamMaximum else { return false }
            state.senders.add(continuation, ticket)
            return true
          }
          if !mustWait {
            continuation.resume()
          } else if Task.isCancelled {
            // The handler below may have run before the continuation was known.
            cancelSender(ticket)
          }
        }
      } onCancel: {
        cancelSender(ticket)
      }
    }
  }

  private func cancelSender(_ ticket: UInt64) {
    state.withLock { $0.senders.remove(ticket) }?.resume(throwing: RPCError(.cancelled, "the call was cancelled"))
  }

  private func sendIfRoom(_ message: [UInt8], on stream: UInt32, _ queue: MessageQueue) throws(RPCError) -> Bool {
    // A connection that failed has room for ever: what it could not send must not keep a sender waiting.
    guard state.withLock({ $0.failure != nil || $0.unsentBytes <= Self.unsentStreamMaximum }) else { return false }
    try sendFrame(message, [], on: stream, queue)
    return true
  }

  private func sendFrame(
    _ message: [UInt8], _ flags: Frame.Flags, on stream: UInt32, _ queue: MessageQueue
  ) throws(RPCError) {
    let result = state.withLock { state -> Result<Bool, RPCError> in
      if let failure = state.failure { return .failure(failure) }
      guard state.waiting[stream] != nil else {
        return .failure(queue.failure ?? RPCError(.failedPrecondition, "the call has ended"))
      }
      let header = Frame.Header(length: UInt32(message.count), stream: stream, kind: .data, flags: flags)
      return write(header, message, &state)
    }
    if try result.get() { signal() }
  }

  func fail(_ error: RPCError) {
    let (waiting, senders) = state.withLock { state -> ([Waiting], [Waiters.Continuation]) in
      if state.failure == nil { state.failure = error }
      if !state.isClosed { shutdown(descriptor, Int32(SHUT_RDWR)) }
      defer { state.waiting = [:] }
      return (Array(state.waiting.values), state.senders.removeAll())
    }
    for call in waiting { call.end(error) }
    for sender in senders { sender.resume() }
  }
}
