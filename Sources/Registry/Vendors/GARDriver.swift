import Model
import Posix

/// Google Artifact Registry, and what is left of gcr.io: the first is listed by Google's API for the projects in the
/// scope (`PROJECT`, or `PROJECT/REPOSITORY` for one repository of it), the second by its catalog.
///
/// A path is `PROJECT/REPOSITORY/IMAGE` as in image names. Google lists the images of a whole repository by turns, so
/// their tags are held until all have come.
struct GARDriver: RegistryDriver {
  private static let pageSize = 1_000
  private static let hostSuffix = "-docker.pkg.dev"

  let session: RegistrySession
  private let accessToken: RenewableToken

  init(_ session: RegistrySession) {
    self.session = session
    accessToken = RenewableToken { try await Self.fetchAccessToken(session) }
  }

  /// The key file is a password.
  func credential(after refused: WireCredential?) async throws -> WireCredential {
    guard case .apiKey(let file) = session.endpoint.credential else {
      return WireCredential(session.endpoint.credential)
    }
    return .basic(user: "_json_key", password: file)
  }

  private var api: VendorAPI {
    let authorization: VendorAuthorization =
      if case .apiKey = session.endpoint.credential { .token(accessToken) } else { .none }
    return VendorAPI(
      session, session.endpoint.vendor.apiURL ?? WebAddress(https: "artifactregistry.googleapis.com"),
      authorization: authorization)
  }

  private var hasCatalog: Bool { base.host == "gcr.io" || base.host.hasSuffix(".gcr.io") }

  // MARK: repositories

  /// What a scope narrows the listing to.
  private struct Narrowing {
    let project: String
    let repository: String?

    /// A project of a domain, `example.com:p`, is `example.com/p` in image names.
    var path: String { project.split(separator: ":").joined(separator: "/") }

    init(_ text: String) {
      let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
      project = parts.first ?? text
      repository = parts.count > 1 ? parts[1] : nil
    }
  }

  func repositories(_ listing: RepositoryListing) async throws {
    let scopes = session.endpoint.vendor.scopes.map { Narrowing($0) }
    if hasCatalog { return try await catalog(scopes, listing) }
    let location = try location()
    for scope in scopes {
      try await listing.tolerating(scope.project) {
        var areas: [Area] = []
        var isSeen = scope.repository == nil
        try await api.pages(
          of: Areas.self, Self.areas(of: scope.project, in: location), query: "pageSize=\(Self.pageSize)",
          .token("pageToken"), in: listing
        ) { area in
          guard area.format == "DOCKER", scope.repository == nil || area.id == scope.repository else { return }
          isSeen = true
          if listing.enters("\(scope.path)/\(area.id)", area.kind) { areas.append(area) }
        }
        if !isSeen {
          listing.summary.setIncomplete(
            "\(scope.path)/\(ForeignText.escaped(scope.repository ?? "", lengthMax: 80)) is not visible")
        }
        for area in areas {
          let path = "\(scope.path)/\(area.id)"
          try await listing.tolerating(path) { try await images(in: area, under: path, listing) }
        }
      }
    }
  }

  private func images(in area: Area, under path: String, _ listing: RepositoryListing) async throws {
    var gathering = RepositoryGathering()
    try await api.pages(
      of: Images.self, "/v1/\(area.name)/dockerImages", query: "pageSize=\(Self.pageSize)", .token("pageToken"),
      in: listing
    ) { image in
      guard let (name, digest) = image.parts else { return listing.reject(image.name, "not an image's name") }
      var full = gathering.add("\(path)/\(name)", nil)
      for text in image.tags ?? [] {
        guard let tag = Tag(text) else {
          listing.reject(text, "not a tag")
          continue
        }
        full += gathering.add(
          "\(path)/\(name)",
          ListedTag(
            tag, digest: Digest(digest), pushedAt: image.uploadTime?.date, createdAt: image.buildTime?.date))
      }
      for path in full { try await listing.found(path, area.kind) }
    }
    for (path, tags) in gathering.rest() { try await listing.found(path, area.kind, held: tags) }
  }

  private func catalog(_ scopes: [Narrowing], _ listing: RepositoryListing) async throws {
    try await listing.client.catalog(of: base, in: listing) { path in
      guard scopes.isEmpty || scopes.contains(where: { path.hasPrefix($0.path + "/") }) else { return }
      try await listing.found(path)
    }
  }

  private func location() throws(RegistryError) -> String {
    let host = base.host
    let told = host.hasSuffix(Self.hostSuffix) ? String(host.dropLast(Self.hostSuffix.count)) : nil
    guard let location = session.endpoint.vendor.region ?? told, !location.isEmpty,
      location.utf8.allSatisfy({ $0 == 0x2d || (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) })
    else {
      throw RegistryError(
        .requestRefused, "the location of the registry at \(host) is not known",
        hint: "give it with --region, such as europe-west1")
    }
    return location
  }

  private static func areas(of project: String, in location: String) -> String {
    "/v1/projects/\(WebAddress.encodedQueryValue(project))/locations/\(location)/repositories"
  }

