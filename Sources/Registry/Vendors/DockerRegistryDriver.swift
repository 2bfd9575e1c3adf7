import Model

/// A plain registry: everything by the distribution API, as it is asked for.
struct DockerRegistryDriver: RegistryDriver {
  let session: RegistrySession

  init(_ session: RegistrySession) { self.session = session }

  func repositories(_ listing: RepositoryListing) async throws {
    try await listing.client.catalog(of: base, in: listing) { try await listing.found($0) }
  }
}
