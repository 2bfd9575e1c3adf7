import FoundationEssentials
import Model
import Posix

/// Yandex Container Registry: listed by Yandex Cloud's API with an IAM token, for the registry ids in the scope.
struct YandexDriver: RegistryDriver {
  private static let pageSize = 1_000
  private static let iamHost = "iam.api.cloud.yandex.net"
  private static let apiPath = "/container-registry/v1"

  let session: RegistrySession
  private let iamToken: RenewableToken

  init(_ session: RegistrySession) {
    self.session = session
    iamToken = RenewableToken { try await Self.fetchIAMToken(session) }
  }

  func credential(after refused: WireCredential?) async throws -> WireCredential {
    guard let credential = try YandexCredential(session.endpoint.credential) else {
      return WireCredential(session.endpoint.credential)
    }
    return credential.wire
  }

  private func api() throws(RegistryError) -> VendorAPI {
    let authorization: VendorAuthorization
    switch try YandexCredential(session.endpoint.credential) {
    case nil:
      throw RegistryError(
        .unauthorized, "Yandex Cloud's API does not know \(session.endpoint.credential.named)",
        hint: "give an authorized key (the user json_key), an IAM token (iam) or an OAuth token (oauth)")
    case .iamToken(let token): authorization = .header(.bearer(token))
    case .oauthToken, .authorizedKey: authorization = .token(iamToken)
    }
    return VendorAPI(
      session, session.endpoint.vendor.apiURL ?? WebAddress(https: "container-registry.api.cloud.yandex.net"),
      authorization: authorization)
  }

  // MARK: listing

  func repositories(_ listing: RepositoryListing) async throws {
    let api = try api()
    for registry in session.endpoint.vendor.scopes {
      try await listing.tolerating(registry) {
        try await api.pages(
          of: Repositories.self, "\(Self.apiPath)/repositories",
          query: "registryId=\(WebAddress.encodedQueryValue(registry))&pageSize=\(Self.pageSize)", .token("pageToken"),
          in: listing
        ) { try await listing.found($0.name) }
      }
    }
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    try await api().pages(
      of: Images.self, "\(Self.apiPath)/images",
      query: "repositoryName=\(WebAddress.encodedQueryValue(repository.repository.path))&pageSize=\(Self.pageSize)",
      .token("pageToken"), in: listing
    ) { image in
      for tag in image.tags ?? [] {
        try await listing.found(
          tag, digest: image.digest?.value, pushedAt: image.createdAt?.date)
      }
    }
  }

  // MARK: the connection test

  func examine(_ test: ConnectionTest) async throws {
    let isKnown = try await test.attempt(.vendor) {
      let api = try api()
      if case .token(let token) = api.authorization { _ = try await token.current() }
      return "the secret is good for Yandex Cloud's API at \(api.base)"
    }
    guard isKnown else { return }
    if case .iamToken = try YandexCredential(session.endpoint.credential) {
      test.add(
        .credential, .ok, "the secret is an IAM token",
        hint: "it is good for 12 hours at most and nothing renews it: an authorized key lasts")
    }
    for registry in session.endpoint.vendor.scopes {
      try await test.attempt(
        .rights, hint: "give the service account the role container-registry.viewer or container-registry.images.puller"
      ) {
        _ = try await api().send(
          .get("\(Self.apiPath)/repositories", "registryId=\(WebAddress.encodedQueryValue(registry))&pageSize=1"))
        return "repositories of the registry \(ForeignText.escaped(registry, lengthMax: 80)) can be listed"
      }
    }
  }

  // MARK: the IAM token

  private static func fetchIAMToken(_ session: RegistrySession) async throws -> BearerToken {
    let api = VendorAPI(session, WebAddress(https: iamHost)).withoutPermit
    let path = "/iam/v1/tokens"
    let exchange: Exchange
    switch try YandexCredential(session.endpoint.credential) {
    case .oauthToken(let token): exchange = Exchange(yandexPassportOauthToken: token.revealed, jwt: nil)
    case .authorizedKey(let key, _):
      let assertion = try key.assertion(for: api.address(path).text, at: .now)
      exchange = Exchange(yandexPassportOauthToken: nil, jwt: assertion.revealed)
    case .iamToken, nil: preconditionFailure("nothing to exchange for an IAM token")
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    var request = VendorAPI.Request.post(
      path, contentType: "application/json", Secret(Array(try encoder.encode(exchange))))
    request.secrets = [exchange.jwt, exchange.yandexPassportOauthToken].compactMap { $0.map { Secret($0) } }
    let answer = try await api.send(request)
    let given = try answer.decode(IAMToken.self)
    let life = given.expiresAt.flatMap { Timestamp(rfc3339: $0) }.map { $0.seconds - Timestamp.now.seconds }
    return try BearerToken(Secret(given.iamToken), life: .seconds(life ?? 0), from: api.base)
  }

  private struct Exchange: Encodable {
    let yandexPassportOauthToken: String?
    let jwt: String?
  }

  private struct IAMToken: Decodable {
    let iamToken: String
    let expiresAt: String?
  }

  // MARK: the API's words

  private struct Repositories: VendorPage {
    struct Item: VendorItem {
      /// The registry's id and the repository.
      let name: String
      var identity: String { name }
    }
    let repositories: Entries<Item>?
    let nextPageToken: String?
    var entries: Entries<Item> { repositories ?? .none }
    var next: String? { nextPageToken }
  }

  private struct Images: VendorPage {
    struct Item: VendorItem {
      let id: String
      let digest: Loose<String>?
      let tags: [String]?
      let createdAt: Loose<String>?
      var identity: String { id }
    }
    let images: Entries<Item>?
    let nextPageToken: String?
    var entries: Entries<Item> { images ?? .none }
    var next: String? { nextPageToken }
  }
}
