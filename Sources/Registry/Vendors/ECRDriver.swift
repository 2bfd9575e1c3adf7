import FoundationEssentials
import Model
import Posix

/// A private registry of Amazon ECR: listed by ECR's JSON API, whose requests are signed with the account's key, and
/// read with a password that the API hands out for half a day.
///
/// A scope is the account's id, where the address does not tell it, or the first parts of repository names.
struct ECRDriver: RegistryDriver {
  private static let pageSize = 1_000
  /// One that is fetched each hour never dies in the middle of a pull.
  private static let passwordLifeMax = Duration.seconds(3_600)

  let session: RegistrySession
  private let password: RenewableToken

  init(_ session: RegistrySession) {
    self.session = session
    password = RenewableToken { try await Self.fetchPassword(session) }
  }

  func credential(after refused: WireCredential?) async throws -> WireCredential {
    guard case .account = session.endpoint.credential else { return WireCredential(session.endpoint.credential) }
    let current =
      if case .basic(_, let stale) = refused { try await password.renewed(after: stale) } else {
        try await password.current()
      }
    return .basic(user: "AWS", password: current)
  }

  var forbidsWithExpired: Bool { true }

  // MARK: listing

  func repositories(_ listing: RepositoryListing) async throws {
    let service = try Service(session)
    let prefixes = try await cachedPrefixes(service, listing)
    try await service.api.pages(
      of: Repositories.self, .token("nextToken"), in: listing,
      request: { try service.request(.describeRepositories, ListRequest(service, $0)) }
    ) { item in
      let name = item.repositoryName
      guard service.narrows(to: name) else { return }
      try await listing.found(name, prefixes.contains { name.hasPrefix($0 + "/") } ? .remote : .local)
    }
  }

  /// Which repositories are filled from other registries. Without the right to see the rules all count as local, which
  /// the connection test says.
  private func cachedPrefixes(_ service: Service, _ listing: RepositoryListing) async throws -> Set<String> {
    var prefixes: Set<String> = []
    do {
      try await service.api.pages(
        of: CacheRules.self, .token("nextToken"), in: listing,
        request: { try service.request(.describePullThroughCacheRules, ListRequest(service, $0)) }
      ) { prefixes.insert($0.ecrRepositoryPrefix) }
    } catch let error as RegistryError where error.code == .forbidden {
      return []
    }
    return prefixes
  }

  func tags(of repository: ListedRepository, _ listing: TagListing) async throws {
    let service = try Service(session)
    try await service.api.pages(
      of: Images.self, .token("nextToken"), in: listing,
      request: { try service.request(.describeImages, ListRequest(service, $0, taggedIn: repository.repository)) }
    ) { item in
      for tag in item.imageTags ?? [] {
        if let status = item.imageStatus?.value, status != "ACTIVE" {
          listing.reject(tag, "it cannot be pulled: its status is \(ForeignText.escaped(status, lengthMax: 40))")
        } else {
          try await listing.found(
            tag, digest: item.imageDigest, pushedAt: item.imagePushedAt?.value.flatMap(Timestamp.init(unixSeconds:)),
            isImage: item.isImage ?? false, isOther: item.isImage == false)
        }
      }
    }
  }

  // MARK: the connection test

  func examine(_ test: ConnectionTest) async throws {
    guard case .account = session.endpoint.credential else {
      test.add(
        .vendor, .failed, "ECR's API answers nobody without a key",
        hint: "give an access key: its id as the user name, the secret as the password")
      return
    }
    let isKnown = try await test.attempt(.vendor) {
      let service = try Service(session)
      let answer = try await service.api.send(try service.request(.getAuthorizationToken, Empty()))
      let expires = try answer.decode(Authorization.self).first?.expiresAt.flatMap(Timestamp.init(unixSeconds:))
      return "ECR's API answers at \(service.api.base) and knows the key"
        + (expires.map { "; its password for the registry is good until \($0)" } ?? "")
    }
    guard isKnown else { return }
    if session.endpoint.vendor.sessionToken != nil {
      test.add(
        .credential, .ok, "the key is a temporary one",
        hint: "it ends after 36 hours at the latest; the key of an IAM user lasts")
    }
    try await test.attempt(
      .rights,
      hint:
        "allow ecr:DescribePullThroughCacheRules; without it, repositories that ECR fills from elsewhere count as local"
    ) {
      let service = try Service(session)
      let answer = try await service.api.send(
        try service.request(.describePullThroughCacheRules, ListRequest(service, .first)))
      return "the pull-through cache rules can be read: \(try answer.decode(CacheRules.self).entries.items.count)"
    }
  }

  // MARK: the service

  private enum Action: String {
    case getAuthorizationToken = "GetAuthorizationToken"
    case describeRepositories = "DescribeRepositories"
    case describeImages = "DescribeImages"
    case describePullThroughCacheRules = "DescribePullThroughCacheRules"
  }

  /// ECR's API as the settings lead to it.
  private struct Service: Sendable {
    let api: VendorAPI
    let registryID: String?
    private let prefixes: [String]

