import FoundationEssentials
import Model
import Posix

/// Docker Hub: three hosts, two kinds of token. Its catalog is closed, so repositories are listed namespace by namespace
/// by the API of hub.docker.com; manifests and blobs come from registry-1.docker.io with tokens from auth.docker.io.
struct DockerHubDriver: RegistryDriver {
  static let registryHost = "registry-1.docker.io"
  private static let apiHost = "hub.docker.com"
  /// All the names by which people mean Docker Hub.
  private static let hubHosts: Set = ["docker.io", "index.docker.io", registryHost, apiHost, "www.docker.com"]
  /// The API's tokens live ten minutes and do not say so.
  private static let tokenLife = Duration.seconds(9 * 60)
  private static let pageSize = 100

  let session: RegistrySession
  let base: WebAddress
  let realmHosts: Set = ["auth.docker.io"]
  private let api: VendorAPI

  init(_ session: RegistrySession) {
    let endpoint = session.endpoint
    self.session = session
    base = Self.hubHosts.contains(endpoint.url.host) ? WebAddress(https: Self.registryHost) : endpoint.url
    var api = VendorAPI(session, endpoint.vendor.apiURL ?? WebAddress(https: Self.apiHost))
    if case .account(let user, let password) = endpoint.credential {
      let login = api
      api.authorization = .token(RenewableToken { try await Self.logIn(login, user, password) })
    }
    self.api = api
  }

  func credential(after refused: WireCredential?) async throws -> WireCredential {
    try checkCredential()
    return WireCredential(session.endpoint.credential)
  }

  /// Official images are written without their namespace, `library`.
  func route(for repository: Repository) async throws -> Route { Route(base, Self.namespaced(repository)) }

  func repositories(_ listing: RepositoryListing) async throws {
    try checkCredential()
    for namespace in try namespaces() {
      try await listing.tolerating("namespace \(namespace)") {
        try await api.pages(
          of: Page<RepositoryItem>.self, "/v2/namespaces/\(WebAddress.encodedQueryValue(namespace))/repositories",
          query: "page=1&page_size=\(Self.pageSize)", .address, in: listing
        ) { item in
          guard item.isImage else { return listing.foundOther() }
          try await listing.found("\(namespace)/\(item.name)")
        }
      }
    }
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    let path = Self.namespaced(repository.repository).path
    guard let slash = path.firstIndex(of: "/") else { return }
    let name = WebAddress.encodedQueryValue(String(path[path.index(after: slash)...]))
    try await api.pages(
      of: Page<TagItem>.self, "/v2/namespaces/\(path[..<slash])/repositories/\(name)/tags",
      query: "page=1&page_size=\(Self.pageSize)", .address, in: listing
    ) { item in
      try await listing.found(
        item.name, digest: item.digest?.value, pushedAt: item.lastPushed?.date ?? item.lastUpdated?.date,
        isImage: item.contentType?.value != nil, isOther: !item.isImage)
    }
  }

  func examine(_ test: ConnectionTest) async throws {
    guard case .account = session.endpoint.credential else {
      return test.add(.vendor, .ok, "\(api.base.host) is asked without an account: it shows public repositories")
    }
    try await test.attempt(.vendor) {
      let namespaces = try namespaces()
      // The first namespace tells whether the login works and what it opens.
      let answer = try await api.send(
        .get(
          "/v2/namespaces/\(WebAddress.encodedQueryValue(namespaces.first ?? ""))/repositories",
          "page=1&page_size=\(Self.pageSize)"))
      let page = try answer.decode(Page<RepositoryItem>.self)
      let count = page.entries.items.count { $0.isPrivate?.value == true }
      return "\(api.base.host) accepts \(session.endpoint.credential.named)"
        + (count == 0
          ? "; no private repository is visible (an organisation's access token needs the scope to list repositories)"
          : "; private repositories are visible")
    }
  }

  // MARK: who and where

  /// A key alone says nothing to Docker Hub.
  private func checkCredential() throws(RegistryError) {
    guard case .apiKey = session.endpoint.credential else { return }
    throw RegistryError(
      .unauthorized, "Docker Hub takes an access token only together with a user name",
      hint: "give the user's or the organisation's name with --username")
  }

  private func namespaces() throws(RegistryError) -> [String] {
    let scopes = session.endpoint.vendor.scopes.map { $0.lowercased() }
    if !scopes.isEmpty { return scopes }
    if case .account(let user, _) = session.endpoint.credential { return [user.lowercased()] }
    throw RegistryError(
      .requestRefused, "Docker Hub lists repositories by namespace, and none is known",
      hint: "name the namespaces with --scope")
  }

  private static func namespaced(_ repository: Repository) -> Repository {
    guard !repository.path.contains("/") else { return repository }
    return Repository("library/" + repository.path) ?? repository
  }

  private static func logIn(_ api: VendorAPI, _ user: String, _ password: Secret) async throws -> BearerToken {
    let body = try JSONEncoder().encode(["identifier": user, "secret": password.revealed])
    do {
      let answer = try await api.send(.post("/v2/auth/token", nil, Secret(body)))
      let token = try BearerToken(answer: answer.response.body, from: api.base, receivedAt: .now)
      return try BearerToken(token.token, life: tokenLife, from: api.base)
    } catch let error as RegistryError where error.code == .unauthorized {
      throw error.recoded(
        .unauthorized, error.message,
        hint: "check the user name and the password or access token; an account with two-factor login or single sign-on"
          + " needs an access token")
    }
  }

  // MARK: what the API says

  private struct Page<Item: VendorItem>: VendorPage {
    let results: Entries<Item>
    let count: Loose<Int>?
    let next: String?

    var entries: Entries<Item> { results }
    var total: Int? { count?.value }
  }

  private struct RepositoryItem: VendorItem {
    let name: String
    let type: Loose<String>?
    let contentTypes: Loose<[String]>?
    let isPrivate: Loose<Bool>?

    enum CodingKeys: String, CodingKey {
      case name
      case type = "repository_type"
      case contentTypes = "content_types"
      case isPrivate = "is_private"
    }

    var identity: String { name }

    /// Old entries say nothing of their type.
    var isImage: Bool {
      let types = contentTypes?.value ?? []
      return (type?.value ?? "image") == "image" && (types.isEmpty || types.contains("image"))
    }
  }

  private struct TagItem: VendorItem {
    let name: String
    let digest: Loose<String>?
    let contentType: Loose<String>?
    let lastPushed: Loose<String>?
    let lastUpdated: Loose<String>?

    enum CodingKeys: String, CodingKey {
      case name, digest
      case contentType = "content_type"
      case lastPushed = "tag_last_pushed"
      case lastUpdated = "last_updated"
    }

    var identity: String { name }
    var isImage: Bool { (contentType?.value ?? "image") == "image" }
  }
}
