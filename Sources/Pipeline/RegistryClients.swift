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

  package init(store: StateStore, transport: HTTPTransport) {
    self.store = store
    self.transport = transport
  }

  /// Throws `RegistryError` when the integration's settings cannot be used, `StoreError` when its secret cannot.
  package func client(for record: IntegrationRecord) throws -> RegistryClient {
    let known = kept.withLock { $0[record.id] }
    if let known, known.revision == record.revision { return known.client }
    let client = RegistryClient(try endpoint(of: record), transport: transport)
    kept.withLock { $0[record.id] = Kept(revision: record.revision, client: client) }
    return client
  }

  /// Drops what is kept for an integration that was changed or removed.
  package func forget(_ integration: UInt64) { kept.withLock { _ = $0.removeValue(forKey: integration) } }

  private func endpoint(of record: IntegrationRecord) throws -> RegistryEndpoint {
    do {
      return try RegistryEndpoint(
        url: record.url, vendor: try vendor(of: record), credential: try credential(of: record),
        caPEM: record.caPem.isEmpty ? nil : record.caPem, isInsecure: record.insecure,
        identity: try identity(of: record),
        proxy: try proxy(of: record),
        rates: RateLimits(
          requestsPerSecond: record.requestsPerSecond == 0 ? nil : Int(record.requestsPerSecond),
          bytesPerSecond: record.bytesPerSecond == 0 ? nil : Int(clamping: record.bytesPerSecond)),
        allowedRealmHosts: record.allowedRealmHosts, concurrentRequestsMax: Int(max(1, record.maxConcurrent)))
    } catch let error as RegistryEndpoint.Malformed {
      throw RegistryError(
        .malformed, "integration \(record.name): \(error)", hint: "change the integration's settings")
    }
  }

  private func vendor(of record: IntegrationRecord) throws -> VendorSettings {
    guard let type = RegistryType(rawValue: record.type) else {
      throw RegistryError(
        .malformed, "integration \(record.name) is of a type that this daemon does not know: \(record.type)")
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
      throw RegistryError(
        .tlsFailed, "integration \(record.name) has a client certificate and no key stored for it",
        hint: "give the client certificate and its key anew")
    }
    return try ClientIdentity(certificate: record.clientCertificatePem, key: key)
  }

  private func proxy(of record: IntegrationRecord) throws -> ProxySetting {
    guard !record.proxy.isEmpty else { return .environment }
    return .proxy(try Proxy(record.proxy, password: try store.secret(.proxyPassword, of: record.id)))
  }

  private func credential(of record: IntegrationRecord) throws -> Credential {
    if record.auth == .anonymous { return .anonymous }
    guard let secret = try store.secret(.main, of: record.id) else {
      throw RegistryError(
        .unauthorized, "integration \(record.name) has no secret stored",
        hint: "give it its \(record.auth == .account ? "password" : "key") anew")
    }
    // Docker Hub's key goes with a user name, and is used as its password.
    return record.username.isEmpty ? .apiKey(secret) : .account(user: record.username, password: secret)
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
