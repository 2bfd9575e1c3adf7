import CCurl
import Posix

/// HTTP over libcurl's multi interface. One thread owns the multi handle and every easy handle; everybody else posts
/// commands to it. No redirect is followed and no credential is chosen here.
///
/// Every request keeps to its group's pace (`RateLimiter`). What failed in passing and changes nothing (GET and HEAD) is
/// sent again as `RetryPolicy` says: after statuses 408, 429, 500, 502, 503 and 504, and when a connection is lost before
/// its answer is whole.
///
/// Bounds: response headers 64 KiB in all, bodies as the request says; times as `TransportTimeouts` says, for each try.
package final class HTTPTransport: Sendable {
  package static let headerBytesMax = 64 * 1024
  /// Of the body of an answer that is no success, this much is kept, and the rest is not waited for.
  package static let errorBodyBytesMax = 64 * 1024
  /// What libcurl reads from a socket at once for a stream; its own 16 KiB do for what is collected.
  static let receiveBytes = 256 * 1024

  private static let isInitialised: Void = {
    let code = curl_global_init(Int(CURL_GLOBAL_DEFAULT))
    precondition(code == CURLE_OK, "libcurl cannot start: \(String(cString: curl_easy_strerror(code)))")
  }()

  private let mailbox = TransportMailbox()
  private let retries: RetryPolicy

  /// `environment` is looked at for proxies and for the system's certificate authorities.
  package init(
    timeouts: TransportTimeouts = TransportTimeouts(), retries: RetryPolicy = RetryPolicy(),
    mappings: [HostMapping] = [], environment: [String: String] = ProcessEnvironment.variables
  ) {
    Self.isInitialised
    self.retries = retries
    let mailbox = mailbox
    let outside = TransportOutside(timeouts: timeouts, mappings: mappings, environment: environment)
    startThread(named: "curl") { CurlLoop(mailbox: mailbox, outside: outside).run() }
  }

  deinit { mailbox.stop() }

  /// Ends every transfer with `CancellationError` and then the thread.
  package func shutDown() { mailbox.stop() }

  package func makeGroup(
    _ settings: ConnectionSettings = ConnectionSettings(), limiter: RateLimiter = RateLimiter(),
    permits: Permits = Permits(.max)
  ) -> ConnectionGroup {
    ConnectionGroup(
      id: mailbox.nextID(), settings: settings, limiter: limiter, permits: permits, mailbox: mailbox)
  }

  /// The whole answer, its body within the request's bound. HTTP/2 where the server offers it over TLS.
  package func send(_ request: HTTPRequest, in group: ConnectionGroup) async throws -> HTTPResponse {
    switch try await pacedExchange(request, in: group, streams: false) {
    case .response(let response): return response
    case .stream: preconditionFailure("a collected answer became a stream")
    }
  }

  /// Returns at the end of the final response headers: a 200 or 206 as a stream, anything else whole. HTTP/1.1 always,
  /// because a paused HTTP/2 stream goes on filling memory.
  package func open(_ request: HTTPRequest, in group: ConnectionGroup) async throws -> OpenedResponse {
    try await pacedExchange(request, in: group, streams: true)
  }

  private func pacedExchange(
    _ request: HTTPRequest, in group: ConnectionGroup, streams: Bool
  ) async throws -> OpenedResponse {
    let limiter = group.limiter
    let tally = RequestTally.current
    let origin = request.url.origin
    var retry = 0
    while true {
      // Nothing of ours changes anything, so all may be sent twice: a POST is a query, or asks for a token.
      let mayRetry = retry < retries.retriesMax
      do {
        let opened = try await admittedExchange(request, in: group, streams: streams, tally)
        let response = opened.response
        tally?.add(response)
        guard mayRetry, response.isThrottle || RetryPolicy.statuses.contains(response.status),
          limiter.isPatient(with: origin)
        else {
          return opened
        }
      } catch let error as RegistryError {
        guard mayRetry, error.code == .connectionLost else { throw error }
      }
      try await limiter.clock.sleep(retries.delay(before: retry, chance: limiter.clock.random()))
      retry += 1
    }
  }

  /// One try, once the pace allows it.
  private func admittedExchange(
    _ request: HTTPRequest, in group: ConnectionGroup, streams: Bool, _ tally: RequestTally?
  ) async throws -> OpenedResponse {
    let limiter = group.limiter
    let origin = request.url.origin
    // A pace of our own counts from when a request can go out, so the permit comes first.
    if request.takesPermit, limiter.hasLimits {
      return try await group.permits.withPermit {
        try await limiter.admit(to: origin)
        tally?.addRequest()
        return try await exchange(request, in: group, streams: streams, permits: nil)
      }
    }
    while true {
      try await limiter.admit(to: origin)
      do {
        let opened = try await exchange(
          request, in: group, streams: streams, permits: request.takesPermit ? group.permits : nil)
        tally?.addRequest()
        return opened
      } catch is StartCommand.TooSoon {
        continue
      } catch {
        tally?.addRequest()
        throw error
      }
    }
  }

  /// With `permits`, the request is handed to the curl thread as soon as one is free, by that thread itself where another
  /// request of the group has ended there: nobody else needs to wake up in between.
  private func exchange(
    _ request: HTTPRequest, in group: ConnectionGroup, streams: Bool, permits: Permits?
  ) async throws -> OpenedResponse {
    let id = mailbox.nextID()
    let cancelled = CancellationFlag()
    let ticket = permits?.ticket() ?? 0
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let start = { @Sendable [mailbox] (granted: Permits?) in
          let command = StartCommand(
            id: id, request: request, group: group, streams: streams, permits: granted, isCancelled: cancelled,
            continuation: continuation)
          guard !mailbox.post(.start(command)) else { return }
          granted?.release()
          continuation.resume(throwing: CancellationError())
        }
        guard let permits else { return start(nil) }
        permits.whenFree(ticket) { isGranted in start(isGranted ? permits : nil) }
        // A cancellation that came before has found nothing to withdraw.
        if cancelled.isSet { permits.withdraw(ticket) }
      }
    } onCancel: {
      cancelled.set()
      permits?.withdraw(ticket)
      mailbox.post(.cancel(id))
    }
  }
}

extension OpenedResponse {
  var response: HTTPResponse {
    switch self {
    case .response(let response): response
    case .stream(let stream): stream.response
    }
  }
}

/// What every connection of a transport is made by.
struct TransportOutside: Sendable {
  let timeouts: TransportTimeouts
  let mappings: [HostMapping]
  let environment: [String: String]
  let proxies: EnvironmentProxies

  init(timeouts: TransportTimeouts, mappings: [HostMapping], environment: [String: String]) {
    self.timeouts = timeouts
    self.mappings = mappings
    self.environment = environment
    proxies = EnvironmentProxies(environment)
  }
}
