import ArgumentParser
import Glibc
import Posix
import TidewaiterClient

/// The flags of `integration add` and `edit` as the daemon's settings. A flag that is not given names no setting; an empty
/// value takes a setting back to its default.
struct IntegrationSettings: ParsableArguments {
  @OptionGroup(title: "Registry") var registry: RegistrySettings
  @OptionGroup(title: "Transport") var transport: TransportSettings
  @OptionGroup(title: "Authentication") var authentication: AuthenticationSettings
  @OptionGroup(title: "Mode and schedule") var mode: ModeSettings
  @OptionGroup(title: "Selection") var selection: SelectionSettings
  @OptionGroup(title: "Limits") var limits: LimitSettings

  /// Puts what was given into `integration`, and says which settings that are, as update masks name them. Reads the
  /// certificate files.
  func apply(to integration: inout Integration) throws -> Set<String> {
    var change = SettingsChange(integration)
    registry.apply(to: &change)
    try transport.apply(to: &change)
    authentication.apply(to: &change)
    mode.apply(to: &change)
    selection.apply(to: &change)
    limits.apply(to: &change)
    integration = change.integration
    return change.paths
  }

  /// Where the secrets that were given are.
  var secretSources: [SecretPart: SecretSource] {
    var sources = transport.secretSources
    sources[.main] = authentication.source
    sources[.sessionToken] = authentication.sessionTokenFile.map { .file($0) }
    return sources
  }

  func validate() throws {
    let standardInput = [authentication.passwordStdin, authentication.apiKeyStdin].count { $0 }
    guard standardInput <= 1 else { throw ValidationError("Only one secret can come from standard input.") }
  }
}

/// An integration on its way to what was asked for, and the settings that were.
struct SettingsChange {
  var integration: Integration
  private(set) var paths: Set<String> = []

  init(_ integration: Integration) { self.integration = integration }

  /// Sets what was given; nil leaves it as it is.
  mutating func set<Value>(_ path: String, _ field: WritableKeyPath<Integration, Value>, _ value: Value?) {
    guard let value else { return }
    integration[keyPath: field] = value
    paths.insert(path)
  }

  /// A list is given by its items; a single empty one empties it.
  mutating func set(_ path: String, list field: WritableKeyPath<Integration, [String]>, _ items: [String]) {
    set(path, field, items.isEmpty ? nil : items == [""] ? [] : items)
  }

  mutating func set(_ path: String, patterns field: WritableKeyPath<Integration, [Pattern]>, _ items: [String]) {
    set(path, field, items.isEmpty ? nil : items == [""] ? [] : items.map(Self.pattern))
  }

  mutating func change(_ path: String, _ body: (inout Integration) throws -> Void) rethrows {
    try body(&integration)
    paths.insert(path)
  }

  static func pattern(_ text: String) -> Pattern {
    var pattern = Pattern()
    pattern.pattern = text
    return pattern
  }
}

struct RegistrySettings: ParsableArguments {
  static let types = [
    "docker-hub", "harbor", "artifactory", "nexus", "gitlab", "quay", "docker-registry", "ecr", "ghcr", "acr", "gar",
    "yandex",
  ]

  @Option(help: ArgumentHelp("Kind of registry: \(types.joined(separator: ", ")).", valueName: "TYPE"))
  var type: String?

  @Option(
    help: ArgumentHelp(
      "Address of the registry, such as https://registry.example.com (docker-hub has its own).", valueName: "URL"))
  var url: String?

  @Option(
    help: ArgumentHelp(
      "Address of the vendor's own API; required for gitlab, where it is GitLab's address.", valueName: "URL"))
  var apiUrl: String?

  @OptionGroup var scopes: ScopeSettings

  @Option(help: ArgumentHelp("Region of ecr, where the address does not tell it.", valueName: "REGION"))
  var region: String?

  @Option(
    help: ArgumentHelp(
      "Repository key behind the address's port, for artifactory by port and nexus (repeatable).", valueName: "KEY"))
  var repositoryKey: [String] = []

