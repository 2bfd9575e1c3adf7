import Model
import Posix

/// What one vendor's registry does differently: who we are to it, where a repository is, how its contents are listed.
/// Manifests and blobs are read by `RegistryClient`, which asks the driver for the way.
///
/// A driver belongs to one integration. Failures are `RegistryError`s.
package protocol RegistryDriver: Sendable {
  var session: RegistrySession { get }

  /// The address that `/v2/` follows where no repository is concerned. By default the integration's url.
  var base: WebAddress { get }

  /// What a connection test asks for first where `/v2/` is there for single repositories alone; `examine` then has the
  /// steps `api` and `authentication`. Nil, by default, for a registry that answers to `/v2/` under `base`.
  var firstContact: WebAddress? { get }

  /// Hosts beside the registry's own on which this vendor's token service lives; lower case.
  var realmHosts: Set<String> { get }

  /// Who we are on `/v2/`. `refused` is the credential that has just earned a 401: a driver that can renew it gives
  /// another, and the same again says that there is none better. By default the integration's own. Requests made here
  /// take no permit of the session (`VendorAPI.withoutPermit`): the caller holds one.
  func credential(after refused: WireCredential?) async throws -> WireCredential

  /// Whether the registry answers "forbidden" to a credential that has expired. False by default.
  var forbidsWithExpired: Bool { get }

  /// Where a repository is on the wire. The path is as users write it (D9), from a listing or from a person. By default
  /// it is that path under `base`.
  func route(for repository: Repository) async throws -> Route

  /// Hands every repository to `listing`, remote and virtual ones with their kind.
  func repositories(_ listing: RepositoryListing) async throws

  /// Hands every tag of a repository to `listing`, with what the vendor's listing says of it anyway. By default the
  /// distribution API's own list.
  func tags(of repository: ListedRepository, _ listing: TagListing) async throws

  /// What the vendor tells of one tag beyond its listing, for less than the manifest and config would cost; nil where it
  /// tells nothing.
  func details(of tag: Tag, in repository: ListedRepository) async throws -> ListedTag?

  /// The vendor's own steps of a connection test: its API and version, the rights of its minimum-rights table, what it
  /// tells of the credential. Failures become failed steps; only a cancellation is thrown.
  func examine(_ test: ConnectionTest) async throws
}

extension RegistryDriver {
  package var base: WebAddress { session.endpoint.url }

  package var firstContact: WebAddress? { nil }

  package var realmHosts: Set<String> { [] }

  package var forbidsWithExpired: Bool { false }

  package func credential(after refused: WireCredential?) async throws -> WireCredential {
    WireCredential(session.endpoint.credential)
  }

  package func route(for repository: Repository) async throws -> Route { Route(base, repository) }

  package func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    try await listing.client.tagsList(of: repository.repository, in: listing)
  }

  package func details(of tag: Tag, in repository: ListedRepository) async throws -> ListedTag? { nil }

  package func examine(_ test: ConnectionTest) async throws {}
}

/// The way to one repository.
package struct Route: Sendable, Hashable {
  /// The address that `/v2/` follows.
  package let base: WebAddress
  /// The name after `/v2/`.
  package let name: Repository
  /// The name in a token's scope.
  package let scopeName: Repository

  package init(_ base: WebAddress, _ name: Repository, scopeName: Repository? = nil) {
    self.base = base
    self.name = name
    self.scopeName = scopeName ?? name
  }
}

/// Who we are in a request.
package enum WireCredential: Sendable, Hashable {
  case anonymous
  /// Sent as Basic, to the registry or to its token service.
  case basic(user: String, password: Secret)
  /// A refresh token (the distribution's token specification, OAuth2 variant): sent to the token service alone.
  case identity(Secret)
  /// Sent with every request as it is.
  case header(SecretHeader)

  var isIdentity: Bool {
    if case .identity = self { return true }
    return false
  }

  static func bearer(_ token: Secret) -> WireCredential { .header(.bearer(token)) }

  /// `keyUser`: the name that a key goes with as a password; nil sends it as it is.
  init(_ credential: Credential, keyUser: String? = nil) {
    self =
      switch credential {
      case .anonymous: .anonymous
      case .account(let user, let password): .basic(user: user, password: password)
      case .apiKey(let key): keyUser.map { .basic(user: $0, password: key) } ?? .bearer(key)
      }
  }
}

extension SecretHeader {
  static func bearer(_ token: Secret) -> SecretHeader {
    SecretHeader("Authorization", Secret("Bearer " + token.revealed))
  }
}
