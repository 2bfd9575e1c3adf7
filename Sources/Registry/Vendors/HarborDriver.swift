import Model

/// Harbor 2: repositories by project, tags with digests and both dates in one listing of artifacts. A proxy project is
/// remote (D6). The catalog is the administrators' and is not asked.
struct HarborDriver: RegistryDriver {
  /// What people paste after the address.
  private static let pastedTails = ["/harbor/projects", "/harbor", "/api/v2.0", "/api"]
  private static let pageStyle = PageStyle.numbered(size: 100, totalHeader: "x-total-count")

  let session: RegistrySession
  let base: WebAddress
  private let root: VendorAPI
  private let api: VendorAPI

  init(_ session: RegistrySession) {
    let endpoint = session.endpoint
    self.session = session
    base = endpoint.url.withoutTail(Self.pastedTails)
    let address = (endpoint.vendor.apiURL ?? endpoint.url).withoutTail(Self.pastedTails)
    let authorization = VendorAuthorization(endpoint.credential)
    root = VendorAPI(session, address, authorization: authorization)
    // A project named in digits is a name too.
    api = VendorAPI(
      session, address.replacing(path: address.path + "/api/v2.0"), authorization: authorization,
      headers: [("X-Is-Resource-Name", "true")])
  }

  func repositories(_ listing: RepositoryListing) async throws {
    let scopes = Set(session.endpoint.vendor.scopes)
    var unseen = scopes
    try await api.pages(
      of: Entries<Project>.self, "/projects", query: "with_detail=false", Self.pageStyle, in: listing
    ) { project in
      unseen.remove(project.name)
      guard scopes.isEmpty || scopes.contains(project.name) else { return }
      let kind: RepositoryKind = project.isProxy ? .remote : .local
      guard listing.enters(project.name, kind, repositories: project.repositoryCount?.value) else { return }
      try await listing.tolerating("project \(project.name)") { try await repositories(of: project, kind, listing) }
    }
    for scope in unseen.sorted() {
      listing.summary.setIncomplete("the project \(ForeignText.escaped(scope, lengthMax: 80)) is not visible")
    }
  }

  private func repositories(of project: Project, _ kind: RepositoryKind, _ listing: RepositoryListing) async throws {
    try await api.pages(
      of: Entries<RepositoryItem>.self, "/projects/\(WebAddress.encodedQueryValue(project.name))/repositories",
      Self.pageStyle, in: listing
    ) { try await listing.found($0.name, kind) }
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    let path = repository.repository.path
    guard let slash = path.firstIndex(of: "/") else {
      return try await listing.client.tagsList(of: repository.repository, in: listing)
    }
    // Without the project, and encoded twice: the server before Harbor decodes once.
    let name = WebAddress.encodedQueryValue(WebAddress.encodedQueryValue(String(path[path.index(after: slash)...])))
    let query = "with_tag=true&with_label=false&with_scan_overview=false&with_accessory=true&q=tags%3D*"
    do {
      try await api.pages(
        of: Entries<Artifact>.self, "/projects/\(path[..<slash])/repositories/\(name)/artifacts", query: query,
        Self.pageStyle, in: listing
      ) { artifact in
        for tag in artifact.tags?.value ?? [] {
          try await listing.found(
            tag.name, digest: artifact.digest, pushedAt: tag.pushTime?.date ?? artifact.pushTime?.date,
            createdAt: artifact.createdAt,
            isImage: artifact.type?.value != nil, isOther: !artifact.isImage)
        }
      }
    } catch let error as RegistryError where error.code == .forbidden && listing.summary.pages == 0 {
      // A robot of old that Harbor lets pull and nothing else.
      try await listing.client.tagsList(of: repository.repository, in: listing)
    }
  }

  func examine(_ test: ConnectionTest) async throws {
    let isHarbor = try await test.attempt(
      .vendor, hint: "Harbor 1 is not supported; check the integration's url, and that it is a Harbor's",
      {
        let version = try await root.get(Version.self, "/api/version").version
        let info = try await api.get(SystemInfo.self, "/systeminfo")
        let product = info.version?.value.map { ", Harbor \(ForeignText.escaped($0, lengthMax: 40))" } ?? ""
        return "Harbor's API \(ForeignText.escaped(version, lengthMax: 20)) answers at \(root.base)\(product)"
      })
    guard isHarbor, session.endpoint.credential != .anonymous else { return }
    try await test.attempt(.rights) {
      let count = try await api.send(.get("/projects", "page=1&page_size=1&with_detail=false")).headers["x-total-count"]
      return "\(session.endpoint.credential.named) sees \(count.map { ForeignText.escaped($0) } ?? "its") projects"
    }
  }

  // MARK: what the API says

  private struct Version: Decodable { let version: String }

  private struct SystemInfo: Decodable {
    let version: Loose<String>?
    enum CodingKeys: String, CodingKey { case version = "harbor_version" }
  }

  private struct Project: VendorItem {
    let name: String
    let registryID: Loose<Int>?
    let repositoryCount: Loose<Int>?

    enum CodingKeys: String, CodingKey {
      case name
      case registryID = "registry_id"
      case repositoryCount = "repo_count"
    }

    var identity: String { name }
    var isProxy: Bool { (registryID?.value ?? 0) > 0 }
  }

  private struct RepositoryItem: VendorItem {
    /// With the project.
    let name: String
    var identity: String { name }
  }

  private struct Artifact: VendorItem {
    struct TagItem: Decodable {
      let name: String
      let pushTime: Loose<String>?

      enum CodingKeys: String, CodingKey {
        case name
        case pushTime = "push_time"
      }
    }
    struct Attributes: Decodable { let created: Loose<String>? }

    let digest: String
    let type: Loose<String>?
    let mediaType: Loose<String>?
    let pushTime: Loose<String>?
    let attributes: Loose<Attributes>?
    let tags: Loose<[TagItem]>?

    enum CodingKeys: String, CodingKey {
      case digest, type, tags
      case mediaType = "manifest_media_type"
      case pushTime = "push_time"
      case attributes = "extra_attrs"
    }

    var identity: String { digest }
    var isImage: Bool { (type?.value ?? "IMAGE").uppercased() == "IMAGE" }

    /// An index has the date of one of its children, if any: its platforms' configs are to be read.
    var createdAt: Timestamp? {
      guard let type = mediaType?.value, !MediaType.isIndex(MediaType.normalised(type)) else { return nil }
      return attributes?.value?.created?.date
    }
  }
}