  // MARK: tags

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    if let held = repository.held { return try await listing.found(held) }
    try await googleTags(of: repository.repository, listing)
  }

  /// The distribution API's list, which Google extends by all there is to know of each manifest.
  private func googleTags(of repository: Repository, _ listing: TagListing) async throws {
    let client = listing.client
    var call = RegistryClient.Call(
      .get, base, "\(repository)/tags/list", scope: .pull(repository), bodyMax: RegistryClient.pageBytesMax)
    call.headers = [("Accept", "application/json")]
    call.acceptsGzip = true
    let exchange = try await client.perform(call)
    guard exchange.status == 200 else { throw exchange.error }
    // Google sends everything at once; should it ever not, the plain way leads through all pages.
    if LinkHeader.next(in: exchange.response.headers.all("link")) != nil {
      return try await client.tagsList(of: repository, in: listing)
    }
    let page: ExtendedTags
    do {
      page = try JSONReader.decode(ExtendedTags.self, exchange.response.body, what: exchange.subject)
    } catch {
      throw error.redacting(exchange.redactor)
    }
    listing.summary.pages += 1
    listing.redactor = exchange.redactor
    var told: Set<String> = []
    for (digest, manifest) in (page.manifest ?? [:]).sorted(by: { $0.key < $1.key }) {
      for tag in manifest.tag ?? [] where told.insert(tag).inserted {
        try await listing.found(
          tag, digest: digest, pushedAt: manifest.uploadedAt, createdAt: manifest.createdAt)
      }
    }
    for tag in page.tags ?? [] where !told.contains(tag) { try await listing.found(tag) }
  }

  // MARK: the connection test

  func examine(_ test: ConnectionTest) async throws {
    guard case .apiKey(let file) = session.endpoint.credential else { return }
    let isKnown = try await test.attempt(.vendor) {
      let account = try GoogleServiceAccount(file, for: session.endpoint)
      _ = try await accessToken.current()
      return "Google knows the service account \(ForeignText.escaped(account.email, lengthMax: 100))"
    }
    guard isKnown, !hasCatalog else { return }
    for scope in session.endpoint.vendor.scopes.map({ Narrowing($0) }) {
      try await test.attempt(
        .rights, hint: "give the service account the role roles/artifactregistry.reader in \(scope.project)"
      ) {
        let path = Self.areas(of: scope.project, in: try location())
        _ = try await api.send(.get(path, "pageSize=\(Self.pageSize)"))
        return "repositories of the project \(ForeignText.escaped(scope.project, lengthMax: 80)) can be listed"
      }
    }
  }

  // MARK: the access token

  private static func fetchAccessToken(_ session: RegistrySession) async throws -> BearerToken {
    guard case .apiKey(let file) = session.endpoint.credential else { preconditionFailure("no key to sign with") }
    let account = try GoogleServiceAccount(file, for: session.endpoint)
    let address = account.tokenAddress
    let assertion = try account.assertion(at: .now)
    let form = WebAddress.encodedForm([
      ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion.revealed),
    ])
    var request = VendorAPI.Request.post(
      address.path, address.query, contentType: "application/x-www-form-urlencoded", Secret(form))
    request.secrets = [assertion]
    let api = VendorAPI(session, address.replacing(path: "")).withoutPermit
    return try BearerToken(answer: try await api.send(request).response.body, from: address, receivedAt: .now)
  }
}

// MARK: the API's words

extension GARDriver {
  /// A repository in Google's speech: an area that holds many images.
  private struct Area: VendorItem {
    /// `projects/P/locations/L/repositories/ID`
    let name: String
    let format: String?
    let mode: String?
    var identity: String { name }

    var id: String { name.split(separator: "/").last.map(String.init) ?? name }

    var kind: RepositoryKind {
      switch mode {
      case "REMOTE_REPOSITORY": .remote
      case "VIRTUAL_REPOSITORY": .virtual
      default: .local
      }
    }
  }

  private struct Areas: VendorPage {
    let repositories: Entries<Area>?
    let nextPageToken: String?
    var entries: Entries<Area> { repositories ?? .none }
    var next: String? { nextPageToken }
  }

  private struct Image: VendorItem {
    /// `…/dockerImages/IMAGE@DIGEST`, the image percent-encoded.
    let name: String
    let tags: [String]?
    let uploadTime: Loose<String>?
    let buildTime: Loose<String>?
    var identity: String { name }

    var parts: (image: String, digest: String)? {
      let last = name.split(separator: "/").last.flatMap { $0.split(separator: "@") } ?? []
      guard last.count == 2, let image = WebAddress.decoded(String(last[0])) else { return nil }
      return (image, String(last[1]))
    }
  }

  private struct Images: VendorPage {
    let dockerImages: Entries<Image>?
    let nextPageToken: String?
    var entries: Entries<Image> { dockerImages ?? .none }
    var next: String? { nextPageToken }
  }

  private struct ExtendedTags: Decodable {
    struct Manifest: Decodable {
      let tag: [String]?
      let timeCreatedMs: Loose<String>?
      let timeUploadedMs: Loose<String>?

      var createdAt: Timestamp? { Self.time(timeCreatedMs) }
      var uploadedAt: Timestamp? { Self.time(timeUploadedMs) }

      private static func time(_ text: Loose<String>?) -> Timestamp? {
        text?.value.flatMap { Double($0) }.flatMap { Timestamp(unixSeconds: $0 / 1_000) }
      }
    }

    let tags: [String]?
    let manifest: [String: Manifest]?
  }
}