    init(_ session: RegistrySession) throws(RegistryError) {
      let vendor = session.endpoint.vendor
      let host = ECRHost(session.endpoint.url.host)
      guard let region = vendor.region ?? host?.region, ECRHost.isRegion(region) else {
        throw RegistryError(
          .requestRefused, "the region of the registry at \(session.endpoint.url.host) is not known",
          hint: "give it with --region, such as eu-west-1")
      }
      guard case .account(let keyID, let key) = session.endpoint.credential else {
        throw RegistryError(
          .unauthorized, "ECR's API answers nobody without a key",
          hint: "give an access key: its id as the user name, the secret as the password")
      }
      let accounts = vendor.scopes.filter(ECRHost.isAccount)
      guard accounts.count <= 1, accounts.allSatisfy({ $0 == host?.account ?? $0 }) else {
        throw RegistryError(
          .requestRefused, "the registry at \(session.endpoint.url.host) is not that of the account in the scope",
          hint: "make an integration for each account's registry")
      }
      registryID = accounts.first ?? host?.account
      prefixes = vendor.scopes.filter { !ECRHost.isAccount($0) }
      let home = WebAddress(
        https: host.flatMap { $0.region == region ? $0.apiHost : nil } ?? ECRHost.apiHost(in: region))
      api = VendorAPI(
        session, vendor.apiURL ?? home,
        authorization: .signature(
          AWSSignature(region: region, service: "ecr", keyID: keyID, key: key, sessionToken: vendor.sessionToken)))
    }

    /// Whether the scopes let a repository in.
    func narrows(to name: String) -> Bool {
      prefixes.isEmpty || prefixes.contains { name == $0 || name.hasPrefix($0 + "/") }
    }

    func request(_ action: Action, _ content: some Encodable) throws -> VendorAPI.Request {
      var request = VendorAPI.Request.post(
        "/", contentType: "application/x-amz-json-1.1", Secret(Array(try JSONEncoder().encode(content))))
      request.headers.append(("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.\(action.rawValue)"))
      return request
    }
  }

  private static func fetchPassword(_ session: RegistrySession) async throws -> BearerToken {
    let service = try Service(session)
    let answer = try await service.api.withoutPermit.send(try service.request(.getAuthorizationToken, Empty()))
    let given = try answer.decode(Authorization.self).first
    guard let given, let pair = Base64.decoded(given.authorizationToken), let colon = pair.firstIndex(of: 0x3a) else {
      throw RegistryError.malformed("\(answer.subject) was answered without a password for the registry")
    }
    let life = given.expiresAt.flatMap(Timestamp.init(unixSeconds:)).map { $0.seconds - Timestamp.now.seconds }
    return try BearerToken(
      Secret(Array(pair[(colon + 1)...])), life: min(.seconds(life ?? 0), passwordLifeMax), from: service.api.base)
  }

  // MARK: the API's words

  private struct Empty: Encodable {}

  private struct ListRequest: Encodable {
    struct Filter: Encodable { let tagStatus: String }

    let registryId: String?
    let repositoryName: String?
    let maxResults = pageSize
    let nextToken: String?
    let filter: Filter?

    init(_ service: Service, _ cursor: PageCursor, taggedIn repository: Repository? = nil) {
      registryId = service.registryID
      repositoryName = repository?.path
      filter = repository.map { _ in Filter(tagStatus: "TAGGED") }
      nextToken = if case .token(let token) = cursor { token } else { nil }
    }
  }

  private struct Authorization: Decodable {
    struct Item: Decodable {
      let authorizationToken: String
      let expiresAt: Double?
    }
    let authorizationData: [Item]

    var first: Item? { authorizationData.first }
  }

  private struct Repositories: VendorPage {
    struct Item: VendorItem {
      let repositoryName: String
      var identity: String { repositoryName }
    }
    let repositories: Entries<Item>?
    let nextToken: String?
    var entries: Entries<Item> { repositories ?? .none }
    var next: String? { nextToken }
  }

  private struct CacheRules: VendorPage {
    struct Item: VendorItem {
      let ecrRepositoryPrefix: String
      var identity: String { ecrRepositoryPrefix }
    }
    let pullThroughCacheRules: Entries<Item>?
    let nextToken: String?
    var entries: Entries<Item> { pullThroughCacheRules ?? .none }
    var next: String? { nextToken }
  }

  private struct Images: VendorPage {
    struct Item: VendorItem {
      let imageDigest: String
      let imageTags: [String]?
      let imagePushedAt: Loose<Double>?
      /// The config's.
      let artifactMediaType: Loose<String>?
      let imageStatus: Loose<String>?
      var identity: String { imageDigest }

      /// Nil for an index, and where ECR did not look.
      var isImage: Bool? { artifactMediaType?.value.map(MediaType.imageConfigs.contains) }
    }
    let imageDetails: Entries<Item>?
    let nextToken: String?
    var entries: Entries<Item> { imageDetails ?? .none }
    var next: String? { nextToken }
  }
}
