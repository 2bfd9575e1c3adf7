/// One method of a service, as the server dispatches it: bytes in, bytes out. Generated service stubs make these.
package struct RPCMethod: Sendable {
  /// Full proto name of the service, e.g. `tidewaiter.v1.System`.
  package let service: String
  /// Bare name of the method, e.g. `Ping`.
  package let name: String
  /// Decodes the request, runs the method, encodes the response. Throws `RPCError` for an answer with a status.
  package let handle: @Sendable (_ payload: [UInt8], _ context: CallContext) async throws -> [UInt8]

  package init(
    service: String, name: String,
    handle: @escaping @Sendable (_ payload: [UInt8], _ context: CallContext) async throws -> [UInt8]
  ) {
    self.service = service
    self.name = name
    self.handle = handle
  }
}

/// Who calls, and under which conditions.
package struct CallContext: Sendable {
  package let peer: Peer
  /// When the caller stops waiting; nil when it set no deadline.
  package let deadline: ContinuousClock.Instant?
  /// The call's metadata, in the order sent.
  package let metadata: [(key: String, value: String)]

  package init(peer: Peer, deadline: ContinuousClock.Instant?, metadata: [(key: String, value: String)]) {
    self.peer = peer
    self.deadline = deadline
    self.metadata = metadata
  }
}

/// Something that carries a unary call to a server. Generated client stubs are built on it.
package protocol RPCChannel: Sendable {
  /// Sends `payload` and returns the response's payload; throws `RPCError` for a non-OK status.
  func call(service: String, method: String, payload: [UInt8], timeout: Duration?) async throws -> [UInt8]
}
