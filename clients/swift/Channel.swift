internal import ProtobufRuntime
internal import RPC
import Synchronization

/// The connection of a `Tidewaiter`: made when it is needed, made anew when it is lost.
final class Channel: Sendable {
  private enum State {
    case open(RPCConnection?)
    case closed
  }

  let callTimeout: Duration
  let reconnection: Reconnection
  private let socket: String
  private let state = Mutex(State.open(nil))

  init(socket: String, callTimeout: Duration, reconnection: Reconnection) {
    self.socket = socket
    self.callTimeout = callTimeout
    self.reconnection = reconnection
  }

  deinit { close() }

  func close() {
    let connection = state.withLock { state -> RPCConnection? in
      defer { state = .closed }
      guard case .open(let connection) = state else { return nil }
      return connection
    }
    connection?.close()
  }

  func call<Request: ProtoMessage, Response: ProtoMessage>(
    _ service: String, _ method: String, _ request: Request, timeout: Duration?
  ) async throws(TidewaiterError) -> Response {
    let connection = try connection()
    let payload: [UInt8]
    do {
      payload = try await connection.call(
        service: service, method: method, payload: request.packed(), timeout: timeout ?? callTimeout)
    } catch {
      throw Self.translated(error, connection)
    }
    return try Self.decoded(payload)
  }

  func open<Request: ProtoMessage, Response: ProtoMessage>(
    _ service: String, _ method: String, _ request: Request, timeout: Duration?
  ) throws(TidewaiterError) -> ServerStream<Response> {
    let connection = try connection()
    do throws(RPCError) {
      let stream = try connection.openStream(
        service: service, method: method, kind: .serverStreaming, payload: request.packed(), timeout: timeout)
      return ServerStream(stream, of: connection)
    } catch {
      throw Self.translated(error, connection)
    }
  }

  /// One that was not lost as far as is known.
  private func connection() throws(TidewaiterError) -> RPCConnection {
    try state.withLock { state throws(TidewaiterError) -> RPCConnection in
      guard case .open(let known) = state else {
        throw TidewaiterError(.failedPrecondition, "the client was closed")
      }
      if let known, !known.hasFailed { return known }
      do throws(RPCError) {
        let connection = try RPCConnection.connect(toSocket: socket, cancellation: .system)
        state = .open(connection)
        return connection
      } catch {
        state = .open(nil)
        throw TidewaiterError(error, isDisconnection: error.code == .unavailable)
      }
    }
  }

  static func translated(_ error: any Error, _ connection: RPCConnection) -> TidewaiterError {
    guard let error = error as? RPCError else { return TidewaiterError(.internal, "\(error)") }
    return TidewaiterError(error, isDisconnection: error.code == .unavailable && connection.hasFailed)
  }

  static func decoded<Response: ProtoMessage>(_ payload: [UInt8]) throws(TidewaiterError) -> Response {
    do throws(MalformedMessage) {
      return try Response(packed: payload, limits: .rpc)
    } catch {
      throw TidewaiterError(.internal, "the daemon's answer does not decode: \(error)")
    }
  }
}

/// The responses of a server-streaming call on one connection. The call ends when the last reference goes.
final class ServerStream<Response: ProtoMessage>: Sendable {
  private let stream: ClientStream
  private let connection: RPCConnection

  fileprivate init(_ stream: ClientStream, of connection: RPCConnection) {
    self.stream = stream
    self.connection = connection
  }

  deinit { stream.cancel() }

  /// The next response; nil when the daemon has ended the stream.
  func next() async throws(TidewaiterError) -> Response? {
    let payload: [UInt8]?
    do {
      payload = try await stream.next()
    } catch {
      throw Channel.translated(error, connection)
    }
    guard let payload else { return nil }
    return try Channel.decoded(payload)
  }
}

extension RPCConnection.Cancellation {
  fileprivate static let system = RPCConnection.Cancellation(
    service: "tidewaiter.v1.System", method: "Cancel"
  ) { stream in
    var request = CancelRequest()
    request.streamId = stream
    return request.packed()
  }
}
