internal import ProtobufRuntime
internal import RPC

/// Why a call or a watch failed: the daemon's own status, or what kept it from being asked.
public struct TidewaiterError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The codes of google.rpc.Code. A number this version does not know reads as `unknown`.
  public enum Code: Int32, Sendable, CaseIterable {
    /// The call was given up by its caller.
    case cancelled = 1
    case unknown
    /// `TidewaiterError.fieldViolations` names what is wrong.
    case invalidArgument
    /// The call's limit was over. What was asked for may have been done all the same.
    case deadlineExceeded
    case notFound, alreadyExists
    /// The user lacks the role that the method needs, or may not open the socket.
    case permissionDenied
    /// A limit of the daemon: too many calls or connections, a message too large, a stream that was not read.
    case resourceExhausted
    case failedPrecondition, aborted, outOfRange
    /// An older daemon, that does not know the method.
    case unimplemented
    case `internal`
    /// No daemon answers, or it is stopping.
    case unavailable
    case dataLoss, unauthenticated

    /// As the specification writes it: `NOT_FOUND`.
    public var name: String { RPCError.Code(self).name }
  }

  /// A field of the request, and what is wrong with it.
  public struct FieldViolation: Sendable, Equatable {
    /// Path of the field, such as `integration.criteria[0]`.
    public let field: String
    public let description: String
  }

  public let code: Code
  /// What happened, in a sentence for people.
  public let message: String
  /// A stable name for what happened, such as `UNKNOWN_POLL`, where the code alone does not tell; nil otherwise.
  public let reason: String?
  /// What to do about it; nil when the daemon knows nothing.
  public let hint: String?
  public let fieldViolations: [FieldViolation]
  /// Where a stream that ended before its time goes on; nil when it has no such place. Watches use it by themselves.
  public let cursor: String?
  /// The daemon could not be reached, or went before it answered: whether it did what it was asked is unknown.
  public let isDisconnection: Bool

  public var description: String { "\(code.name): \(message)" }

  /// An error of the client's own.
  package init(_ code: Code, _ message: String, isDisconnection: Bool = false) {
    self.code = code
    self.message = message
    self.isDisconnection = isDisconnection
    reason = nil
    hint = nil
    fieldViolations = []
    cursor = nil
  }

  init(_ error: RPCError, isDisconnection: Bool) {
    code = Code(rawValue: error.code.rawValue) ?? .unknown
    message = error.message
    let info = error.decoded(ErrorInfo.self)
    reason = info?.reason
    cursor = info?.metadata.first { $0.key == "cursor" }?.value
    hint = error.decoded(Help.self)?.links.first?.description
    fieldViolations = (error.decoded(BadRequest.self)?.fieldViolations ?? []).map {
      FieldViolation(field: $0.field, description: $0.description)
    }
    self.isDisconnection = isDisconnection
  }
}

extension RPCError.Code {
  fileprivate init(_ code: TidewaiterError.Code) { self = Self(rawValue: code.rawValue) ?? .unknown }
}

extension RPCError {
  /// A detail that does not decode counts as absent: the status itself says what happened.
  fileprivate func decoded<M: ProtoMessage>(_: M.Type) -> M? {
    details.first { $0.typeURL == "type.googleapis.com/" + M.messageName }
      .flatMap { detail in try? M(packed: detail.value, limits: .rpc) }
  }
}
