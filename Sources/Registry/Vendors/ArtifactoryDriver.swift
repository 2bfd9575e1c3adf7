import Model
import Posix
import Synchronization

/// JFrog Artifactory by repository path, subdomain or port (D1). The access method says how images are pulled and what
/// their addresses look like; what there is, is listed by Artifactory's own API wherever that can be reached.
///
/// A path begins with the repository key, whichever way it goes on the wire (D9).
struct ArtifactoryDriver: RegistryDriver {
  let session: RegistrySession
  /// The server, without a repository key.
  let base: WebAddress
  private let site: Discovery<ArtifactorySite>
  private let access: RepositoryAccess
  /// Keys that the listing is narrowed to; empty: all there are.
  private let keys: Set<String>
  private let state = State()

  private final class State: Sendable {
    /// Whether the query language is closed to us, as to anonymous visitors and in free editions.
    let refusesSearches = Mutex(false)
    /// The other kind of header for a key, once the first was refused.
    let other = Mutex<SecretHeader?>(nil)
  }

  init(_ session: RegistrySession) {
    let endpoint = session.endpoint
    let (root, key) = Self.split(endpoint.url, endpoint.vendor.repositoryAccess)
    self.session = session
    base = root
    access = endpoint.vendor.repositoryAccess
    keys = Set(key.map { [$0] } ?? endpoint.vendor.scopes + endpoint.vendor.repositoryKeys)
    site = Discovery { try await ArtifactorySite.find(session, at: root) }
  }

  /// The server's address and the repository key that a user may have written after it.
  private static func split(_ url: WebAddress, _ access: RepositoryAccess) -> (root: WebAddress, key: String?) {
    let parts = url.path.split(separator: "/").map(String.init)
    func root(_ count: Int) -> WebAddress { url.replacing(path: parts.prefix(count).map { "/" + $0 }.joined()) }
    if let product = parts.lastIndex(of: "artifactory") {
      let native = Array(parts[(product + 1)...])
      return (root(product), native.starts(with: ["api", "docker"]) && native.count > 2 ? native[2] : nil)
    }
    guard access == .repositoryPath, let key = parts.last else { return (url, nil) }
    return (root(parts.count - 1), key)
  }

  var firstContact: WebAddress? {
    access == .subdomain ? base.replacing(path: base.path + "/artifactory/api/system/ping") : nil
  }

  /// Sent with every request as it is: where anonymous access is on, no challenge ever comes, and the scope in one may
  /// or may not hold the key.
  func credential(after refused: WireCredential?) async throws -> WireCredential {
    guard case .apiKey = session.endpoint.credential else {
      return ArtifactorySite.headers(for: session.endpoint.credential).first.flatMap { $0 }.map { .header($0) }
        ?? .anonymous
    }
    let site = try await site.value()
    guard let first = site.header else { return .anonymous }
    if site.api == nil, case .header(first) = refused {
      let other = ArtifactorySite.headers(for: session.endpoint.credential).compactMap { $0 }.first { $0 != first }
      state.other.withLock { $0 = other }
    }
    return .header(state.other.withLock { $0 } ?? first)
  }

  func route(for repository: Repository) async throws -> Route {
    let parts = repository.path.split(separator: "/", maxSplits: 1).map(String.init)
    guard parts.count == 2, let image = Repository(parts[1]) else {
      throw RegistryError(
        .notFound, "\(repository) names no image of a repository key", hint: "write it as REPOSITORY-KEY/IMAGE")
    }
    if access == .repositoryPath { return Route(base, repository) }
    let site = try await site.value()
    guard site.key == nil || site.key == parts[0] else {
      throw RegistryError(
        .notFound, "\(repository) is not behind \(base.origin): that is \(site.key ?? "") alone",
        hint: "write it as \(site.key ?? "")/IMAGE")
    }
    return Route(address(of: parts[0], site), image)
  }

  /// What `/v2/` of a key follows, by subdomain or port.
  private func address(of key: String, _ site: ArtifactorySite) -> WebAddress {
    access == .port || site.key != nil ? base : base.replacing(host: "\(key).\(site.parentHost)")
  }

