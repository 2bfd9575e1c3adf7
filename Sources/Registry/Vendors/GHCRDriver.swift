import Model
import Posix

/// GitHub's container registry: listed by GitHub's API for the owners in the scope, since the registry has no catalog.
struct GHCRDriver: RegistryDriver {
  private static let pageSize = 100

  let session: RegistrySession

  init(_ session: RegistrySession) { self.session = session }

  /// The registry takes the key as a password, beside any user name.
  func credential(after refused: WireCredential?) async throws -> WireCredential {
    guard case .apiKey(let key) = session.endpoint.credential else {
      return WireCredential(session.endpoint.credential)
    }
    return .basic(user: "token", password: key)
  }

  private var api: VendorAPI {
    let authorization: VendorAuthorization =
      switch session.endpoint.credential {
      case .anonymous: .none
      case .account(_, let key), .apiKey(let key): .header(.bearer(key))
      }
    return VendorAPI(
      session, session.endpoint.vendor.apiURL ?? WebAddress(https: "api.github.com"), authorization: authorization,
      headers: [("Accept", "application/vnd.github+json"), ("X-GitHub-Api-Version", "2022-11-28")])
  }

  // MARK: listing

  func repositories(_ listing: RepositoryListing) async throws {
    for owner in session.endpoint.vendor.scopes {
      try await listing.tolerating(owner) {
        try await withOwner(owner) { path in
          try await api.pages(
            of: Entries<Package>.self, "\(path)/packages", query: "package_type=container&per_page=\(Self.pageSize)",
            .link(), in: listing
          ) { package in
            try await listing.found(
              "\(owner)/\(package.name)".lowercased(), handle: Self.versions(of: package.name, under: path))
          }
        }
      }
    }
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    if let handle = repository.handle { return try await tags(under: handle, listing) }
    let path = repository.repository.path
    guard let slash = path.firstIndex(of: "/") else {
      throw RegistryError(
        .notFound, "\(repository.repository) names no package of an owner", hint: "write it as OWNER/PACKAGE")
    }
    try await withOwner(String(path[..<slash])) { owner in
      try await tags(under: Self.versions(of: String(path[path.index(after: slash)...]), under: owner), listing)
    }
  }

  /// A version is a digest with the tags that point to it. Its date is that of its first push: it moves to no other
  /// content, while its tags may come and go.
  private func tags(under path: String, _ listing: TagListing) async throws {
    try await api.pages(
      of: Entries<Version>.self, path, query: "per_page=\(Self.pageSize)&state=active", .link(), in: listing
    ) { version in
      for tag in version.metadata?.container?.tags ?? [] {
        try await listing.found(
          tag, digest: version.name, pushedAt: version.createdAt?.date)
      }
    }
  }

  /// Runs `body` with the path of an owner, who is an organisation or a user: only asking tells.
  private func withOwner(_ owner: String, _ body: (String) async throws -> Void) async throws {
    // It becomes a part of a path, where dots alone would lead elsewhere.
    guard !owner.isEmpty, owner.utf8.allSatisfy(Self.isOwnerByte) else {
      throw RegistryError(
        .requestRefused, "\"\(ForeignText.escaped(owner, lengthMax: 80))\" is no name of a GitHub user or organisation",
        hint: "the scope holds names such as octo-org")
    }
    do {
      try await body("/orgs/\(owner)")
    } catch let error as RegistryError where error.code == .notFound {
      try await body("/users/\(owner)")
    }
  }

  private static func isOwnerByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }

  private static func versions(of package: String, under owner: String) -> String {
    "\(owner)/packages/container/\(WebAddress.encodedQueryValue(package))/versions"
  }

  // MARK: the connection test

  func examine(_ test: ConnectionTest) async throws {
    if case .anonymous = session.endpoint.credential {
      test.add(
        .vendor, .failed, "GitHub's API lists packages for nobody without a token",
        hint: "give a classic personal access token with the scope read:packages; public images can be added by hand")
      return
    }
    for owner in session.endpoint.vendor.scopes {
      var headers: HTTPHeaders?
      try await test.attempt(
        .rights, hint: "give the token the scope read:packages, and its owner the right to see the packages of \(owner)"
      ) {
        try await withOwner(owner) { path in
          headers = try await api.send(.get("\(path)/packages", "package_type=container&per_page=1")).headers
        }
        return "packages of \(ForeignText.escaped(owner, lengthMax: 80)) can be listed"
      }
      guard owner == session.endpoint.vendor.scopes.first, let headers else { continue }
      if let expires = headers["github-authentication-token-expiration"] {
        test.add(.credential, .ok, "the token is good until \(ForeignText.escaped(expires, lengthMax: 40))")
      }
      if let limit = headers["x-ratelimit-remaining"] {
        test.add(
          .vendor, .ok,
          "GitHub's API answers at \(api.base); \(ForeignText.escaped(limit, lengthMax: 20)) requests are left in this hour"
        )
      }
    }
  }

  // MARK: the API's words

  private struct Package: VendorItem {
    let name: String
    var identity: String { name }
  }

  private struct Version: VendorItem {
    struct Metadata: Decodable {
      struct Container: Decodable { let tags: [String]? }
      let container: Container?
    }
    let id: Int64
    /// The digest.
    let name: String
    let createdAt: Loose<String>?
    let metadata: Metadata?
    var identity: String { "\(id)" }

    enum CodingKeys: String, CodingKey {
      case id, name, metadata
      case createdAt = "created_at"
    }
  }
}
