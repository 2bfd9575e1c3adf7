import FoundationEssentials
import Posix
import Synchronization

/// Decides which `Authorization` a request to the registry carries, and fetches the tokens for it.
///
/// Tokens are kept per scope until they expire and fetched once however many requests wait for one. The only
/// credential ever used is the integration's own.
final class Authenticator: Sendable {
  static let tokenAnswerBytesMax = 64 * 1024
  /// More scopes than this are not remembered: a registry may have a million repositories.
  static let tokensMax = 1024

  /// What was sent with a request.
  enum Authorization: Sendable {
    case none
    /// The credential itself.
    case direct(SecretHeader, WireCredential)
    /// A token that it was exchanged for.
    case bearer(Secret, WireCredential)

    var header: SecretHeader? {
      switch self {
      case .none: nil
      case .direct(let header, _): header
      case .bearer(let token, _): .bearer(token)
      }
    }

    var credential: WireCredential? {
      switch self {
      case .none: nil
      case .direct(_, let credential), .bearer(_, let credential): credential
      }
    }
  }

  /// What the registry was found to want.
  enum Method: Sendable, Equatable {
    /// It answers without asking; a credential that was given is sent all the same, since some show more to those who do.
    case open
    case basic
    case token(TokenService)
    /// It was not asked: the credential goes with every request as it is.
    case header
  }

  struct TokenService: Sendable, Hashable {
    let realm: WebAddress
    let service: String?
  }

  private struct State {
    var method: Method?
    var tokens: [TokenKey: BearerToken] = [:]
    /// Scopes a challenge asked for in place of ours.
    var replacedScopes: [Scope: Scope] = [:]
  }

  private struct TokenKey: Hashable, Sendable {
    let service: TokenService
    let scope: Scope?
  }

  private let session: RegistrySession
  /// The address that `/v2/` follows.
  private let base: WebAddress
  private let driver: any RegistryDriver
  private let state = Mutex(State())
  private let tokenFlight = SingleFlight<TokenKey, BearerToken>()
  private let methodFlight = SingleFlight<String, Method>()

  init(_ session: RegistrySession, _ base: WebAddress, _ driver: any RegistryDriver) {
    self.session = session
    self.base = base
    self.driver = driver
  }

  /// The method found so far; nil before the first request.
  var method: Method? { state.withLock { $0.method } }

  /// What to send with a request for `scope` before the registry has said anything about it. `discover` asks `/v2/`
  /// when the method is unknown yet.
  func authorization(for scope: Scope?, discover: () async throws -> HTTPResponse) async throws -> Authorization {
    let credential = try await driver.credential(after: nil)
    if case .header(let header) = credential {
      state.withLock { $0.method = header.isBasic ? .basic : .header }
      return .direct(header, credential)
    }
    switch try await knownMethod(discover) {
    case .open, .basic, .header: return Self.direct(credential)
    case .token(let service):
      let scope = scope.map { scope in state.withLock { $0.replacedScopes[scope] } ?? scope }
      return try await exchanged(credential, service, scope)
    }
  }

  /// What to send in place of something that was refused.
  struct Better: Sendable {
    let authorization: Authorization
    /// Whether it was made for this refusal; else somebody else's renewal is used.
    let isNew: Bool
  }

  /// What to send after a refusal with these challenges; nil when there is nothing better than what was sent.
  func authorization(
    after challenges: [Challenge], for scope: Scope?, sent: Authorization
  ) async throws -> Better? {
    if case .direct(_, .header(let header)) = sent {
      return try await renewed(.header(header))
    }
    let credential = try await driver.credential(after: nil)
    if let challenge = challenges.first(where: { $0.scheme == "bearer" && $0.parameters["realm"] != nil }) {
      let service = try tokenService(challenge)
      let (scope, isOutlived) = remember(service, asked: challenge.parameters["scope"], for: scope, sent: sent)
      return Better(authorization: try await exchanged(credential, service, scope), isNew: !isOutlived)
    }
    // A token that has expired may earn a 401 without a word; the first challenge tells where there are others.
    if challenges.isEmpty, case .bearer = sent, case .token(let service) = method {
      let (scope, isOutlived) = remember(service, asked: nil, for: scope, sent: sent)
      return Better(authorization: try await exchanged(credential, service, scope), isNew: !isOutlived)
    }
    // Without a challenge the registry is half-configured; the password may still be what it wants.
    guard challenges.isEmpty || challenges.contains(where: { $0.scheme == "basic" }) else { return nil }
    if case .direct(_, let refused) = sent { return try await renewed(refused) }
    guard case .basic = credential else { return nil }
    state.withLock { if $0.method == nil || $0.method == .open { $0.method = .basic } }
    return Better(authorization: Self.direct(credential), isNew: true)
  }

