import Model
import Posix

/// Azure Container Registry. An account (the admin user, a service principal, a repository token) is sent as it is; an
/// API key is a token of Entra ID, which the registry exchanges for a refresh token of its own, or is such a refresh
/// token already.
struct ACRDriver: RegistryDriver {
  private static let pageSize = 1_000
  /// The registry's own is good for three hours.
  private static let refreshTokenLife = Duration.seconds(3_600)

  let session: RegistrySession
  private let refreshToken: RenewableToken

  init(_ session: RegistrySession) {
    self.session = session
    refreshToken = RenewableToken { try await Self.fetchRefreshToken(session) }
  }

  func credential(after refused: WireCredential?) async throws -> WireCredential {
    guard case .apiKey = session.endpoint.credential else { return WireCredential(session.endpoint.credential) }
    if case .identity(let stale) = refused { return .identity(try await refreshToken.renewed(after: stale)) }
    return .identity(try await refreshToken.current())
  }

  /// The registry's own API beside `/v2/`, which takes the same tokens, for what `scope` lets do.
  private func api(_ client: RegistryClient, _ scope: Scope) -> VendorAPI {
    let authenticator = client.authenticator(for: base)
    let token = RenewableToken { try await authenticator.freshToken(for: scope) { try await client.ping(base) } }
    return VendorAPI(session, base, authorization: .token(token))
  }

  // MARK: listing

  func repositories(_ listing: RepositoryListing) async throws {
    let scopes = session.endpoint.vendor.scopes
    try await listing.client.catalog(of: base, pageSize: Self.pageSize, in: listing) { path in
      guard scopes.isEmpty || scopes.contains(where: { path == $0 || path.hasPrefix($0 + "/") }) else { return }
      try await listing.found(path)
    }
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    // Who may pull without an account may still not see the registry's own API.
    if case .anonymous = session.endpoint.credential {
      return try await listing.client.tagsList(of: repository.repository, in: listing)
    }
    try await api(listing.client, .metadata(repository.repository)).pages(
      of: Tags.self, "/acr/v1/\(repository.repository)/_tags", query: "n=\(Self.pageSize)&orderby=timedesc", .link(),
      in: listing
    ) { tag in
      guard tag.changeableAttributes?.readEnabled ?? true else {
        return listing.reject(tag.name, "reading it is disabled in the registry")
      }
      // A tag that moves is updated.
      let pushed = [tag.createdTime?.date, tag.lastUpdateTime?.date].compactMap { $0 }.max()
      try await listing.found(tag.name, digest: tag.digest?.value, pushedAt: pushed)
    }
  }

  // MARK: the connection test

  func examine(_ test: ConnectionTest) async throws {
    if case .anonymous = session.endpoint.credential { return }
    try await test.attempt(
      .rights, hint: "give the service principal the role AcrPull, or the token metadata/read on the repositories"
    ) {
      _ = try await api(test.client, .catalog).send(.get("/acr/v1/_catalog", "n=1"))
      return "the registry's own API at \(base)/acr/v1 may be read"
    }
    if case .apiKey(let key) = session.endpoint.credential {
      let expires = JSONWebToken.claims(of: key)?.expiresAt
      test.add(
        .credential, .ok, expires.map { "the token is good until \($0)" } ?? "the token does not tell its end",
        hint: "nothing renews it: a service principal's id and password last")
    }
    test.add(
      .kinds, .skipped, "which repositories a cache rule fills is told by Azure's management API alone",
      hint: "all count as local; leave cached ones out with a never-pull pattern")
  }

  // MARK: tokens

  private static func fetchRefreshToken(_ session: RegistrySession) async throws -> BearerToken {
    guard case .apiKey(let key) = session.endpoint.credential else { preconditionFailure("no key to exchange") }
    let registry = session.endpoint.url
    let tenant = JSONWebToken.claims(of: key)?.tenant.map { [("tenant", $0)] } ?? []
    let fields =
      [("grant_type", "access_token"), ("service", registry.host)] + tenant + [("access_token", key.revealed)]
    let answer: VendorAPI.Answer
    do {
      answer = try await VendorAPI(session, registry).withoutPermit.send(
        .post("/oauth2/exchange", contentType: formType, Secret(WebAddress.encodedForm(fields))))
    } catch let error as RegistryError where [.unauthorized, .requestRefused].contains(error.code) {
      // No token of Entra ID, then: perhaps the registry's own. If it is not, the token service says so.
      return try BearerToken(key, life: refreshTokenLife, from: registry)
    }
    return try BearerToken(
      Secret(try answer.decode(RefreshToken.self).refreshToken), life: refreshTokenLife, from: registry)
  }

  private static let formType = "application/x-www-form-urlencoded"

  private struct RefreshToken: Decodable {
    let refreshToken: String

    enum CodingKeys: String, CodingKey { case refreshToken = "refresh_token" }
  }

  // MARK: the API's words

  private struct Tags: VendorPage {
    struct Item: VendorItem {
      struct Attributes: Decodable { let readEnabled: Bool? }
      let name: String
      let digest: Loose<String>?
      let createdTime: Loose<String>?
      let lastUpdateTime: Loose<String>?
      let changeableAttributes: Attributes?
      var identity: String { name }
    }
    let tags: Entries<Item>?
    var entries: Entries<Item> { tags ?? .none }
  }
}
