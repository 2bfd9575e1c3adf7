/// From frames to calls, and from calls to frames.
extension ServerLoop {
  /// How much of a name that is not ours an answer repeats.
  private static let echoedMaximum = 128

  // MARK: - Frames

  /// Takes a frame; `data` is nil when it is over the limit.
  func accept(_ header: Frame.Header, _ data: UnsafeRawBufferPointer?, on connection: ServerConnection) {
    if connection.isClosing { return }
    guard let data else { return refuseOversized(header, on: connection) }
    switch Frame.Kind(rawValue: header.kind) {
    case .request: begin(header, data, on: connection)
    case .data: take(header, data, on: connection)
    case .response, nil: break
    }
  }

  private func refuseOversized(_ header: Frame.Header, on connection: ServerConnection) {
    let stream = header.stream
    let error = RPCError(
      .resourceExhausted,
      header.length > Frame.dataMaximum
        ? "a frame of \(header.length) bytes is over the limit of \(Frame.dataMaximum)"
        : "this user's connections hold as much as they may: no room for a frame of \(header.length) bytes")
    switch Frame.Kind(rawValue: header.kind) {
    case .request:
      // Refused or not, the id is used up.
      if stream % 2 == 1 { connection.highestStream = max(connection.highestStream, stream) }
    case .data:
      if connection.calls[stream] != nil {
        return end(stream, of: connection, .failure(error), discarding: true)
      }
      if stream <= connection.highestStream { return }
    case .response, nil: return
    }
    connection.respond(stream: stream, .failure(error))
  }

  private func refuse(
    _ stream: UInt32, _ message: String, code: RPCError.Code = .invalidArgument, on connection: ServerConnection
  ) {
    connection.respond(stream: stream, .failure(RPCError(code, message)))
  }

  /// A message of a stream, or its end.
  private func take(_ header: Frame.Header, _ data: UnsafeRawBufferPointer, on connection: ServerConnection) {
    let stream = header.stream
    guard let call = connection.calls[stream] else {
      // What crossed the call's end on the wire is dropped.
      if stream > connection.highestStream || stream % 2 == 0 {
        refuse(stream, "no call with id \(stream) was begun", on: connection)
      }
      return
    }
    func violate(_ message: String) {
      end(stream, of: connection, .failure(RPCError(.invalidArgument, message)), discarding: true)
    }
    let isEmpty = header.flags.contains(.noData)
    guard !isEmpty || data.isEmpty else { return violate("a data frame with the flag no-data holds data") }
    guard let streaming = call.streaming else { return violate("\(call.method.method.fullName) takes no data frames") }
    if streaming.outcome != nil { return }
    guard let inbound = streaming.inbound, !streaming.isRemoteClosed else {
      // A second goodbye does no harm.
      if !isEmpty { violate("a message after the end of the client's side") }
      return
    }
    if !isEmpty && !inbound.push(Array(data)) {
      let error = RPCError(
        .resourceExhausted, "messages come faster than they are read: more than \(limits.streamQueueBytes) bytes wait")
      return end(stream, of: connection, .failure(error), discarding: true)
    }
    if header.flags.contains(.remoteClosed) {
      streaming.isRemoteClosed = true
      inbound.end()
    }
  }

  // MARK: - Beginning

  private func begin(_ header: Frame.Header, _ data: UnsafeRawBufferPointer, on connection: ServerConnection) {
    let stream = header.stream
    guard stream % 2 == 1 else { return refuse(stream, "stream id \(stream) is not odd", on: connection) }
    guard stream > connection.highestStream else {
      return refuse(
        stream, "stream id \(stream) is not above the last one, \(connection.highestStream)", on: connection)
    }
    connection.highestStream = stream
    if let refusal = connection.refusal {
      connection.isClosing = true
      return connection.respond(stream: stream, .failure(refusal))
    }
    let request: RequestView
    let served: ServedMethod
    do {
      request = try RequestView(data)
      guard let found = methods.find(request) else { return try refuseUnknown(request, stream, on: connection) }
      served = found
    } catch {
      return refuse(stream, "the request does not decode: \(error.reason)", on: connection)
    }
    let started = ContinuousClock.now
    if let refusal = refusal(of: request, served, header.flags, on: connection) {
      served.rule.observe(connection.peer, ContinuousClock.now - started, refusal)
      return connection.respond(stream: stream, .failure(refusal))
    }
    let deadline = request.timeoutNanoseconds == 0 ? nil : started + .nanoseconds(request.timeoutNanoseconds)
    let context = CallContext(
      peer: connection.peer, deadline: deadline, metadata: request.metadata.map { ($0.key, $0.value) },
      connection: connection.token, stream: stream, shared: shared)
    if case .immediate(let handle) = served.method.handler {
      let result = Result(catching: { try handle(request.payload, context) }).mapError(status)
      served.rule.observe(connection.peer, ContinuousClock.now - started, result.failure)
      return connection.respond(stream: stream, result)
    }
    if let deadline { watchDeadline(deadline, connection, stream) }
    let payload = Array(request.payload)
    let streaming = streaming(served.method.kind, header.flags, payload, connection, stream)
    connection.add(.init(task: nil, method: served, started: started, streaming: streaming), stream)
    connection.runningHandlers += 1
    connection.setTask(start(served.method.handler, payload, streaming, context), of: stream)
  }