  // MARK: repositories

  func repositories(_ listing: RepositoryListing) async throws {
    let site = try await site.value()
    state.refusesSearches.withLock { $0 = false }
    guard let api = site.api else { return try await distributionCatalog(site, listing) }
    let narrowed = site.key.map { [$0] } ?? keys
    var unseen = narrowed
    var wanted: [ArtifactoryKey] = []
    try await api.withPermit.pages(
      of: Entries<ArtifactoryKey>.self, "/api/repositories", .link(), in: listing
    ) { key in
      guard narrowed.isEmpty || narrowed.contains(key.key) else { return }
      unseen.remove(key.key)
      if key.holdsImages, listing.enters(key.key, key.kind) { wanted.append(key) }
    }
    for key in unseen.sorted() {
      listing.summary.setIncomplete(
        "the repository key \(ForeignText.escaped(key, lengthMax: 80)) is not among those that may be read")
    }
    for key in wanted {
      try await listing.tolerating("repository key \(key.key)") {
        try await images(of: key, api.withPermit, site, listing)
      }
    }
  }

  private func images(
    of key: ArtifactoryKey, _ api: VendorAPI, _ site: ArtifactorySite, _ listing: RepositoryListing
  ) async throws {
    guard Repository(key.key) != nil else { return listing.reject(key.key, "no image's name can begin with this key") }
    // The catalog of a remote key would be its upstream's: what is here already is in its cache.
    if key.kind == .remote { return try await cachedImages(of: key, api, listing) }
    // Where the address is that of one key, its catalog is there too; the native path leads to every key.
    let place = site.key == nil ? api.address("/api/docker/\(key.key)") : base
    try await listing.client.catalog(of: place, last: .count, in: listing) {
      try await listing.found("\(key.key)/\($0)", key.kind)
    }
  }

  private func cachedImages(of key: ArtifactoryKey, _ api: VendorAPI, _ listing: RepositoryListing) async throws {
    let search = ArtifactorySearch(key: key.key + "-cache", image: nil)
    var gathering = RepositoryGathering()
    try await api.pages(of: ArtifactorySearch.Page.self, .token("offset"), in: listing, request: search.request) {
      item in
      guard let (image, tag) = item.place else { return }
      for path in gathering.add("\(key.key)/\(image)", item.listed(as: tag)) {
        try await listing.found(path, key.kind)
      }
    }
    for (path, tags) in gathering.rest() { try await listing.found(path, key.kind, held: tags) }
  }

  /// Without Artifactory's own API.
  private func distributionCatalog(_ site: ArtifactorySite, _ listing: RepositoryListing) async throws {
    if access != .repositoryPath, site.key == nil {
      throw RegistryError(
        .requestRefused,
        "Artifactory's own API cannot be reached from \(base), and nothing else tells the repository key",
        hint: "give the key with --repository-key, or Artifactory's address with --api-url")
    }
    try await listing.client.catalog(of: base, last: .count, in: listing) { name in
      if let key = site.key, access != .repositoryPath {
        try await listing.found("\(key)/\(name)")
      } else if keys.isEmpty || keys.contains(where: { name.hasPrefix($0 + "/") }) {
        try await listing.found(name)
      }
    }
  }

