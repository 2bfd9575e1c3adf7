import CPosix
import Glibc
import Posix
import ProtobufRuntime
import RPC
import Synchronization
import TestSupport

@testable import TidewaiterClient

/// The daemon's RPC server with handlers of a test, on a socket that outlives its restarts.
final class FakeDaemon: Sendable {
  let socket: String
  private let directory: TemporaryDirectory
  private let methods: [RPCMethod]
  private let server = Mutex<RPCServer?>(nil)

  /// Answers `System/Cancel` beside `methods`. Does not listen yet.
  init(_ methods: [RPCMethod]) throws {
    directory = try TemporaryDirectory()
    socket = directory.path + "/s"
    self.methods =
      methods + [
        .unary("System", "Cancel") { (request: CancelRequest, context) in
          var response = CancelResponse()
          response.found = await context.cancelStream(request.streamId)
          return response
        }
      ]
  }

  deinit { stop() }

  func start() throws {
    unlink(socket)
    let listener = cposix_listen_unix(socket, 0o600, -1, 128)
    guard listener >= 0 else { throw PosixError("listen on \(socket)") }
    let policy = RPCServer.Policy(
      rule: { _ in RPCServer.Policy.Rule(authorise: { _ in nil }, observe: { _, _, _ in }) },
      translate: { error in
        error as? RPCError ?? RPCError(error is CancellationError ? .cancelled : .unknown, "\(error)")
      })
    let server = try RPCServer(listener: listener, methods: methods, policy: policy)
    self.server.withLock { $0 = server }
  }

  /// Ends every call at once, as a daemon does that is told to stop.
  func stop() { server.withLock { $0.take() }?.stop(drain: .zero) }

  func restart() throws {
    stop()
    try start()
  }

  /// A client whose watches come back at once, for `patience` after a loss.
  func client(patience: Duration? = nil, callTimeout: Duration = .seconds(30)) -> Tidewaiter {
    Tidewaiter(
      socket: socket, callTimeout: callTimeout,
      reconnection: Reconnection(
        firstPause: .milliseconds(1), longestPause: .milliseconds(5), patience: patience))
  }
}

extension RPCMethod {
  static func unary<Request: ProtoMessage, Response: ProtoMessage>(
    _ service: String, _ name: String, _ handle: @escaping @Sendable (Request, CallContext) async throws -> Response
  ) -> RPCMethod {
    RPCMethod(
      service: "tidewaiter.v1." + service, name: name,
      handler: .unary { payload, context in
        try await handle(Request(packed: payload, limits: .rpc), context).packed()
      })
  }

  static func stream<Request: ProtoMessage>(
    _ service: String, _ name: String, _ handle: @escaping @Sendable (Request, OutboundStream) async throws -> Void
  ) -> RPCMethod {
    RPCMethod(
      service: "tidewaiter.v1." + service, name: name,
      handler: .serverStreaming { payload, responses, _ in
        try await handle(Request(packed: payload, limits: .rpc), responses)
      })
  }
}

/// Waits until the call is ended from outside.
func waitForEnd() async throws {
  while true { try await Task.sleep(for: .seconds(3600)) }
}
