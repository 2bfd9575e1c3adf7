import Model
import Posix

/// GitLab: repositories and tags by the API of GitLab itself, on another address than its registry. A token opens both;
/// a user's password opens the registry alone.
struct GitLabDriver: RegistryDriver {
  /// Any user name goes with the token of a project or group.
  private static let tokenUser = "tidewaiter"
  private static let pageSize = 100
  private static let numbered = PageStyle.numbered(size: pageSize, sizeName: "per_page", totalHeader: "x-total")
  /// Links name GitLab by its external address, whatever the one we ask.
  private static let linked = PageStyle.link(sameOrigin: false, totalHeader: "x-total")

  let session: RegistrySession
  let realmHosts: Set<String>
  private let api: VendorAPI

  init(_ session: RegistrySession) {
    self.session = session
    let endpoint = session.endpoint
    let address = (endpoint.vendor.apiURL ?? endpoint.url).withoutTail(["/api/v4", "/api"])
    realmHosts = [address.host]
    let authorization: VendorAuthorization =
      switch endpoint.credential {
      case .anonymous: .none
      // A password that is a token opens the API too.
      case .account(_, let secret), .apiKey(let secret): .header(SecretHeader("PRIVATE-TOKEN", secret))
      }
    api = VendorAPI(session, address.replacing(path: address.path + "/api/v4"), authorization: authorization)
  }

  func credential(after refused: WireCredential?) async throws -> WireCredential {
    WireCredential(session.endpoint.credential, keyUser: Self.tokenUser)
  }

  // MARK: repositories

  func repositories(_ listing: RepositoryListing) async throws {
    let scopes = session.endpoint.vendor.scopes
    if let closed = try await closure() {
      guard !scopes.isEmpty else {
        throw closed.recoded(
          closed.code, "GitLab's API is closed to \(session.endpoint.credential.named): \(closed.message)",
          hint: "give a token with read_api and read_registry; with read_registry alone name the projects as scopes")
      }
      return try await byName(scopes, listing)
    }
    if scopes.isEmpty { return try await projects(listing) { _ in true } }
    for scope in scopes {
      try await listing.tolerating("scope \(scope)") { try await repositories(in: scope, listing) }
    }
  }

  /// What GitLab says when its API is not for this credential; nil when it is.
  private func closure() async throws -> RegistryError? {
    if session.endpoint.credential == .anonymous { return nil }
    do {
      _ = try await api.send(.get("/projects", "membership=true&per_page=1"))
      return nil
    } catch let error as RegistryError where error.code == .unauthorized || error.code == .forbidden {
      return error
    }
  }

  /// A scope is a group, a project, or the name space of a user, in this order.
  private func repositories(in scope: String, _ listing: RepositoryListing) async throws {
    let id = WebAddress.encodedQueryValue(scope)
    do {
      return try await registry(of: "/groups/\(id)", listing)
    } catch let error as RegistryError where error.code == .notFound {}
    do {
      return try await registry(of: "/projects/\(id)", listing)
    } catch let error as RegistryError where error.code == .notFound {}
    let prefix = scope.lowercased() + "/"
    var count = 0
    try await projects(listing) { project in
      guard project.path?.value?.lowercased().hasPrefix(prefix) == true else { return false }
      count += 1
      return true
    }
    if count == 0 {
      listing.summary.setIncomplete(
        "\(ForeignText.escaped(scope, lengthMax: 80)) is no group or project that \(session.endpoint.credential.named)"
          + " sees")
    }
  }

  /// The registries of all projects that the token's owner is a member of.
  private func projects(_ listing: RepositoryListing, where isWanted: (Project) -> Bool) async throws {
    let query = "membership=true&pagination=keyset&order_by=id&sort=asc&per_page=\(Self.pageSize)"
    try await api.pages(of: Entries<Project>.self, "/projects", query: query, Self.linked, in: listing) { project in
      guard project.hasRegistry, isWanted(project) else { return }
      try await listing.tolerating("project \(project.path?.value ?? String(project.id))") {
        do {
          try await registry(of: "/projects/\(project.id)", listing)
        } catch let error as RegistryError where error.code == .notFound {
          // Its registry is switched off.
        }
      }
    }
  }

