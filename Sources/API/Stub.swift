internal import ProtobufRuntime
package import RPC

/// A method for the server: decodes its request under `MessageLimits.rpc`, runs `handler`, encodes the response.
func rpcMethod<Request: ProtoMessage, Response: ProtoMessage>(
  _ service: String, _ name: String,
  _ handler: @escaping @Sendable (Request, CallContext) async throws -> Response
) -> RPCMethod {
  RPCMethod(service: service, name: name) { payload, context in
    let request: Request
    do throws(MalformedMessage) {
      request = try Request(packed: payload, limits: .rpc)
    } catch {
      throw RPCError.invalidArgument([(error.field, error.reason)])
    }
    return try await handler(request, context).packed()
  }
}

extension RPCChannel {
  func call<Request: ProtoMessage, Response: ProtoMessage>(
    _ service: String, _ method: String, _ request: Request, timeout: Duration?
  ) async throws -> Response {
    let payload = try await call(service: service, method: method, payload: request.packed(), timeout: timeout)
    do {
      return try Response(packed: payload, limits: .rpc)
    } catch {
      throw RPCError(.internal, "the daemon's answer does not decode: \(error)")
    }
  }
}

/// The google.rpc details that errors of the daemon carry.
extension RPCError {
  private static let typePrefix = "type.googleapis.com/"
  private static let domain = "tidewaiter"

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

  /// An error with a stable reason and what to do about it.
  package init(_ code: Code, reason: String, _ message: String, hint: String) {
    var info = ErrorInfo()
    info.reason = reason
    info.domain = Self.domain
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
