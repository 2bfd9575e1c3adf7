import CCurl
import Posix

/// HTTP over libcurl's multi interface. One thread owns the multi handle and every easy handle; everybody else posts
/// commands to it. No redirect is followed and no credential is chosen here: one request is one exchange.
///
/// Bounds: response headers 64 KiB in all, bodies as the request says; times as `TransportTimeouts` says.
package final class HTTPTransport: Sendable {
  package static let headerBytesMax = 64 * 1024
  /// Of the body of an answer that is no success, this much is kept, and the rest is not waited for.
  package static let errorBodyBytesMax = 64 * 1024
  /// What libcurl reads from a socket at once.
  static let receiveBytes = 256 * 1024

  private static let isInitialised: Void = {
    let code = curl_global_init(Int(CURL_GLOBAL_DEFAULT))
    precondition(code == CURLE_OK, "libcurl cannot start: \(String(cString: curl_easy_strerror(code)))")
  }()

  private let mailbox = TransportMailbox()

  package init(timeouts: TransportTimeouts = TransportTimeouts()) {
    Self.isInitialised
    let mailbox = mailbox
    startThread(named: "curl") { CurlLoop(mailbox: mailbox, timeouts: timeouts).run() }
  }

  deinit { mailbox.stop() }

  /// Ends every transfer with `CancellationError` and then the thread.
  package func shutDown() { mailbox.stop() }

  package func makeGroup(tls: TLSSettings = TLSSettings()) -> ConnectionGroup {
    ConnectionGroup(id: mailbox.nextID(), tls: tls, mailbox: mailbox)
  }

  /// The whole answer, its body within the request's bound. HTTP/2 where the server offers it over TLS.
  package func send(_ request: HTTPRequest, in group: ConnectionGroup) async throws -> HTTPResponse {
    switch try await exchange(request, in: group, streams: false) {
    case .response(let response): return response
    case .stream: preconditionFailure("a collected answer became a stream")
    }
  }

  /// Returns at the end of the final response headers: a 200 or 206 as a stream, anything else whole. HTTP/1.1 always,
  /// because a paused HTTP/2 stream goes on filling memory.
  package func open(_ request: HTTPRequest, in group: ConnectionGroup) async throws -> OpenedResponse {
    try await exchange(request, in: group, streams: true)
  }

  private func exchange(
    _ request: HTTPRequest, in group: ConnectionGroup, streams: Bool
  ) async throws -> OpenedResponse {
    let id = mailbox.nextID()
    let cancelled = CancellationFlag()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let command = StartCommand(
          id: id, request: request, group: group, streams: streams, isCancelled: cancelled, continuation: continuation)
        if !mailbox.post(.start(command)) { continuation.resume(throwing: CancellationError()) }
      }
    } onCancel: {
      cancelled.set()
      mailbox.post(.cancel(id))
    }
  }
}