  private func registry(of part: String, _ listing: RepositoryListing) async throws {
    try await api.pages(
      of: Entries<RepositoryItem>.self, part + "/registry/repositories", Self.numbered, in: listing
    ) { item in
      // A status means that it is being deleted.
      guard item.status?.value == nil else { return listing.foundOther() }
      try await listing.found(
        item.path.lowercased(),
        handle: "\(item.project)/registry/repositories/\(item.id)")
    }
  }

  /// Without the API: the scopes as the names of projects, each of which has a repository of its own name.
  private func byName(_ scopes: [String], _ listing: RepositoryListing) async throws {
    for scope in scopes {
      guard let repository = Repository(scope.lowercased()) else {
        listing.reject(scope, "not a repository name")
        continue
      }
      try await listing.tolerating(scope) {
        let tags = TagListing(listing.client) { _ in }
        try await listing.client.tagsList(of: repository, in: tags)
        if tags.summary.accepted > 0 { try await listing.found(repository.path) }
      }
    }
    listing.summary.setIncomplete(
      "GitLab's API is closed to \(session.endpoint.credential.named): only repositories named as the scopes were"
        + " looked for")
  }

  // MARK: tags

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    guard let handle = repository.handle else {
      return try await listing.client.tagsList(of: repository.repository, in: listing)
    }
    try await api.pages(
      of: Entries<TagItem>.self, "/projects/\(handle)/tags", query: "per_page=\(Self.pageSize)", Self.linked,
      in: listing
    ) { try await listing.found($0.name) }
  }

  /// Digest and build date, of which the listing says nothing. Null for what GitLab itself could not read.
  func details(of tag: Tag, in repository: ListedRepository) async throws -> ListedTag? {
    guard let handle = repository.handle else { return nil }
    let item = try await api.get(TagDetails.self, "/projects/\(handle)/tags/\(tag.name)")
    // Only the config of an image has such a date.
    return ListedTag(
      tag, digest: item.digest?.value.flatMap { Digest($0) }, createdAt: item.createdAt?.date,
      isImage: item.createdAt?.date != nil)
  }

  // MARK: the test

  func examine(_ test: ConnectionTest) async throws {
    guard session.endpoint.credential != .anonymous else {
      return test.add(.vendor, .ok, "GitLab at \(api.base.origin) is asked without a token: it shows public projects")
    }
    try await test.attempt(
      .vendor,
      hint: "GitLab's API takes a token with read_api, never a user's password; check the integration's api url too",
      {
        if let closed = try await closure() { throw closed }
        return "GitLab's API answers at \(api.base) and accepts \(session.endpoint.credential.named) (read_api)"
      })
  }

  // MARK: what the API says

  private struct Project: VendorItem {
    let id: Int
    let path: Loose<String>?
    let isRegistryEnabled: Loose<Bool>?
    let registryAccess: Loose<String>?

    enum CodingKeys: String, CodingKey {
      case id
      case path = "path_with_namespace"
      case isRegistryEnabled = "container_registry_enabled"
      case registryAccess = "container_registry_access_level"
    }

    var identity: String { String(id) }
    var hasRegistry: Bool { registryAccess?.value.map { $0 != "disabled" } ?? isRegistryEnabled?.value ?? true }
  }

  private struct RepositoryItem: VendorItem {
    let id: Int
    let project: Int
    let path: String
    let status: Loose<String>?

    enum CodingKeys: String, CodingKey {
      case id, path, status
      case project = "project_id"
    }

    var identity: String { String(id) }
  }

  private struct TagItem: VendorItem {
    let name: String
    var identity: String { name }
  }

  private struct TagDetails: Decodable {
    let digest: Loose<String>?
    let createdAt: Loose<String>?

    enum CodingKeys: String, CodingKey {
      case digest
      case createdAt = "created_at"
    }
  }
}
