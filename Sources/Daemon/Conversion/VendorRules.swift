import Registry
import StorageMessages

/// What the settings of one type of registry must and may be: the one table of it (D1, D2 and design.md section 3).
struct VendorRules: Sendable {
  /// Whether a setting must, may or cannot be given.
  enum Need: Sendable {
    case required, optional, refused
  }

  /// The address that an empty one stands for; nil where one is required.
  var url: String?
  var apiURL = Need.optional
  var scopes = Need.optional
  var region = Need.refused
  var repositoryKeys = Need.refused
  var repositoryAccess = Need.refused
  var kinds: [AuthKind] = [.anonymous, .account, .apiKey]
  /// The user name beside an API key.
  var keyUser = Need.refused
  var sessionToken = Need.refused
  /// What an empty scope is asked for as.
  var scopeNoun = "the scopes to read"
  /// What the vendor has in place of the kinds that are refused.
  var kindHint = ""

  static let repositoryAccesses = RepositoryAccess.allCases.map(\.rawValue)
  /// Where Docker Hub's images are, and the addresses that people write for it.
  static let dockerHub = "https://registry-1.docker.io"
  static let dockerHubHosts: Set = ["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"]

  /// In the order that people are shown.
  private static let all: [(type: String, rules: VendorRules)] = [
    (
      "docker-hub",
      VendorRules(url: dockerHub, keyUser: .required, scopeNoun: "the namespaces to read, since there is no user name")
    ),
    ("harbor", VendorRules(kinds: [.anonymous, .account], kindHint: "a robot account is an account too")),
    ("artifactory", VendorRules(repositoryKeys: .optional, repositoryAccess: .required)),
    (
      "nexus",
      VendorRules(
        repositoryKeys: .optional, kinds: [.account], kindHint: "a user token is a name and a pass code: an account too"
      )
    ),
    ("gitlab", VendorRules(apiURL: .required)),
    ("quay", VendorRules(scopes: .required, scopeNoun: "the namespaces to read")),
    ("docker-registry", VendorRules(apiURL: .refused)),
    (
      "ecr",
      VendorRules(
        region: .required, kinds: [.account], sessionToken: .optional,
        kindHint: "the user name is the access key id, the password the secret access key")
    ),
    ("ghcr", VendorRules(scopes: .required, scopeNoun: "the organisations or users to read")),
    ("acr", VendorRules()),
    (
      "gar",
      VendorRules(
        scopes: .required, kinds: [.anonymous, .apiKey], scopeNoun: "the projects to read",
        kindHint: "the key is a service account's JSON file")
    ),
    ("yandex", VendorRules(scopes: .required, scopeNoun: "the registry ids to read")),
  ]

  static let types = all.map(\.type)

  static func of(_ type: String) -> VendorRules? { all.first { $0.type == type }?.rules }
}

extension AuthKind {
  /// In the words of the client's options.
  var word: String {
    switch self {
    case .account: "account"
    case .apiKey: "api-key"
    default: "anonymous"
    }
  }
}
