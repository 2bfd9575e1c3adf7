import Model
import Posix

/// How a vendor's API knows us.
enum VendorAuthorization: Sendable {
  case none
  /// The same header with every request: Basic, a static Bearer, `PRIVATE-TOKEN`, `X-JFrog-Art-Api`.
  case header(SecretHeader)
  /// A Bearer token that is fetched and, in mid-run too, renewed.
  case token(RenewableToken)
  case signature(AWSSignature)

  /// An account as Basic, a key as Bearer.
  init(_ credential: Credential) {
    self =
      switch credential {
      case .anonymous: .none
      case .account(let user, let password): .basic(user: user, password: password)
      case .apiKey(let key): .header(.bearer(key))
      }
  }

  static func basic(user: String, password: Secret) -> VendorAuthorization {
    .header(.basic(user: user, password: password))
  }
}

/// A vendor's own API on one host: JSON over HTTP with the integration's connections, permits and redaction.
///
/// A token that earns a 401 is fetched anew once a request. Redirects are followed within the same origin alone. Bodies are
/// read to `RegistryClient.pageBytesMax`.
struct VendorAPI: Sendable {
  static let redirectsMax = 3
  static let renewalsMax = 3

  let session: RegistrySession
  /// The origin, and the path that every request's path follows; no slash at its end.
  let base: WebAddress
  var authorization: VendorAuthorization
  /// With every request. Values are our own.
  var headers: [(name: String, value: String)]
  private var takesPermit = true

  init(
    _ session: RegistrySession, _ base: WebAddress, authorization: VendorAuthorization = .none,
    headers: [(name: String, value: String)] = []
  ) {
    self.session = session
    self.base = base
    self.authorization = authorization
    self.headers = headers
  }

  /// For requests that are made while a permit is held already: those of `RegistryDriver.credential(after:)`.
  var withoutPermit: VendorAPI {
    var api = self
    api.takesPermit = false
    return api
  }

  /// Takes back `withoutPermit`.
  var withPermit: VendorAPI {
    var api = self
    api.takesPermit = true
    return api
  }

  /// Where the vendor lets a path below it be asked for.
  func address(_ path: String, query: String? = nil) -> WebAddress {
    base.replacing(path: base.path + path, query: query)
  }

  struct Request: Sendable {
    var method = HTTPRequest.Method.get
    /// After the base's path; begins with a slash. What stands in it is percent-encoded (`WebAddress.encodedQueryValue`).
    var path: String
    var query: String?
    var headers: [(name: String, value: String)] = []
    var content = nothing
    private static let nothing = Secret([])
    /// What is secret in the content, and not the integration's own.
    var secrets: [Secret] = []

    static func get(_ path: String, _ query: String? = nil) -> Request { Request(path: path, query: query) }

    static func post(
      _ path: String, _ query: String? = nil, contentType: String = "application/json", _ content: Secret
    ) -> Request {
      Request(
        method: .post, path: path, query: query, headers: [("Content-Type", contentType)], content: content)
    }
  }

  struct Answer: Sendable {
    let response: HTTPResponse
    /// "GET https://host/path", for errors.
    let subject: String
    let redactor: Redactor

    var headers: HTTPHeaders { response.headers }

    var text: String { String(decoding: response.body, as: UTF8.self) }

    func decode<Value: Decodable>(_ type: Value.Type) throws(RegistryError) -> Value {
      do {
        return try JSONReader.decode(type, response.body, what: subject)
      } catch {
        throw error.redacting(redactor)
      }
    }
  }

  /// The answer, a 200 or 201. Anything else is thrown as what it stands for: `NOT_FOUND`, `FORBIDDEN`, …
  func send(_ request: Request) async throws -> Answer {
    var sent = try await self.sent()
    var answer = try await follow(request, sent)
    for _ in 0..<Self.renewalsMax {
      guard answer.response.status == 401, case .token(let token) = authorization, let stale = sent.token else { break }
      let renewal = try await token.renewal(after: stale)
      sent = Sent(token: renewal.token)
      answer = try await follow(request, sent)
      // A token that was fetched for this request and is refused says that no other will do.
      if renewal.isNew { break }
    }
    let status = answer.response.status
    guard status == 200 || status == 201 else {
      let error = RegistryAnswer(answer.response, answer.redactor).error(for: answer.subject)
      guard error.code == .unauthorized else { throw error.redacting(answer.redactor) }
      let credential = session.endpoint.credential
      throw error.recoded(
        .unauthorized, "\(error.message) with \(credential.named)", hint: credential.hint
      ).redacting(answer.redactor)
    }
    return answer
  }