  /// What to send in place of a credential that was refused; nil when the driver has no other.
  private func renewed(_ refused: WireCredential) async throws -> Better? {
    let current = try await driver.credential(after: nil)
    guard current == refused else { return Better(authorization: Self.direct(current), isNew: false) }
    let better = try await driver.credential(after: refused)
    return better == refused ? nil : Better(authorization: Self.direct(better), isNew: true)
  }

  private static func direct(_ credential: WireCredential) -> Authorization {
    switch credential {
    case .anonymous: .none
    case .identity: .none
    case .basic(let user, let password): .direct(.basic(user: user, password: password), credential)
    case .header(let header): .direct(header, credential)
    }
  }

  private func exchanged(
    _ credential: WireCredential, _ service: TokenService, _ scope: Scope?
  ) async throws -> Authorization {
    .bearer(try await token(from: service, for: scope, credential).token, credential)
  }

  /// A token for what lies beside `/v2/` and takes the same ones; always a new one.
  func freshToken(for scope: Scope, discover: () async throws -> HTTPResponse) async throws -> BearerToken {
    guard case .token(let service) = try await knownMethod(discover) else {
      throw RegistryError(.malformed, "\(base.origin) names no token service")
    }
    return try await fetchToken(from: service, for: scope, try await driver.credential(after: nil))
  }

  /// Everything that must not show up in an error.
  func secrets(sent: Authorization) -> [Secret] {
    (sent.header?.spellings ?? []) + (sent.credential?.secrets ?? []) + session.endpoint.credential.secrets
  }

  // MARK: the method

  private func knownMethod(_ discover: () async throws -> HTTPResponse) async throws -> Method {
    if let method { return method }
    return try await methodFlight.value(for: "") {
      if let method { return method }
      let answer = try await discover()
      let method: Method
      if answer.status == 401 {
        let challenges = Challenge.parse(answer.headers.all("www-authenticate"))
        if let challenge = challenges.first(where: { $0.scheme == "bearer" && $0.parameters["realm"] != nil }) {
          method = .token(try tokenService(challenge))
        } else {
          method = .basic
        }
      } else {
        method = .open
      }
      state.withLock { $0.method = method }
      return method
    }
  }

  /// Notes what a challenge says, forgets the token that earned it, and gives the scope to ask for. `isOutlived`: the
  /// token had been replaced already.
  private func remember(
    _ service: TokenService, asked: String?, for scope: Scope?, sent: Authorization
  ) -> (scope: Scope?, isOutlived: Bool) {
    state.withLock { state in
      state.method = .token(service)
      let current = scope.flatMap { state.replacedScopes[$0] } ?? scope
      var isOutlived = false
      if case .bearer(let token, _) = sent {
        let stale = state.tokens.first { $0.value.token == token }?.key
        if let stale { state.tokens[stale] = nil }
        isOutlived = stale == nil
      }
      guard let scope, let asked, let replacement = Scope(challenge: asked, wanted: scope) else {
        return (current, isOutlived)
      }
      if state.replacedScopes.count >= Self.tokensMax { state.replacedScopes.removeAll() }
      state.replacedScopes[scope] = replacement
      return (replacement, isOutlived)
    }
  }

  // MARK: the token service

  /// The server names the address that our password goes to: it must be on the registry's own host, on one that is the
  /// vendor's, or on one allowed by name, and not fall back to plain HTTP. Where that name leads is checked when the
  /// connection is made.
  private func tokenService(_ challenge: Challenge) throws(RegistryError) -> TokenService {
    let text = challenge.parameters["realm"] ?? ""
    let realm: WebAddress
    do {
      realm = try WebAddress(text)
    } catch {
      throw RegistryError(
        .realmNotAllowed, "\(base.origin) names a token service whose address is refused: \(error.reason)")
    }
    guard !realm.hasFragment else {
      throw RegistryError(
        .realmNotAllowed, "\(base.origin) names a token service whose address is refused: it holds a fragment")
    }
    guard realm.scheme == .https || base.scheme == .http else {
      throw RegistryError(
        .realmNotAllowed, "the registry is https and names a token service over plain HTTP, \(realm.origin)",
        hint: "the registry's configuration must name it with https")
    }
    guard realm.host == base.host || isAllowed(realm.host) else {
      throw RegistryError(
        .realmNotAllowed,
        "\(base.origin) sends credentials to a token service on another host, \(realm.host)",
        hint: "if that host is the registry's own, allow it: --allow-realm-host \(realm.host)")
    }
    let service = challenge.parameters["service"].flatMap { $0.utf8.count <= 1024 ? $0 : nil }
    return TokenService(realm: realm, service: service)
  }

