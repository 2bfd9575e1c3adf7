/// A streaming call as its caller sees it. Dropped without `cancel`, it goes on until the server ends it.
package final class ClientStream: Sendable {
  /// What the stream asks of its connection.
  struct Transport: Sendable {
    /// Queues a message when there is room; waits for it otherwise.
    let send: @Sendable (_ message: [UInt8]) async throws -> Void
    let finishSending: @Sendable () throws(RPCError) -> Void
    let cancel: @Sendable () -> Void
  }

  private let incoming: MessageQueue
  private let transport: Transport

  init(incoming: MessageQueue, transport: Transport) {
    self.incoming = incoming
    self.transport = transport
  }

  /// Sends a message, waiting while a megabyte of requests is unsent on the connection. Throws when the call has ended.
  package func send(_ message: [UInt8]) async throws { try await transport.send(message) }

  /// Tells the server that no message follows.
  package func finishSending() throws(RPCError) { try transport.finishSending() }

  /// The next message; nil when the server ended the stream, `RPCError` when it did so with a status. A client-streaming
  /// call has one message, the response. Cancelling the task cancels the call.
  package func next() async throws -> [UInt8]? {
    do {
      return try await withTaskCancellationHandler {
        try await incoming.next()
      } onCancel: {
        transport.cancel()
      }
    } catch {
      // The end of the call, or the caller's own cancellation.
      transport.cancel()
      throw error
    }
  }

  /// Gives the call up: the server is asked to stop working on it, the rest of its messages is dropped.
  package func cancel() { transport.cancel() }
}
