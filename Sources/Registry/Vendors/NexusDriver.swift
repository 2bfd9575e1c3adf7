import Model
import Posix

/// Sonatype Nexus Repository 3, at one of three kinds of address: the server's own, whose REST tells every repository key
/// that the account may browse; that of one key on it (`…/repository/KEY`); or a connector, which has nothing but `/v2/`
/// of the one key that the settings name, and no REST unless they name its address too.
///
/// A path begins with the repository key, whichever way it goes on the wire (D9). Nexus lists the components of a whole
/// key by turns, so their tags are held until all have come.
struct NexusDriver: RegistryDriver {
  private static let rest = "/service/rest/v1"

  private enum Site {
    /// Keys are below the server's address.
    case server(WebAddress)
    /// The address is `/v2/` of this key.
    case connector(key: String)
  }

  let session: RegistrySession
  private let site: Site
  private let api: VendorAPI?
  /// Keys that the listing is narrowed to; empty: all there are.
  private let keys: [String]

  init(_ session: RegistrySession) {
    let endpoint = session.endpoint
    self.session = session
    let api: WebAddress?
    if let key = Self.key(in: endpoint.url) {
      let server = endpoint.url.replacing(path: String(endpoint.url.path.dropLast("/repository/\(key)".utf8.count)))
      site = .server(server)
      keys = [key]
      api = endpoint.vendor.apiURL ?? server
    } else if let key = endpoint.vendor.repositoryKeys.first {
      site = .connector(key: key)
      keys = [key]
      api = endpoint.vendor.apiURL
    } else {
      site = .server(endpoint.url)
      keys = endpoint.vendor.scopes
      api = endpoint.vendor.apiURL ?? endpoint.url
    }
    self.api = api.map { VendorAPI(session, $0, authorization: VendorAuthorization(endpoint.credential)) }
  }

  /// The repository key in the address that Nexus shows for a repository.
  private static func key(in url: WebAddress) -> String? {
    let parts = url.path.split(separator: "/")
    guard parts.count >= 2, parts[parts.count - 2] == "repository" else { return nil }
    return String(parts[parts.count - 1])
  }

  var firstContact: WebAddress? {
    guard case .server(let server) = site, let api, server == session.endpoint.url else { return nil }
    return api.address(Self.rest + "/repositories")
  }

  /// An account is sent with every request as it is: a challenge that proxies before Nexus have garbled cannot lead
  /// astray, and where anonymous access is on, no challenge would ever come.
  func credential(after refused: WireCredential?) async throws -> WireCredential {
    guard case .account(let user, let password) = session.endpoint.credential else {
      return WireCredential(session.endpoint.credential)
    }
    return .header(.basic(user: user, password: password))
  }

  func route(for repository: Repository) async throws -> Route {
    let parts = repository.path.split(separator: "/", maxSplits: 1).map(String.init)
    guard parts.count == 2, let name = Repository(parts[1]) else {
      throw RegistryError(
        .notFound, "\(repository) names no image of a repository key", hint: "write it as REPOSITORY-KEY/IMAGE")
    }
    switch site {
    case .server(let server): return Route(Self.base(of: parts[0], on: server), name)
    case .connector(let key):
      guard parts[0] == key else {
        throw RegistryError(
          .notFound, "\(repository) is not behind \(base): that is the connector of \(key)",
          hint: "write it as \(key)/IMAGE")
      }
      return Route(base, name)
    }
  }

  private static func base(of key: String, on server: WebAddress) -> WebAddress {
    server.replacing(path: "\(server.path)/repository/\(key)")
  }

  // MARK: listing

  func repositories(_ listing: RepositoryListing) async throws {
    guard let api else {
      guard case .connector(let key) = site else { return }
      return try await listing.client.catalog(of: base, in: listing) { try await listing.found("\(key)/\($0)") }
    }
    var unseen = Set(keys)
    var wanted: [Key] = []
    for key in try await repositoryKeys(api, listing) {
      unseen.remove(key.name)
      guard key.isDocker, keys.isEmpty || keys.contains(key.name) else { continue }
      if listing.enters(key.name, key.kind) { wanted.append(key) }
    }
    for key in unseen.sorted() {
      listing.summary.setIncomplete(
        "the repository key \(ForeignText.escaped(key, lengthMax: 80)) is not among those that may be browsed")
    }
    for key in wanted {
      try await listing.tolerating("repository key \(key.name)") { try await images(of: key, api, listing) }
    }
  }

  private func repositoryKeys(_ api: VendorAPI, _ listing: some Listing) async throws -> [Key] {
    var keys: [Key] = []
    do {
      try await api.pages(of: Entries<Key>.self, Self.rest + "/repositories", .link(), in: listing) { keys.append($0) }
    } catch let error as RegistryError where error.code == .notFound {
      throw error.recoded(
        .notFound, error.message, hint: "if the address is a connector's, give the key behind it with --repository-key")
    }
    return keys
  }

