import Model
import Posix

/// Quay: its API is open to OAuth tokens and, for what is public, to everybody. Users and robots may only use `/v2/`,
/// whose catalog holds what they may pull.
struct QuayDriver: RegistryDriver {
  /// The user name that makes a password an OAuth token.
  static let tokenUser = "$oauthtoken"
  private static let pageSize = 100

  let session: RegistrySession
  let realmHosts: Set<String>
  /// Nil where the credential does not open it.
  private let api: VendorAPI?

  init(_ session: RegistrySession) {
    self.session = session
    let endpoint = session.endpoint
    let address = (endpoint.vendor.apiURL ?? endpoint.url).withoutTail(["/api/v1", "/api", "/repository"])
    realmHosts = [address.host]
    let authorization: VendorAuthorization? =
      switch endpoint.credential {
      case .anonymous: VendorAuthorization.none
      case .apiKey(let token), .account(Self.tokenUser, let token): .header(.bearer(token))
      case .account: nil
      }
    api = authorization.map {
      VendorAPI(session, address.replacing(path: address.path + "/api/v1"), authorization: $0)
    }
  }

  var base: WebAddress { session.endpoint.url.withoutTail(["/api/v1", "/api", "/repository"]) }

  func credential(after refused: WireCredential?) async throws -> WireCredential {
    WireCredential(session.endpoint.credential, keyUser: Self.tokenUser)
  }

  func repositories(_ listing: RepositoryListing) async throws {
    let scopes = session.endpoint.vendor.scopes
    guard let api else { return try await byCatalog(scopes, listing) }
    for namespace in try await scopes.isEmpty ? ownNamespaces(api) : scopes {
      try await listing.tolerating("namespace \(namespace)") {
        let kind = try await kind(of: namespace, api)
        guard listing.enters(namespace, kind) else { return }
        let query =
          "namespace=\(WebAddress.encodedQueryValue(namespace))&last_modified=true&repo_kind=image"
        try await api.pages(
          of: RepositoryPage.self, "/repository", query: query, .token("next_page"), in: listing
        ) { item in
          guard item.isImage else { return listing.foundOther() }
          try await listing.found("\(item.namespace)/\(item.name)", kind)
        }
      }
    }
  }

  /// Those of the token's owner.
  private func ownNamespaces(_ api: VendorAPI) async throws -> [String] {
    let user = try await api.get(User.self, "/user/")
    return [user.username] + (user.organizations?.value ?? []).map(\.name)
  }

  /// An organisation that caches another registry says so to its members; where it does not say, it is local.
  private func kind(of namespace: String, _ api: VendorAPI) async throws -> RepositoryKind {
    do {
      let cache = try await api.get(
        ProxyCache.self, "/organization/\(WebAddress.encodedQueryValue(namespace))/proxycache")
      return (cache.upstream?.value ?? "").isEmpty ? .local : .remote
    } catch let error as RegistryError
      where [.notFound, .forbidden, .unauthorized, .requestRefused].contains(error.code)
    {
      return .local
    }
  }

  /// What users and robots may pull, of the wanted namespaces. Kinds are not told.
  private func byCatalog(_ scopes: [String], _ listing: RepositoryListing) async throws {
    let wanted = Set(scopes)
    try await listing.client.catalog(of: base, in: listing) { name in
      guard wanted.isEmpty || wanted.contains(String(name.prefix { $0 != "/" })) else { return }
      try await listing.found(name)
    }
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    let path = repository.repository.path
    guard let api else { return try await listing.client.tagsList(of: repository.repository, in: listing) }
    try await api.pages(
      of: TagPage.self, "/repository/\(path)/tag/", query: "onlyActiveTags=true",
      .numbered(size: Self.pageSize, sizeName: "limit"), in: listing
    ) { item in
      try await listing.found(
        item.name, digest: item.digest?.value, pushedAt: item.start?.value.map { Timestamp(seconds: $0) })
    }
  }

  func examine(_ test: ConnectionTest) async throws {
    guard let api else {
      return test.add(
        .vendor, .ok,
        "Quay's API is closed to users and robots: what \(session.endpoint.credential.named) may pull is listed by the"
          + " catalog",
        hint: "an OAuth token with repo:read also tells push dates and proxy organisations")
    }
    guard session.endpoint.credential != .anonymous else {
      return test.add(.vendor, .ok, "Quay's API at \(api.base) is asked without a token: it shows public repositories")
    }
    try await test.attempt(.vendor, hint: "give an OAuth token of an organisation's application with repo:read") {
      let scopes = session.endpoint.vendor.scopes
      let namespace = try await scopes.isEmpty ? ownNamespaces(api)[0] : scopes[0]
      let query = "namespace=\(WebAddress.encodedQueryValue(namespace))&last_modified=true&repo_kind=image"
      _ = try await api.send(.get("/repository", query))
      return "Quay's API answers at \(api.base) and accepts \(session.endpoint.credential.named)"
    }
  }

  // MARK: what the API says

  private struct User: Decodable {
    struct Organization: Decodable { let name: String }
    let username: String
    let organizations: Loose<[Organization]>?
  }

  private struct ProxyCache: Decodable {
    let upstream: Loose<String>?
    enum CodingKeys: String, CodingKey { case upstream = "upstream_registry" }
  }

  private struct RepositoryPage: VendorPage {
    let repositories: Entries<RepositoryItem>
    let nextPage: String?

    enum CodingKeys: String, CodingKey {
      case repositories
      case nextPage = "next_page"
    }

    var entries: Entries<RepositoryItem> { repositories }
    var next: String? { nextPage }
  }

  private struct RepositoryItem: VendorItem {
    let namespace: String
    let name: String
    let kind: Loose<String>?
    let state: Loose<String>?

    var identity: String { "\(namespace)/\(name)" }
    /// Mirrors are stored here and count as local.
    var isImage: Bool { (kind?.value ?? "image") == "image" && state?.value != "MARKED_FOR_DELETION" }
  }

  private struct TagPage: VendorPage {
    let tags: Entries<TagItem>
    let additional: Bool?

    enum CodingKeys: String, CodingKey {
      case tags
      case additional = "has_additional"
    }

    var entries: Entries<TagItem> { tags }
    var hasMore: Bool? { additional }
  }

  private struct TagItem: VendorItem {
    let name: String
    let digest: Loose<String>?
    let start: Loose<Int64>?

    enum CodingKeys: String, CodingKey {
      case name
      case digest = "manifest_digest"
      case start = "start_ts"
    }

    var identity: String { name }
  }
}