  private func isAllowed(_ host: String) -> Bool {
    session.endpoint.allowedRealmHosts.contains(host) || driver.realmHosts.contains(host)
  }

  private func destination(of realm: WebAddress) -> HTTPRequest.Destination {
    if realm.origin == base.origin { return .registry }
    return isAllowed(realm.host) ? .allowedByName : .namedByAnswer
  }

  private func token(
    from service: TokenService, for scope: Scope?, _ credential: WireCredential
  ) async throws -> BearerToken {
    let key = TokenKey(service: service, scope: scope)
    if let token = usableToken(key) { return token }
    return try await tokenFlight.value(for: key) {
      if let token = usableToken(key) { return token }
      let token = try await fetchToken(from: service, for: scope, credential)
      state.withLock { state in
        if state.tokens.count >= Self.tokensMax {
          let now = ContinuousClock.now
          state.tokens = state.tokens.filter { $0.value.isUsable(at: now) }
          if state.tokens.count >= Self.tokensMax { state.tokens.removeAll() }
        }
        state.tokens[key] = token
      }
      return token
    }
  }

  private func usableToken(_ key: TokenKey) -> BearerToken? {
    state.withLock { state in state.tokens[key].flatMap { $0.isUsable(at: .now) ? $0 : nil } }
  }

  /// One request; a redirect of it is never followed, because the password would follow too.
  private func fetchToken(
    from service: TokenService, for scope: Scope?, _ credential: WireCredential, isRenewed: Bool = false
  ) async throws -> BearerToken {
    let realm = service.realm
    let request = tokenRequest(service, scope, credential)
    let redactor = Redactor(self.secrets(sent: Self.direct(credential)) + credential.secrets)
    do {
      let answer = try await session.transport.send(request, in: session.group)
      switch answer.status {
      case 200: return try BearerToken(answer: answer.body, from: realm, receivedAt: .now)
      case 300..<400:
        throw RegistryError(
          .redirectRefused, "the token service at \(realm.origin) redirects: a password does not follow",
          hint: "the registry must name the final address of its token service")
      case 401 where !isRenewed && credential != .anonymous:
        let better = try await driver.credential(after: credential)
        guard better != credential else { fallthrough }
        return try await fetchToken(from: service, for: scope, better, isRenewed: true)
      case 401, 403:
        throw RegistryError(
          .unauthorized,
          "the token service at \(realm.origin) refuses \(session.endpoint.credential.named)"
            + RegistryAnswer(answer, redactor).quotedText,
          hint: session.endpoint.credential.hint)
      default: throw RegistryAnswer(answer, redactor).error(for: "the token service at \(realm.origin)")
      }
    } catch let error as RegistryError {
      throw error.redacting(redactor)
    }
  }

  /// A GET with the password as Basic; a POST with the identity token in a form.
  private func tokenRequest(_ service: TokenService, _ scope: Scope?, _ credential: WireCredential) -> HTTPRequest {
    let realm = service.realm
    var fields: [(name: String, value: String)] = []
    if let name = service.service { fields.append(("service", name)) }
    // A refresh token is exchanged for nothing without a scope: listing is what everybody comes for.
    if let scope = scope ?? (credential.isIdentity ? .catalog : nil) { fields.append(("scope", scope.description)) }
    let destination = destination(of: realm)
    if case .identity(let token) = credential {
      // Azure refuses a form without a scope, though its challenge for the bare API names none.
      if scope == nil { fields.append(("scope", Scope.catalog.description)) }
      fields = [("grant_type", "refresh_token")] + fields + [("refresh_token", token.revealed)]
      var request = HTTPRequest(
        .post, realm,
        headers: [("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded")],
        destination: destination, bodyMax: Self.tokenAnswerBytesMax)
      request.content = Secret(WebAddress.encodedForm(fields))
      return request
    }
    let query = [realm.query, fields.isEmpty ? nil : WebAddress.encodedForm(fields)].compactMap { $0 }
    let url = realm.replacing(path: realm.path, query: query.isEmpty ? nil : query.joined(separator: "&"))
    return HTTPRequest(
      .get, url, headers: [("Accept", "application/json")], authorization: Self.direct(credential).header,
      destination: destination, bodyMax: Self.tokenAnswerBytesMax)
  }
}

extension Credential {
  /// For messages: who, never with what.
  var named: String {
    switch self {
    case .anonymous: "anonymous access"
    case .account(let user, _): "the account \"\(ForeignText.escaped(user, lengthMax: 80))\""
    case .apiKey: "the API key"
    }
  }

  var hint: String {
    switch self {
    case .anonymous: "this needs an account or an API key"
    case .account: "check the user name and the password, and whether the account is locked"
    case .apiKey: "check the API key, and whether it has expired"
    }
  }
}