  private func images(of key: Key, _ api: VendorAPI, _ listing: RepositoryListing) async throws {
    var gathering = RepositoryGathering()
    try await api.pages(
      of: Components.self, Self.rest + "/components",
      query: "repository=\(WebAddress.encodedQueryValue(key.name))", .token("continuationToken"), in: listing
    ) { component in
      // What was pushed without a tag has its digest for a version.
      guard let version = component.version, Digest(version) == nil else { return }
      let path = "\(key.name)/\(component.name)"
      guard let tag = Tag(version) else { return listing.reject("\(path):\(version)", "not a tag") }
      let manifest = component.manifest
      let listed = ListedTag(
        tag, digest: manifest?.digest, pushedAt: manifest?.uploadedAt)
      for early in gathering.add(path, listed) { try await listing.found(early, key.kind) }
    }
    for (path, tags) in gathering.rest() { try await listing.found(path, key.kind, held: tags) }
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    if let held = repository.held { return try await listing.found(held) }
    try await listing.client.tagsList(of: repository.repository, in: listing)
  }

  // MARK: the connection test

  func examine(_ test: ConnectionTest) async throws {
    guard let api else {
      test.add(
        .vendor, .skipped,
        "Nexus's REST is not at a connector's address: whether its repository is hosted is not known",
        hint: "give the server's own address with --api-url")
      return
    }
    var keys: [Key] = []
    do {
      let answer = try await api.send(.get(Self.rest + "/repositories"))
      keys = try answer.decode(Entries<Key>.self).items.filter(\.isDocker)
      let server = answer.headers["server"].map { " (\(ForeignText.escaped($0, lengthMax: 60)))" } ?? ""
      if firstContact != nil {
        test.add(
          .authentication, .ok, "Nexus accepts \(session.endpoint.credential.named)")
      }
      test.add(.vendor, .ok, "Nexus's REST answers at \(api.base)\(Self.rest)\(server)")
    } catch let error as RegistryError {
      test.add(
        error.code == .unauthorized && firstContact != nil ? .authentication : .vendor, .failed, error.message,
        hint: error.code == .notFound
          ? "if the address is a connector's, give the key behind it with --repository-key" : error.advice)
      return
    }
    guard let readable = keys.first(where: { $0.kind == .local }) else {
      test.add(
        .rights, .failed, "no hosted docker repository may be browsed",
        hint: "give the account nx-repository-view-docker-*-browse and nx-repository-view-docker-*-read")
      return
    }
    try await examine(readable, test)
  }

  /// Browsing, which lists, and reading, which pulls, are two rights.
  private func examine(_ key: Key, _ test: ConnectionTest) async throws {
    let name = ForeignText.escaped(key.name, lengthMax: 80)
    if case .server(let server) = site, firstContact != nil {
      let base = Self.base(of: key.name, on: server)
      try await test.attempt(.api) {
        let answer = try await test.client.perform(
          RegistryClient.Call(.get, base, "", scope: nil, bodyMax: RegistryClient.pingBytesMax))
        guard answer.status == 200 else { throw answer.error }
        return "the distribution API of \(name) answers at \(base)/v2/"
      }
    }
    try await test.attempt(.rights, hint: "give the account nx-repository-view-docker-*-browse") {
      let query = "repository=\(WebAddress.encodedQueryValue(key.name))"
      _ = try await api?.send(.get(Self.rest + "/components", query))
      return "the components of \(name) can be listed"
    }
  }

  // MARK: the API's words

  /// A repository in Nexus's speech: an area that holds many images.
  private struct Key: VendorItem {
    let name: String
    let format: String
    let type: String
    var identity: String { name }

    var isDocker: Bool { format == "docker" }

    var kind: RepositoryKind {
      switch type {
      case "proxy": .remote
      case "group": .virtual
      default: .local
      }
    }
  }

  private struct Components: VendorPage {
    let items: Entries<Component>?
    let continuationToken: String?
    var entries: Entries<Component> { items ?? .none }
    var next: String? { continuationToken }
  }

  private struct Component: VendorItem {
    let id: String
    /// The image.
    let name: String
    /// The tag.
    let version: String?
    let assets: [Asset]?
    var identity: String { id }

    var manifest: Asset? { assets?.first { $0.path?.value?.contains("/manifests/") ?? false } ?? assets?.first }
  }

  private struct Asset: Decodable {
    struct Checksum: Decodable { let sha256: Loose<String>? }
    let path: Loose<String>?
    let checksum: Checksum?
    let lastModified: Loose<String>?
    let blobCreated: Loose<String>?

    var digest: Digest? { checksum?.sha256?.value.flatMap { Digest("sha256:" + $0) } }

    /// Both are dates of upload; which of them a new push moves has changed over the versions.
    var uploadedAt: Timestamp? { [lastModified?.date, blobCreated?.date].compactMap { $0 }.max() }
  }
}