  func get<Value: Decodable>(_ type: Value.Type, _ path: String, _ query: String? = nil) async throws -> Value {
    try await send(.get(path, query)).decode(type)
  }

  /// What a request carries.
  private struct Sent {
    var header: SecretHeader?
    var signature: AWSSignature?
    /// The renewable one in `header`.
    var token: Secret?

    init(header: SecretHeader? = nil, signature: AWSSignature? = nil) {
      self.header = header
      self.signature = signature
    }

    init(token: Secret) {
      self.token = token
      header = .bearer(token)
    }

    var secrets: [Secret] {
      (header?.spellings ?? []) + [signature?.key, signature?.sessionToken].compactMap { $0 }
    }
  }

  private func sent() async throws -> Sent {
    switch authorization {
    case .none: Sent()
    case .header(let header): Sent(header: header)
    case .token(let token): Sent(token: try await token.current())
    case .signature(let signature): Sent(signature: signature)
    }
  }

  private func follow(_ request: Request, _ sent: Sent) async throws -> Answer {
    let redactor = Redactor(sent.secrets + request.secrets + session.endpoint.credential.secrets)
    let asked = address(request.path, query: request.query)
    let subject = "\(request.method.rawValue) \(asked)"
    var url = asked
    let headers = headers + request.headers
    let accept = headers.contains { $0.name == "Accept" } ? [] : [("Accept", "application/json")]
    for _ in 0...Self.redirectsMax {
      var message = HTTPRequest(
        request.method, url, headers: accept + headers,
        authorization: sent.header, subject: subject, bodyMax: RegistryClient.pageBytesMax, acceptsGzip: true)
      message.signature = sent.signature
      message.content = request.content
      message.takesPermit = takesPermit
      let response: HTTPResponse
      do {
        response = try await session.transport.send(message, in: session.group)
      } catch let error as RegistryError {
        throw error.redacting(redactor)
      }
      guard [301, 302, 303, 307, 308].contains(response.status), let location = response.headers["location"] else {
        return Answer(response: response, subject: subject, redactor: redactor)
      }
      url = try redirectTarget(location, from: url, of: request, subject)
    }
    throw RegistryError(.redirectRefused, "\(subject) was redirected more than \(Self.redirectsMax) times")
  }

  private func redirectTarget(
    _ location: String, from url: WebAddress, of request: Request, _ subject: String
  ) throws(RegistryError) -> WebAddress {
    let target: WebAddress
    do {
      target = try WebAddress(location, relativeTo: url)
    } catch {
      throw RegistryError(
        .redirectRefused, "\(subject) was redirected to an address that is refused: \(error.reason)")
    }
    guard target.origin == base.origin, request.method == .get else {
      throw RegistryError(
        .redirectRefused, "\(subject) was redirected to \(target.origin): the credential does not follow",
        hint: "give the final address as the integration's url or api url")
    }
    return target
  }
}

extension SecretHeader {
  static func basic(user: String, password: Secret) -> SecretHeader {
    let pair = Array("\(user):\(password.revealed)".utf8)
    return SecretHeader("Authorization", Secret("Basic " + Base64.encoded(pair)))
  }

  var isBasic: Bool { name == "Authorization" && value.revealed.hasPrefix("Basic ") }

  /// The value, and what stands after the scheme in it: both must not be seen.
  var spellings: [Secret] {
    let text = value.revealed
    guard let blank = text.firstIndex(of: " ") else { return [value] }
    return [value, Secret(String(text[text.index(after: blank)...]))]
  }
}

extension Credential {
  /// Everything of it that must not show up in an error.
  var secrets: [Secret] {
    switch self {
    case .anonymous: []
    case .account(let user, let password): WireCredential.basic(user: user, password: password).secrets
    case .apiKey(let key): [key]
    }
  }
}

extension WireCredential {
  /// Everything of it that must not show up in an error.
  var secrets: [Secret] {
    switch self {
    case .anonymous: []
    case .basic(let user, let password):
      [password, Secret(WebAddress.encodedQueryValue(password.revealed))]
        + SecretHeader.basic(user: user, password: password).spellings
    case .identity(let token): [token, Secret(WebAddress.encodedQueryValue(token.revealed))]
    case .header(let header): header.spellings
    }
  }
}