  // MARK: tags

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    if let held = repository.held { return try await listing.found(held) }
    let parts = repository.repository.path.split(separator: "/", maxSplits: 1).map(String.init)
    if parts.count == 2, let api = try await site.value().api, session.endpoint.credential != .anonymous,
      !state.refusesSearches.withLock({ $0 })
    {
      do {
        if try await searchedTags(key: parts[0], image: parts[1], api.withPermit, listing) { return }
      } catch let error as RegistryError where [.forbidden, .requestRefused, .notFound].contains(error.code) {
        state.refusesSearches.withLock { $0 = true }
      }
    }
    try await listing.client.tagsList(
      of: repository.repository, pageSize: ArtifactorySearch.pageSize, last: .count, in: listing)
  }

  /// Whether anything was found: a search sees nothing in a remote key, and nothing that the index has not taken up yet.
  private func searchedTags(
    key: String, image: String, _ api: VendorAPI, _ listing: TagListing
  ) async throws -> Bool {
    var found: [String: ListedTag] = [:]
    let search = ArtifactorySearch(key: key, image: image)
    try await api.pages(of: ArtifactorySearch.Page.self, .token("offset"), in: listing, request: search.request) {
      item in
      // The pattern also finds what is deeper.
      guard let place = item.place, place.image == image else { return }
      let tag = item.listed(as: place.tag)
      // A tag that was an image and became an index may have both files: the newer one is it.
      if let other = found[place.tag.name], (other.pushedAt ?? .earliest) > (tag.pushedAt ?? .earliest) { return }
      found[place.tag.name] = tag
    }
    for (_, tag) in found.sorted(by: { $0.key < $1.key }) { try await listing.found(tag) }
    return !found.isEmpty
  }

  // MARK: the connection test

  func examine(_ test: ConnectionTest) async throws {
    let site: ArtifactorySite
    do {
      site = try await self.site.value()
    } catch let error as RegistryError {
      let isRefusal = error.code == .unauthorized || error.code == .forbidden
      test.add(isRefusal ? .authentication : .vendor, .failed, error.message, hint: error.advice)
      return
    }
    let name = session.endpoint.credential.named
    if access == .subdomain {
      test.add(.authentication, site.api == nil ? .skipped : .ok, "Artifactory answers to \(name)")
    }
    guard let api = site.api else {
      test.add(
        .vendor, .skipped,
        "Artifactory's own API cannot be reached from \(base): whether a repository is local is not known",
        hint: "give Artifactory's address with --api-url")
      return
    }
    test.add(.vendor, .ok, "\(site.version ?? "Artifactory") answers at \(api.base)")
    if case .apiKey(let key) = session.endpoint.credential { examine(key, site, test) }
    var first: ArtifactoryKey?
    try await test.attempt(.rights, hint: "give the account the right to read a local docker repository") {
      let all = try await api.withPermit.get(Entries<ArtifactoryKey>.self, "/api/repositories").items
      first = all.first { $0.holdsImages && $0.kind == .local && (site.key ?? $0.key) == $0.key }
      guard let first else { throw RegistryError(.forbidden, "no local docker repository may be read") }
      return "\(ForeignText.escaped(first.key, lengthMax: 80)) may be read"
    }
    guard let first else { return }
    try await examine(first, api.withPermit, site, test)
  }

  private func examine(_ secret: Secret, _ site: ArtifactorySite, _ test: ConnectionTest) {
    if site.header?.name != "Authorization" {
      test.add(
        .credential, .ok, "the secret is taken as an API key",
        hint: "JFrog is giving up API keys: an access token lasts")
    } else {
      let expires = JSONWebToken.claims(of: secret)?.expiresAt
      test.add(
        .credential, .ok,
        "the secret is taken as a token" + (expires.map { ", good until \($0)" } ?? "; it does not tell its end"))
    }
  }

  private func examine(
    _ key: ArtifactoryKey, _ api: VendorAPI, _ site: ArtifactorySite, _ test: ConnectionTest
  ) async throws {
    if access == .subdomain {
      let there = address(of: key.key, site)
      try await test.attempt(.api, hint: "each repository key needs a name of its own before \(site.parentHost) in DNS")
      {
        let answer = try await test.client.perform(
          RegistryClient.Call(.get, there, "", scope: nil, bodyMax: RegistryClient.pingBytesMax))
        guard answer.status == 200 else { throw answer.error }
        return "the distribution API of \(key.key) answers at \(there)/v2/"
      }
    }
    guard session.endpoint.credential != .anonymous else { return }
    do {
      _ = try await api.send(ArtifactorySearch(key: key.key, image: "tidewaiter").request(.first))
      test.add(.rights, .ok, "tags and their dates can be searched for")
    } catch let error as RegistryError {
      test.add(
        .rights, .skipped, error.message,
        hint: "without searches the digest and date of each tag cost a request; they need a paid edition")
    }
  }
}