  private func refuseUnknown(
    _ request: RequestView, _ stream: UInt32, on connection: ServerConnection
  ) throws(MalformedEnvelope) {
    let service = try request.serviceName
    let method = try request.methodName
    let unknown =
      methods.hasService(service)
      ? "method \(method.prefix(Self.echoedMaximum))" : "service \(service.prefix(Self.echoedMaximum))"
    refuse(stream, unknown, code: .unimplemented, on: connection)
  }

  private func status(_ error: any Error) -> RPCError { error as? RPCError ?? translate(error) }

  /// Why the call may not begin.
  private func refusal(
    of request: RequestView, _ served: ServedMethod, _ flags: Frame.Flags, on connection: ServerConnection
  ) -> RPCError? {
    if let mismatch = Self.mismatch(served.method.kind, flags) {
      return RPCError(.invalidArgument, "\(served.method.fullName) \(mismatch)")
    }
    if stopBy != nil { return RPCError(.unavailable, "the daemon is stopping") }
    let calls = max(connection.calls.count, connection.runningHandlers)
    guard calls < limits.streamsPerConnection * (served.isExempt ? 2 : 1) else {
      return RPCError(
        .resourceExhausted, "\(limits.streamsPerConnection) calls are in flight on this connection")
    }
    guard connection.budget.abandonedHandlers < limits.abandonedPerUser || served.isExempt else {
      return RPCError(
        .resourceExhausted,
        "\(connection.budget.abandonedHandlers) calls of user \(connection.peer.uid) go on although their connections "
          + "have ended")
    }
    if let refusal = served.rule.authorise(connection.peer) { return refusal }
    if request.timeoutNanoseconds < 0 {
      return RPCError(.deadlineExceeded, "the deadline was over before the call began")
    }
    return nil
  }

  /// What is wrong with a request's flags for a method; a client that does not stream gets no frames it cannot read.
  private static func mismatch(_ kind: RPCMethod.Kind, _ flags: Frame.Flags) -> String? {
    let direction = flags.intersection([.remoteClosed, .remoteOpen])
    switch kind {
    case .unary: return direction.isEmpty ? nil : "is a unary method: its request has neither stream flag"
    case .serverStreaming:
      return direction == .remoteClosed ? nil : "streams its answers: its request has the flag remote-closed"
    case .clientStreaming, .bidirectional:
      // With remote-closed, the request's payload is the only message.
      return direction == .remoteClosed || direction == .remoteOpen
        ? nil : "takes a stream: its request has the flag remote-open, or remote-closed with the only message"
    }
  }

  private func streaming(
    _ kind: RPCMethod.Kind, _ flags: Frame.Flags, _ payload: [UInt8], _ connection: ServerConnection,
    _ stream: UInt32
  ) -> ServerConnection.Streaming? {
    if kind == .unary { return nil }
    let isClosed = flags.contains(.remoteClosed)
    var inbound: MessageQueue?
    if kind != .serverStreaming {
      let queue = MessageQueue(limit: limits.streamQueueBytes, budget: connection.budget)
      // An empty queue takes any message, unless the user's budget is used up.
      if (isClosed || !payload.isEmpty) && !queue.push(payload) {
        queue.end(RPCError(.resourceExhausted, "this user's connections hold as much as they may"))
      }
      if isClosed { queue.end() }
      inbound = queue
    }
    var outbound: OutboundStream?
    if kind != .clientStreaming {
      let shared = self.shared
      let token = connection.token
      outbound = OutboundStream(
        stream: stream, limit: limits.streamQueueBytes, budget: connection.budget,
        ready: { shared.deliver(.ready(connection: token, stream: stream)) },
        overflowed: { shared.deliver(.overflowed(connection: token, stream: stream, $0)) })
    }
    return ServerConnection.Streaming(inbound: inbound, outbound: outbound, isRemoteClosed: isClosed)
  }

