import Posix

/// What an integration says about its vendor: which one it is, and what only some vendors need.
package struct VendorSettings: Sendable {
  package let type: RegistryType
  /// Where the vendor's own API is, if not where the vendor has it.
  package let apiURL: WebAddress?
  /// Namespaces, organisations, groups, projects or registry ids that the listing is narrowed to; empty: all there are.
  package let scopes: [String]
  package let region: String?
  /// Artifactory's and Nexus's repository keys that are meant; empty: all there are.
  package let repositoryKeys: [String]
  package let repositoryAccess: RepositoryAccess
  /// Whether remote repositories are polled too (D6).
  package let includesRemote: Bool
  /// Beside temporary AWS keys.
  package let sessionToken: Secret?

  package init(
    _ type: RegistryType = .dockerRegistry, apiURL: String? = nil, scopes: [String] = [], region: String? = nil,
    repositoryKeys: [String] = [], repositoryAccess: RepositoryAccess = .repositoryPath, includesRemote: Bool = false,
    sessionToken: Secret? = nil
  ) throws(RegistryEndpoint.Malformed) {
    self.type = type
    self.apiURL =
      if let apiURL { try RegistryEndpoint.parse(url: apiURL, field: "api-url") } else { nil }
    self.scopes = scopes
    self.region = region
    self.repositoryKeys = repositoryKeys
    self.repositoryAccess = repositoryAccess
    self.includesRemote = includesRemote
    self.sessionToken = sessionToken
  }

  private init() {
    type = .dockerRegistry
    apiURL = nil
    scopes = []
    region = nil
    repositoryKeys = []
    repositoryAccess = .repositoryPath
    includesRemote = false
    sessionToken = nil
  }

  /// A plain registry.
  package static let plain = VendorSettings()
}
