import Model
import Posix
import Synchronization

/// One registry of one integration: repositories and tags as its vendor's driver lists them, manifests and blobs by the
/// distribution API.
///
/// Every method can be cancelled, and every failure of the registry or the network is a `RegistryError`. Short troubles
/// are sat out by the transport and by `BlobReader`; for longer ones the queue backs off and tries again. At most
/// `endpoint.concurrentRequestsMax` requests run at once; an open blob counts until its reader has ended, and what is asked
/// for a credential does not count: others wait for it with their permits in hand.
package final class RegistryClient: Sendable {
  package static let redirectsMax = 5
  /// A page of a listing.
  package static let pageBytesMax = 8 << 20
  package static let pagesMax = 10_000
  package static let manifestBytesMax = 4 << 20
  package static let configBytesMax = 8 << 20
  static let pingBytesMax = 64 * 1024
  static let renewalsMax = 3

  /// More bases than this are not remembered: Artifactory has one a repository key.
  static let basesMax = 256

  package var endpoint: RegistryEndpoint { session.endpoint }
  let session: RegistrySession
  let driver: any RegistryDriver
  var permits: Permits { session.permits }
  /// How long the registry wants to be left alone; nil while it does not.
  package var throttle: Duration? { session.group.limiter.throttle }
  /// Requests that the registry still grants in its window; nil where it tells of none.
  package var requestsLeft: Int? { session.group.limiter.budget?.remaining.map { Int(clamping: $0) } }
  /// By the address that `/v2/` follows.
  private let authenticators = Mutex<[WebAddress: Authenticator]>([:])

  /// `limiter` is the integration's, where it is to outlive the client.
  package convenience init(_ endpoint: RegistryEndpoint, transport: HTTPTransport, limiter: RateLimiter? = nil) {
    let session = RegistrySession(endpoint, transport: transport, limiter: limiter)
    self.init(session, driver: endpoint.vendor.type.makeDriver(session))
  }

  init(_ session: RegistrySession, driver: any RegistryDriver) {
    self.session = session
    self.driver = driver
  }

  /// The version page, `/v2/`: whether this is a registry and what it wants of us. Throws what stands in the way.
  package func checkAPI() async throws -> RegistryVersion {
    let base = driver.base
    let exchange = try await perform(Call(.get, base, "", scope: nil, bodyMax: Self.pingBytesMax))
    guard exchange.status == 200 else { throw exchange.isMissing ? notARegistry : exchange.error }
    return RegistryVersion(
      apiVersion: exchange.response.headers["docker-distribution-api-version"].map {
        ForeignText.escaped(exchange.redactor.redactForeign($0), lengthMax: 80)
      },
      authentication: authenticator(for: base).method?.named ?? .none)
  }

  var notARegistry: RegistryError {
    RegistryError(
      .notARegistry, "nothing speaks the distribution API at \(driver.base)/v2/",
      hint: "check the address, its port, and whether a path is missing in it")
  }

  func authenticator(for base: WebAddress) -> Authenticator {
    authenticators.withLock { authenticators in
      if let known = authenticators[base] { return known }
      if authenticators.count >= Self.basesMax { authenticators.removeAll() }
      let new = Authenticator(session, base, driver)
      authenticators[base] = new
      return new
    }
  }

  // MARK: exchanges

  /// A request as its caller sees it: one address of the API, whatever redirects and challenges come between.
  struct Call: Sendable {
    var method: HTTPRequest.Method
    /// The address that `/v2/` follows: its origin is the one that may see the credential.
    let base: WebAddress
    let url: WebAddress
    let scope: Scope?
    var headers: [(name: String, value: String)] = []
    var bodyMax: Int
    var acceptsGzip = false
    var streams = false
    fileprivate var takesPermits = false

    /// `path` after `/v2/` and `query` hold checked names, or what a link gave.
    init(
      _ method: HTTPRequest.Method, _ base: WebAddress, _ path: String, query: String? = nil, scope: Scope?,
      bodyMax: Int
    ) {
      self.method = method
      self.base = base
      url = base.replacing(path: base.path + "/v2/" + path, query: query)
      self.scope = scope
      self.bodyMax = bodyMax
    }

    fileprivate func subject(redirectedTo target: WebAddress?) -> String {
      guard let target else { return "\(method.rawValue) \(url)" }
      return "\(method.rawValue) \(url), redirected to \(target.origin),"
    }
  }

  /// The final answer to a call.
  struct Exchange: Sendable {
    let opened: OpenedResponse
    fileprivate let call: Call
    fileprivate let redirectedTo: WebAddress?
    let redactor: Redactor

    /// The request, for errors: "GET https://host/v2/x".
    var subject: String { call.subject(redirectedTo: redirectedTo) }

    var response: HTTPResponse {
      switch opened {
      case .response(let response): response
      case .stream(let stream): stream.response
      }
    }

    var status: Int { response.status }

    /// The error that the answer stands for.
    var error: RegistryError {
      RegistryAnswer(response, redactor).error(for: subject).redacting(redactor)
    }

    var isMissing: Bool { RegistryAnswer(response, redactor).isNotFound }
  }

  /// Performs a call, each of its requests under a permit. A 401 that a better credential did not cure is thrown.
  func perform(_ call: Call) async throws -> Exchange {
    var call = call
    call.takesPermits = true
    return try await exchange(call)
  }

  /// The same without a permit, for who holds one.
  func exchange(_ call: Call) async throws -> Exchange {
    let authenticator = authenticator(for: call.base)
    var sent = Authenticator.Authorization.none
    do {
      sent = try await authenticator.authorization(for: call.scope) { try await ping(call.base) }
      var followed = try await follow(call, sent)
      // One renewal a request: a registry that refuses a token it has just issued would go on for ever. What somebody
      // else had renewed may have died since, and does not count.
      for _ in 0..<Self.renewalsMax {
        guard isRefusal(followed.response), !followed.hasLeft,
          let better = try await authenticator.authorization(
            after: Challenge.parse(followed.response.headers.all("www-authenticate")), for: call.scope, sent: sent)
        else { break }
        sent = better.authorization
        followed = try await follow(call, sent)
        if better.isNew { break }
      }
      let last = sent
      let exchange = Exchange(
        opened: followed.opened, call: call, redirectedTo: followed.redirectedTo,
        redactor: Redactor(authenticator.secrets(sent: last)))
      guard exchange.status == 401 else { return exchange }
      if followed.hasLeft { throw exchange.error }
      throw exchange.error.recoded(
        .unauthorized,
        exchange.error.message + (sent.header == nil ? "" : " with \(endpoint.credential.named)"),
        hint: endpoint.credential.hint)
    } catch let error as RegistryError {
      let last = sent
      throw error.redacting(Redactor(authenticator.secrets(sent: last)))
    }
  }

  /// Whether an answer may be cured by another credential.
  private func isRefusal(_ response: HTTPResponse) -> Bool {
    switch response.status {
    case 401: true
    // An answer to HEAD does not say why.
    case 403 where driver.forbidsWithExpired:
      response.body.isEmpty || RegistryAnswer(response, Redactor([])).quotedText.lowercased().contains("expired")
    default: false
    }
  }

  /// `/v2/` without a credential, to learn what is asked for.
  func ping(_ base: WebAddress) async throws -> HTTPResponse {
    let call = Call(.get, base, "", scope: nil, bodyMax: Self.pingBytesMax)
    let response = try await follow(call, .none).response
    // Anything but these is for the real request to find out.
    let answer = RegistryAnswer(response, Redactor([]))
    guard response.status == 429 || response.status >= 500 || answer.wantsCertificate else { return response }
    throw answer.error(for: "GET \(call.url)")
  }

  private struct Followed {
    let opened: OpenedResponse
    /// Nil where the answer is that of the address that was called.
    let redirectedTo: WebAddress?
    /// Whether the answer comes from another origin than the registry's.
    let hasLeft: Bool

    var response: HTTPResponse {
      switch opened {
      case .response(let response): response
      case .stream(let stream): stream.response
      }
    }
  }

  /// Follows redirects by hand, because who may see the credential is ours to decide: only the registry's own origin
  /// (scheme, host and port), and not any more once an answer has led away from it.
  private func follow(_ call: Call, _ authorization: Authenticator.Authorization) async throws -> Followed {
    var url = call.url
    var hasLeft = false
    var redirects = 0
    while true {
      let redirectedTo = redirects == 0 ? nil : url
      var request = HTTPRequest(
        call.method, url, headers: call.headers, authorization: hasLeft ? nil : authorization.header,
        destination: url.origin == call.base.origin ? .registry : .namedByAnswer,
        subject: redirectedTo.map { call.subject(redirectedTo: $0) }, bodyMax: call.bodyMax,
        acceptsGzip: call.acceptsGzip)
      request.takesPermit = call.takesPermits
      let opened: OpenedResponse =
        call.streams
        ? try await session.transport.open(request, in: session.group)
        : .response(try await session.transport.send(request, in: session.group))
      let followed = Followed(opened: opened, redirectedTo: redirectedTo, hasLeft: hasLeft)
      guard [301, 302, 303, 307, 308].contains(followed.response.status),
        let location = followed.response.headers["location"]
      else { return followed }
      redirects += 1
      guard redirects <= Self.redirectsMax else {
        throw RegistryError(
          .redirectRefused, "\(call.method.rawValue) \(call.url) was redirected more than \(Self.redirectsMax) times")
      }
      url = try redirectTarget(location, from: url, of: call)
      if url.origin != call.base.origin { hasLeft = true }
    }
  }

  private func redirectTarget(_ location: String, from url: WebAddress, of call: Call) throws(RegistryError)
    -> WebAddress
  {
    let target: WebAddress
    do {
      target = try WebAddress(location, relativeTo: url)
    } catch {
      throw RegistryError(
        .redirectRefused,
        "\(call.method.rawValue) \(call.url) was redirected to an address that is refused: \(error.reason)")
    }
    guard target.scheme == .https || call.base.scheme == .http else {
      throw RegistryError(
        .redirectRefused,
        "\(call.method.rawValue) \(call.url) was redirected from https to plain HTTP, to \(target.origin)",
        hint: "the registry's storage must be reachable over https")
    }
    return target
  }
}

/// What `/v2/` told.
package struct RegistryVersion: Sendable, Equatable {
  package enum Authentication: String, Sendable { case none, basic, token, apiKey = "api key" }

  /// The header `Docker-Distribution-Api-Version`; many registries have dropped it.
  package let apiVersion: String?
  /// What the registry asked for.
  package let authentication: Authentication
}

extension Authenticator.Method {
  var named: RegistryVersion.Authentication {
    switch self {
    case .open: .none
    case .basic: .basic
    case .token: .token
    case .header: .apiKey
    }
  }
}
