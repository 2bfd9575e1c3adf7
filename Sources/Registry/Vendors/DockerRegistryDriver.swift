import Model

/// A plain registry: everything by the distribution API, as it is asked for.
struct DockerRegistryDriver: RegistryDriver {
  private let session: RegistrySession

  init(_ session: RegistrySession) { self.session = session }

  func credential(after refused: WireCredential?) async throws -> WireCredential {
    WireCredential(session.endpoint.credential)
  }

  func route(for repository: Repository) async throws -> Route { Route(session.endpoint.url, repository) }

  func repositories(_ listing: RepositoryListing) async throws {
    try await listing.client.catalog(of: session.endpoint.url, in: listing) { try await listing.found($0) }
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    try await listing.client.tagsList(of: repository.repository, in: listing)
  }
}
