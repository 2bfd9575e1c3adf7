import Model
import Posix
import Registry
import StorageMessages
import Store
import Synchronization

/// One registry client for each integration, kept as long as the integration does not change, so that connections and
/// tokens are used again.
package final class RegistryClients: Sendable {
  private struct Kept {
    let revision: UInt64
    let client: RegistryClient
  }

  private let store: StateStore
  private let transport: HTTPTransport
  private let kept = Mutex<[UInt64: Kept]>([:])
  /// The pace of each integration: it outlives a change of settings, since the registry's own limits do.
  private let limiters = Mutex<[UInt64: RateLimiter]>([:])

  private let clock: PacingClock

  package init(store: StateStore, transport: HTTPTransport, clock: PacingClock = .system) {
    self.store = store
    self.transport = transport
    self.clock = clock
  }

  /// Throws `RegistryError` when the integration's settings cannot be used, `StoreError` when its secrets cannot.
  package func client(for record: IntegrationRecord) throws -> RegistryClient {
    let known = kept.withLock { $0[record.id] }
    if let known, known.revision == record.revision { return known.client }
    let endpoint = try endpoint(of: record)
    let limiter = limiter(of: record.id, endpoint.rates)
    limiter.update(endpoint.rates)
    let client = RegistryClient(endpoint, transport: transport, limiter: limiter)
    kept.withLock { $0[record.id] = Kept(revision: record.revision, client: client) }
    return client
  }

  /// A client for settings that are not stored: of the same integration, with its credential and its pace.
  func previewClient(for record: IntegrationRecord) throws -> RegistryClient {
    let endpoint = try endpoint(of: record)
    return RegistryClient(endpoint, transport: transport, limiter: limiter(of: record.id, endpoint.rates))
  }

  private func limiter(of integration: UInt64, _ rates: RateLimits) -> RateLimiter {
    limiters.withLock { limiters in
      let limiter = limiters[integration] ?? RateLimiter(rates, clock: clock)
      limiters[integration] = limiter
      return limiter
    }
  }

  /// What the registry last told of the requests it grants; nil while it has told nothing.
  package func budget(of integration: UInt64) -> RateBudget? {
    limiters.withLock { $0[integration] }?.budget
  }

  /// Drops what is kept for an integration that was changed.
  package func forget(_ integration: UInt64) { kept.withLock { _ = $0.removeValue(forKey: integration) } }

  /// Drops everything of an integration that was removed.
  package func remove(_ integration: UInt64) {
    forget(integration)
    limiters.withLock { _ = $0.removeValue(forKey: integration) }
  }

  private func endpoint(of record: IntegrationRecord) throws -> RegistryEndpoint {
    do {
      let rates = RateLimits(
        requestsPerSecond: record.requestsPerSecond == 0 ? nil : Int(record.requestsPerSecond),
        bytesPerSecond: record.bytesPerSecond == 0 ? nil : Int(clamping: record.bytesPerSecond))
      return try RegistryEndpoint(
        url: record.url, vendor: try vendor(of: record), credential: try credential(of: record),
        caPEM: record.caPem.isEmpty ? nil : record.caPem, isInsecure: record.insecure,
        identity: try identity(of: record), proxy: try proxy(of: record), rates: rates,
        allowedRealmHosts: record.allowedRealmHosts, concurrentRequestsMax: Int(max(1, record.maxConcurrent)))
    } catch let error as RegistryEndpoint.Malformed {
      throw RegistryError(
        .malformed, "integration \(record.name): \(error)", hint: "change the integration's settings")
    }
  }

  private func vendor(of record: IntegrationRecord) throws -> VendorSettings {
    guard let type = RegistryType(rawValue: record.type) else {
      throw RegistryError(
        .malformed, "integration \(record.name): this version knows no type \"\(record.type.excerpt())\"",
        hint: "change the integration's settings")
    }
    return try VendorSettings(
      type, apiURL: record.apiUrl.isEmpty ? nil : record.apiUrl, scopes: record.scopes,
      region: record.region.isEmpty ? nil : record.region, repositoryKeys: record.repositoryKeys,
      repositoryAccess: RepositoryAccess(rawValue: record.repositoryAccess) ?? .repositoryPath,
      includesRemote: record.includeRemote, sessionToken: try store.secret(.sessionToken, of: record.id))
  }

  private func identity(of record: IntegrationRecord) throws -> ClientIdentity? {
    guard !record.clientCertificatePem.isEmpty else { return nil }
    guard let key = try store.secret(.clientKey, of: record.id) else {
      throw Self.missing("key of its client certificate", record)
    }
    return try ClientIdentity(certificate: record.clientCertificatePem, key: key)
  }

  private func proxy(of record: IntegrationRecord) throws -> ProxyChoice {
    try ProxyChoice(record.proxy, password: try store.secret(.proxyPassword, of: record.id))
  }

  private func credential(of record: IntegrationRecord) throws -> Credential {
    if record.auth == .anonymous { return .anonymous }
    guard let secret = try store.secret(.main, of: record.id) else {
      throw Self.missing(record.auth == .account ? "password" : "key", record)
    }
    // Docker Hub's key goes with a user name, and is used as its password.
    return record.username.isEmpty ? .apiKey(secret) : .account(user: record.username, password: secret)
  }

  private static func missing(_ what: String, _ record: IntegrationRecord) -> RegistryError {
    RegistryError(
      .unauthorized, "integration \(record.name) has no \(what) stored",
      hint: "give it anew with: tidewaiter integration edit \(record.name)")
  }
}

extension IntegrationRecord {
  /// What is not safe about how the registry is reached, for people.
  package var exposures: [String] {
    var found: [String] = []
    if [url, apiUrl].contains(where: { $0.lowercased().hasPrefix("http://") }) {
      found.append("plain HTTP: images and credentials can be read and changed on their way")
    }
    if insecure { found.append("TLS certificates are not verified") }
    return found
  }

  /// Which platforms of an index are wanted.
  var platformSelection: PlatformSelection {
    if platforms.isEmpty { return .node }
    if platforms == ["all"] { return .all }
    return .list(platforms.compactMap { Platform($0) })
  }
}