  @Option(
    help: ArgumentHelp(
      "How artifactory's repositories are reached: repository-path, subdomain or port.", valueName: "METHOD"))
  var repositoryAccess: String?

  @Option(help: ArgumentHelp("Free text for people.", valueName: "TEXT"))
  var description: String?

  func apply(to change: inout SettingsChange) {
    change.set("type", \.type, type)
    change.set("url", \.url, url)
    change.set("api_url", \.apiUrl, apiUrl)
    scopes.apply(to: &change)
    change.set("region", \.region, region)
    change.set("repository_keys", list: \.repositoryKeys, repositoryKey)
    change.set("repository_access", \.repositoryAccess, repositoryAccess)
    change.set("description", \.description, description)
  }
}

struct TransportSettings: ParsableArguments {
  @Option(help: ArgumentHelp("Certificates (PEM) to trust beside the system's.", valueName: "FILE"))
  var caFile: String?

  @Option(help: ArgumentHelp("Certificate (PEM) to show to the registry.", valueName: "FILE"))
  var clientCert: String?

  @Option(help: ArgumentHelp("Private key (PEM, without a pass phrase) of that certificate.", valueName: "FILE"))
  var clientKey: String?

  @Flag(inversion: .prefixedNo, help: "Do not verify the registry's certificate.")
  var insecure: Bool?

  @Option(
    help: ArgumentHelp(
      "Proxy: http://, https:// or socks5://, with a user name if it wants one; else the environment's.",
      valueName: "URL"))
  var proxy: String?

  @Option(help: ArgumentHelp("File that holds the proxy's password.", valueName: "FILE"))
  var proxyPasswordFile: String?

  @Option(
    help: ArgumentHelp("Host that may issue tokens beside the registry's own (repeatable).", valueName: "HOST"))
  var allowRealmHost: [String] = []

  var secretSources: [SecretPart: SecretSource] {
    var sources: [SecretPart: SecretSource] = [:]
    sources[.clientKey] = clientKey.map { .file($0) }
    sources[.proxyPassword] = proxyPasswordFile.map { .file($0) }
    return sources
  }

  func apply(to change: inout SettingsChange) throws {
    func tls(_ path: String, _ body: (inout Tls) throws -> Void) rethrows {
      try change.change(path) { integration in
        var tls = integration.tls ?? Tls()
        try body(&tls)
        integration.tls = tls
      }
    }
    if let caFile { try tls("tls.ca_pem") { $0.caPem = try Certificates.read(caFile) } }
    if let clientCert {
      try tls("tls.client_certificate_pem") { $0.clientCertificatePem = try Certificates.read(clientCert) }
    }
    if let insecure { tls("tls.insecure") { $0.insecure = insecure } }
    if let proxy {
      change.change("proxy") { integration in
        var wanted = Proxy()
        wanted.url = proxy
        integration.proxy = wanted
      }
    }
    change.set("allowed_realm_hosts", list: \.allowedRealmHosts, allowRealmHost)
  }
}

enum Certificates {
  /// Longest file, in bytes.
  private static let bytesMaximum = 1 << 20

  /// The certificates in the file at `path`; none for no path.
  static func read(_ path: String) throws -> String {
    guard !path.isEmpty else { return "" }
    let bytes: [UInt8]
    do throws(PosixError) {
      bytes = try File.read(path, limit: bytesMaximum)
    } catch {
      throw CommandFailure.local(error)
    }
    guard let text = String(validating: bytes, as: UTF8.self), text.contains("-----BEGIN ") else {
      throw CommandFailure.local("\(path) holds no certificates in PEM form", hint: "convert it to PEM first")
    }
    // A key that was put beside the certificate must not leave its file as if it were none.
    guard !text.contains("PRIVATE KEY-----") else {
      throw CommandFailure.local(
        "\(path) holds a private key", hint: "name a file with certificates alone; the key has its own option")
    }
    return text
  }
}
