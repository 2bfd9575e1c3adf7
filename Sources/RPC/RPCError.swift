/// A call's failure: a google.rpc code, a message for people and details for programs.
package struct RPCError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The codes of google.rpc.Code. A number this version does not know reads as `unknown`.
  package enum Code: Int32, Sendable {
    case ok = 0
    case cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
    case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, `internal`, unavailable, dataLoss
    case unauthenticated

    /// As the specification writes it: `NOT_FOUND`.
    package var name: String {
      switch self {
      case .ok: "OK"
      case .cancelled: "CANCELLED"
      case .unknown: "UNKNOWN"
      case .invalidArgument: "INVALID_ARGUMENT"
      case .deadlineExceeded: "DEADLINE_EXCEEDED"
      case .notFound: "NOT_FOUND"
      case .alreadyExists: "ALREADY_EXISTS"
      case .permissionDenied: "PERMISSION_DENIED"
      case .resourceExhausted: "RESOURCE_EXHAUSTED"
      case .failedPrecondition: "FAILED_PRECONDITION"
      case .aborted: "ABORTED"
      case .outOfRange: "OUT_OF_RANGE"
      case .unimplemented: "UNIMPLEMENTED"
      case .internal: "INTERNAL"
      case .unavailable: "UNAVAILABLE"
      case .dataLoss: "DATA_LOSS"
      case .unauthenticated: "UNAUTHENTICATED"
      }
    }
  }

  /// A google.protobuf.Any.
  package struct Detail: Sendable, Equatable {
    package let typeURL: String
    package let value: [UInt8]

    package init(typeURL: String, value: [UInt8]) {
      self.typeURL = typeURL
      self.value = value
    }
  }

  /// Of the reasons in google.rpc.ErrorInfo.
  package static let domain = "tidewaiter"

  package let code: Code
  package let message: String
  package let details: [Detail]

  package init(_ code: Code, _ message: String, details: [Detail] = []) {
    self.code = code
    self.message = message
    self.details = details
  }

  package var description: String { "\(code.name): \(message)" }
}
