import Model
import Posix

/// Where an Artifactory's own API is, which secret it takes, and which repository key the integration's address stands
/// for: what the address does not tell is found out by asking.
struct ArtifactorySite: Sendable {
  /// With the path `/artifactory`; nil where it cannot be reached from the address. Then only `/v2/` is left, and nobody
  /// tells whether a key is local.
  let api: VendorAPI?
  /// What was accepted.
  let header: SecretHeader?
  let version: String?
  /// The one key behind the address, by subdomain or port.
  let key: String?
  /// What subdomains stand before.
  let parentHost: String

  /// The addresses at which the API may be, the likeliest first: by subdomain and by port the server before Artifactory
  /// may lead everything to docker.
  private static func candidates(_ root: WebAddress, _ vendor: VendorSettings) -> [WebAddress] {
    if let api = vendor.apiURL { return [api.withoutTail(["/artifactory"])] }
    switch vendor.repositoryAccess {
    case .repositoryPath: return [root]
    case .subdomain: return [root] + (parent(of: root.host).map { [root.replacing(host: $0)] } ?? [])
    case .port: return root.hasDefaultPort ? [root] : [root, root.replacingDefaultPort]
    }
  }

  private static func parent(of host: String) -> String? {
    guard let dot = host.firstIndex(of: "."), !host.hasPrefix("["), host[host.index(after: dot)...].contains(".") else {
      return nil
    }
    return String(host[host.index(after: dot)...])
  }

  /// What the secret may be sent as. Keys and tokens look different, but not so that one could be sure.
  static func headers(for credential: Credential) -> [SecretHeader?] {
    switch credential {
    case .anonymous: return [nil]
    case .account(let user, let password): return [.basic(user: user, password: password)]
    case .apiKey(let key):
      let text = key.revealed
      let isToken = text.hasPrefix("eyJ") || text.hasPrefix("cmVm")
      let both = [SecretHeader("X-JFrog-Art-Api", key), SecretHeader.bearer(key)]
      return isToken ? both.reversed() : both
    }
  }

  static func find(_ session: RegistrySession, at root: WebAddress) async throws -> ArtifactorySite {
    let endpoint = session.endpoint
    var refusal: RegistryError?
    for (number, address) in candidates(root, endpoint.vendor).enumerated() {
      for header in headers(for: endpoint.credential) {
        let api = VendorAPI(
          session, address.replacing(path: address.path + "/artifactory"),
          authorization: header.map { .header($0) } ?? .none
        ).withoutPermit
        let answer: VendorAPI.Answer
        do {
          answer = try await api.send(.get("/api/system/ping"))
        } catch let error as RegistryError where error.code == .unauthorized || error.code == .forbidden {
          refusal = refusal ?? error
          continue
        } catch let error as RegistryError {
          // At the address itself a failure is one; elsewhere it says that nothing is there.
          let isAbsent = [.notFound, .malformed, .requestRefused, .redirectRefused].contains(error.code)
          guard isAbsent || number > 0 else { throw error }
          break
        }
        // Something else may answer to everything.
        guard answer.text.contains("OK"), answer.text.allSatisfy({ "OK \r\n".contains($0) }) else { break }
        return try await site(session, root, api, header, answer.headers["x-jfrog-version"])
      }
    }
    if let refusal { throw refusal }
    let label = root.host.split(separator: ".").first.map(String.init)
    return ArtifactorySite(
      api: nil, header: headers(for: endpoint.credential).first ?? nil, version: nil,
      key: endpoint.vendor.repositoryAccess == .subdomain ? label : endpoint.vendor.repositoryKeys.first,
      parentHost: parent(of: root.host) ?? root.host)
  }

  private static func site(
    _ session: RegistrySession, _ root: WebAddress, _ api: VendorAPI, _ header: SecretHeader?, _ version: String?
  ) async throws -> ArtifactorySite {
    var key: String?
    switch session.endpoint.vendor.repositoryAccess {
    case .repositoryPath: break
    case .subdomain:
      let label = root.host.split(separator: ".").first.map(String.init) ?? root.host
      if api.base.host == parent(of: root.host) {
        key = label
      } else if try await api.get(Entries<ArtifactoryKey>.self, "/api/repositories").items.contains(where: {
        $0.key == label
      }) {
        key = label
      }
    case .port: key = try await keyBehindPort(session, root, api, header)
    }
    return ArtifactorySite(
      api: api, header: header, version: version.map { ForeignText.escaped($0, lengthMax: 60) }, key: key,
      parentHost: key == nil ? root.host : parent(of: root.host) ?? root.host)
  }

  /// No answer tells which key is behind a port: it is the one that lists the same images.
  private static func keyBehindPort(
    _ session: RegistrySession, _ root: WebAddress, _ api: VendorAPI, _ header: SecretHeader?
  ) async throws -> String {
    if let key = session.endpoint.vendor.repositoryKeys.first { return key }
    let port = VendorAPI(session, root, authorization: header.map { .header($0) } ?? .none).withoutPermit
    let shown = Set(try await port.get(ArtifactoryCatalog.self, "/v2/_catalog", "n=1000").names)
    var matching: [String] = []
    for key in try await api.get(Entries<ArtifactoryKey>.self, "/api/repositories").items
    where key.holdsImages && key.kind != .remote {
      let path = "/api/docker/\(WebAddress.encodedQueryValue(key.key))/v2/_catalog"
      if Set(try await api.get(ArtifactoryCatalog.self, path, "n=1000").names) == shown { matching.append(key.key) }
    }
    guard matching.count == 1, !shown.isEmpty else {
      throw RegistryError(
        .requestRefused,
        "which repository key is behind \(root.origin) cannot be found out: \(matching.count) keys hold the same images",
        hint: "give it with --repository-key")
    }
    return matching[0]
  }
}

/// A repository in Artifactory's speech: an area that holds many images.
struct ArtifactoryKey: VendorItem {
  let key: String
  let type: String?
  let packageType: String?
  var identity: String { key }

  /// Charts come as "helmoci".
  var holdsImages: Bool { ["docker", "oci"].contains((packageType ?? "").lowercased()) }

  var kind: RepositoryKind {
    switch (type ?? "").lowercased() {
    case "remote": .remote
    case "virtual": .virtual
    // A federated one is a local one with mirrors elsewhere.
    default: .local
    }
  }
}

struct ArtifactoryCatalog: Decodable {
  let repositories: [Loose<String>]?
  var names: [String] { (repositories ?? []).compactMap(\.value) }
}