  private func start(
    _ handler: RPCMethod.Handler, _ payload: [UInt8], _ streaming: ServerConnection.Streaming?, _ context: CallContext
  ) -> Task<Void, Never> {
    switch (handler, streaming?.inbound, streaming?.outbound) {
    case (.unary(let handle), _, _): return run(context) { try await handle(payload, context) }
    case (.serverStreaming(let handle), _, let responses?):
      return run(context) {
        try await handle(payload, responses, context)
        return []
      }
    case (.clientStreaming(let handle), let requests?, _):
      return run(context) { try await handle(requests, context) }
    case (.bidirectional(let handle), let requests?, let responses?):
      return run(context) {
        try await handle(requests, responses, context)
        return []
      }
    default: preconditionFailure("a streaming call without its streams")
    }
  }

  /// Runs a handler's first part here, the rest wherever it resumes.
  private func run(
    _ context: CallContext, _ body: @escaping @Sendable () async throws -> [UInt8]
  ) -> Task<Void, Never> {
    let shared = self.shared
    let translate = self.translate
    let thread = self.thread
    // Touched on the loop's own thread alone: that is what the comparison below is for. A thread that got the same
    // identity after the loop's end finds no connections in it.
    nonisolated(unsafe) let loop = self
    return Task.immediate {
      let result: Result<[UInt8], RPCError>
      do {
        result = .success(try await body())
      } catch let error as RPCError {
        result = .failure(error)
      } catch {
        result = .failure(translate(error))
      }
      if thread.isCurrent {
        // A handler that never suspended: the answer needs no mailbox.
        loop.handlerEnded(context.connection, context.stream, result)
      } else {
        shared.deliver(.ended(connection: context.connection, stream: context.stream, result))
      }
    }
  }

  // MARK: - Ending

  func handlerEnded(_ token: UInt64, _ stream: UInt32, _ result: Result<[UInt8], RPCError>) {
    guard let connection = connections[token] else { return abandonedHandlerEnded(token) }
    connection.runningHandlers -= 1
    end(stream, of: connection, result, discarding: false)
  }

  /// Ends a call, once: its handler is cancelled if it still runs, its client told. Queued messages are sent first, or
  /// dropped.
  func end(
    _ stream: UInt32, of connection: ServerConnection, _ result: Result<[UInt8], RPCError>, discarding: Bool
  ) {
    guard let call = connection.calls[stream], call.streaming?.outcome == nil else { return }
    let failure = result.failure
    call.method.rule.observe(connection.peer, ContinuousClock.now - call.started, failure)
    call.task?.cancel()
    touch(connection)
    guard let streaming = call.streaming else {
      _ = connection.removeCall(stream)
      return connection.respond(stream: stream, result)
    }
    let reason = failure ?? RPCError(.cancelled, "the call has ended")
    streaming.inbound?.end(reason, discarding: true)
    streaming.outbound?.close(reason, discarding: discarding)
    streaming.outcome = result
    connection.markReady(stream)
  }

  /// False when no such call is in flight.
  func cancel(_ stream: UInt32, of connection: ServerConnection) -> Bool {
    guard let call = connection.calls[stream] else { return false }
    // One that has ended and only waits to be read loses what is queued.
    call.streaming?.outbound?.close(RPCError(.cancelled, "the call has ended"), discarding: true)
    end(stream, of: connection, .failure(RPCError(.cancelled, "cancelled by the client")), discarding: true)
    return true
  }

  /// Ends the calls that stream answers, for the daemon stops.
  func endStreams(of connection: ServerConnection) {
    for (stream, call) in connection.calls {
      guard let outbound = call.streaming?.outbound else { continue }
      let stopping = RPCError(.unavailable, "the daemon is stopping")
      // First, so that no message comes after the cursor.
      outbound.close(stopping, discarding: false)
      let error = stopping.withCursor(outbound.cursor, reason: "STOPPING")
      end(stream, of: connection, .failure(error), discarding: false)
    }
  }

  /// The connection is gone: nobody waits for its calls.
  func abandonCalls(of connection: ServerConnection) {
    let reason = RPCError(.cancelled, "the connection ended before the call did")
    for call in connection.calls.values {
      call.task?.cancel()
      call.streaming?.inbound?.end(reason, discarding: true)
      call.streaming?.outbound?.close(reason, discarding: true)
      if call.streaming?.outcome == nil {
        call.method.rule.observe(connection.peer, ContinuousClock.now - call.started, reason)
      }
    }
  }
}

extension Result {
  fileprivate var failure: Failure? {
    if case .failure(let error) = self { return error }
    return nil
  }
}
