import Model
import TestSupport
import Testing

@testable import Registry

/// A client of a vendor's registry at `url`.
func client(
  _ url: String, _ vendor: VendorSettings, _ credential: Credential = account, realmHosts: [String] = [],
  transport: HTTPTransport = patient
) throws -> RegistryClient {
  RegistryClient(
    try RegistryEndpoint(url: url, vendor: vendor, credential: credential, allowedRealmHosts: realmHosts),
    transport: transport)
}

extension RegistryClient {
  func allRepositories() async throws -> (found: [ListedRepository], summary: ListingSummary) {
    var found: [ListedRepository] = []
    let summary = try await repositories { found.append($0) }
    return (found, summary)
  }

  func allTags(of repository: ListedRepository) async throws -> (found: [ListedTag], summary: ListingSummary) {
    var found: [ListedTag] = []
    let summary = try await tags(of: repository) { found.append($0) }
    return (found, summary)
  }

  func allTags(of path: String) async throws -> (found: [ListedTag], summary: ListingSummary) {
    try await allTags(of: ListedRepository(repository(path)))
  }
}

/// A digest made of one letter.
func digest(_ letter: Character) -> String { "sha256:" + String(repeating: letter, count: 64) }

func time(_ text: String) throws -> Timestamp { try #require(Timestamp(rfc3339: text)) }
