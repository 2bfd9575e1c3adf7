internal import ProtobufRuntime
package import RPC

/// A method for the server: decodes its request under `MessageLimits.rpc`, runs `handler`, encodes the response.
func rpcMethod<Request: ProtoMessage, Response: ProtoMessage>(
  _ service: String, _ name: String,
  _ handler: @escaping @Sendable (Request, CallContext) async throws -> Response
) -> RPCMethod {
  RPCMethod(
    service: service, name: name,
    handler: .unary { payload, context in try await handler(Request(request: payload), context).packed() })
}

/// As `rpcMethod`, for a handler that never waits.
func immediateMethod<Request: ProtoMessage, Response: ProtoMessage>(
  _ service: String, _ name: String,
  _ handler: @escaping @Sendable (Request, CallContext) throws -> Response
) -> RPCMethod {
  RPCMethod(
    service: service, name: name,
    handler: .immediate { payload, context in try handler(Request(request: payload), context).packed() })
}

func serverStreamingMethod<Request: ProtoMessage, Response: ProtoMessage>(
  _ service: String, _ name: String,
  _ handler: @escaping @Sendable (Request, ResponseStream<Response>, CallContext) async throws -> Void
) -> RPCMethod {
  RPCMethod(
    service: service, name: name,
    handler: .serverStreaming { payload, responses, context in
      try await handler(Request(request: payload), ResponseStream(responses), context)
    })
}

func clientStreamingMethod<Request: ProtoMessage, Response: ProtoMessage>(
  _ service: String, _ name: String,
  _ handler: @escaping @Sendable (RequestStream<Request>, CallContext) async throws -> Response
) -> RPCMethod {
  RPCMethod(
    service: service, name: name,
    handler: .clientStreaming { requests, context in
      try await handler(RequestStream(requests), context).packed()
    })
}

func bidirectionalMethod<Request: ProtoMessage, Response: ProtoMessage>(
  _ service: String, _ name: String,
  _ handler: @escaping @Sendable (RequestStream<Request>, ResponseStream<Response>, CallContext) async throws -> Void
) -> RPCMethod {
  RPCMethod(
    service: service, name: name,
    handler: .bidirectional { requests, responses, context in
      try await handler(RequestStream(requests), ResponseStream(responses), context)
    })
}

extension RPCChannel {
  func call<Request: ProtoMessage, Response: ProtoMessage>(
    _ service: String, _ method: String, _ request: Request, timeout: Duration?
  ) async throws -> Response {
    try Response(
      response: await call(service: service, method: method, payload: request.packed(), timeout: timeout))
  }

  func stream<Request: ProtoMessage, Response: ProtoMessage>(
    _ service: String, _ method: String, _ request: Request, timeout: Duration?
  ) -> ResponseSequence<Response> {
    ResponseSequence { () throws(RPCError) in
      try openStream(
        service: service, method: method, kind: .serverStreaming, payload: request.packed(), timeout: timeout)
    }
  }

  func requestCall<Request: ProtoMessage, Response: ProtoMessage>(
    _ service: String, _ method: String, timeout: Duration?
  ) throws(RPCError) -> RequestCall<Request, Response> {
    RequestCall(
      try openStream(service: service, method: method, kind: .clientStreaming, payload: nil, timeout: timeout))
  }

  func bidirectionalCall<Request: ProtoMessage, Response: ProtoMessage>(
    _ service: String, _ method: String, timeout: Duration?
  ) throws(RPCError) -> BidirectionalCall<Request, Response> {
    BidirectionalCall(
      try openStream(service: service, method: method, kind: .bidirectional, payload: nil, timeout: timeout))
  }
}

extension RPCConnection.Cancellation {
  /// `System/Cancel` of the daemon.
  package static let system = RPCConnection.Cancellation(service: "tidewaiter.v1.System", method: "Cancel") { stream in
    var request = CancelRequest()
    request.streamId = stream
    return request.packed()
  }
}

extension RPCServer.Limits {
  /// The limits of the daemon, unless its configuration says otherwise: a connection full of calls can still end them.
  package static var standard: RPCServer.Limits {
    var limits = RPCServer.Limits()
    limits.exemptMethods = [RPCConnection.Cancellation.system.fullName]
    return limits
  }
}

/// The google.rpc details that errors of the daemon carry.
extension RPCError {
  private static let typePrefix = "type.googleapis.com/"

  /// INVALID_ARGUMENT that names every bad field at once.
  package static func invalidArgument(_ violations: [(field: String, description: String)]) -> RPCError {
    var request = BadRequest()
    request.fieldViolations = violations.map { field, description in
      var violation = BadRequestFieldViolation()
      violation.field = field
      violation.description = description
      return violation
    }
    let message = violations.map { "\($0.field): \($0.description)" }.joined(separator: "; ")
    return RPCError(.invalidArgument, message, details: [detail(request)])
  }

  /// An error with a stable reason, what to do about it and, where there is one, a place to go on from.
  package init(_ code: Code, reason: String, _ message: String, hint: String, cursor: String? = nil) {
    var info = ErrorInfo()
    info.reason = reason
    info.domain = Self.domain
    if let cursor {
      var entry = ErrorInfoMetadataEntry()
      entry.key = "cursor"
      entry.value = cursor
      info.metadata = [entry]
    }
    var details = [Self.detail(info)]
    if !hint.isEmpty {
      var link = HelpLink()
      link.description = hint
      var help = Help()
      help.links = [link]
      details.append(Self.detail(help))
    }
    self.init(code, message, details: details)
  }

  /// What to do, from the details; nil when the daemon said nothing.
  package var hint: String? {
    decoded(Help.self)?.links.first.map(\.description)
  }

  /// The stable reason, e.g. `UNAUTHORIZED`; nil when there is none.
  package var reason: String? { decoded(ErrorInfo.self)?.reason }

  /// Where to go on with a stream that ended before its time; nil when it has no such place.
  package var cursor: String? { decoded(ErrorInfo.self)?.metadata.first { $0.key == "cursor" }?.value }

  package var fieldViolations: [BadRequestFieldViolation] { decoded(BadRequest.self)?.fieldViolations ?? [] }

  private static func detail<M: ProtoMessage>(_ message: M) -> Detail {
    Detail(typeURL: typePrefix + M.messageName, value: message.packed())
  }

  /// A detail that does not decode counts as absent: the status itself says what happened.
  private func decoded<M: ProtoMessage>(_: M.Type) -> M? {
    details.first { $0.typeURL == Self.typePrefix + M.messageName }
      .flatMap { detail in try? M(packed: detail.value, limits: .rpc) }
  }
}
