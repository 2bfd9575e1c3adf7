/// One method of a service, as the server dispatches it: bytes in, bytes out. Generated service stubs make these.
package struct RPCMethod: Sendable {
  package enum Kind: Sendable {
    case unary, serverStreaming, clientStreaming, bidirectional
  }

  /// Decodes what comes, runs the method, encodes what goes. Throws `RPCError` for an answer with a status; a streaming
  /// call ends when its handler returns or throws. The call's end from outside (deadline, cancellation, a client that
  /// left) cancels the handler's task.
  package enum Handler: Sendable {
    /// A unary method that never waits: it runs between two frames, without a task, and reads its request in place.
    /// Nothing else of the server happens meanwhile, so it must be quick.
    case immediate(@Sendable (_ payload: UnsafeRawBufferPointer, _ context: CallContext) throws -> [UInt8])
    case unary(@Sendable (_ payload: [UInt8], _ context: CallContext) async throws -> [UInt8])
    case serverStreaming(@Sendable (_ payload: [UInt8], _ responses: OutboundStream, CallContext) async throws -> Void)
    case clientStreaming(@Sendable (_ requests: MessageQueue, _ context: CallContext) async throws -> [UInt8])
    case bidirectional(
      @Sendable (_ requests: MessageQueue, _ responses: OutboundStream, CallContext) async throws -> Void)
  }

  /// Full proto name of the service, e.g. `tidewaiter.v1.System`.
  package let service: String
  /// Bare name of the method, e.g. `Ping`.
  package let name: String
  /// `Service/Method`.
  package let fullName: String
  package let handler: Handler

  package init(service: String, name: String, handler: Handler) {
    self.service = service
    self.name = name
    self.handler = handler
    fullName = "\(service)/\(name)"
  }

  package var kind: Kind {
    switch handler {
    case .immediate, .unary: .unary
    case .serverStreaming: .serverStreaming
    case .clientStreaming: .clientStreaming
    case .bidirectional: .bidirectional
    }
  }
}

/// Something that carries calls to a server. Generated client stubs are built on it.
package protocol RPCChannel: Sendable {
  /// Sends `payload` and returns the response's payload; throws `RPCError` for a non-OK status.
  func call(service: String, method: String, payload: [UInt8], timeout: Duration?) async throws -> [UInt8]

  /// Begins a streaming call. `payload` is the request of a server-streaming one and nil for the others.
  func openStream(
    service: String, method: String, kind: RPCMethod.Kind, payload: [UInt8]?, timeout: Duration?
  ) throws(RPCError) -> ClientStream
}
