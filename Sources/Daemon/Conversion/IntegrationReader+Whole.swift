import Registry
import StorageMessages

/// Whether the settings fit together, by the rules of the integration's type.
extension IntegrationReader {
  /// Also fills in what the type leaves open: Docker Hub's address, how Artifactory's repositories are reached.
  mutating func checkWhole(_ record: inout IntegrationRecord) {
    if record.isAutomatic && record.schedule == nil { refuse("schedule", "is required for the mode automatic") }
    if !record.isAutomatic && record.schedule != nil { refuse("schedule", "needs the mode automatic") }
    guard let rules = VendorRules.of(record.type) else {
      if record.url.isEmpty { refuse("url", "is required: the registry's full address") }
      return
    }
    completeAddress(&record, rules)
    if rules.repositoryAccess == .required && record.repositoryAccess.isEmpty {
      record.repositoryAccess = VendorRules.repositoryAccesses[0]
    }
    check(
      rules.apiURL, isGiven: !record.apiUrl.isEmpty, "api_url", record.type,
      what: "the address of the vendor's own API, such as https://gitlab.example.com")
    checkScopes(record, rules)
    check(
      rules.region == .required && Self.address(record.url).flatMap { ECRHost($0.host) } != nil
        ? .optional : rules.region,
      isGiven: !record.region.isEmpty, "region", record.type,
      what: "the address does not tell it: such as eu-west-1")
    check(
      rules.repositoryAccess, isGiven: !record.repositoryAccess.isEmpty, "repository_access", record.type,
      what: "one of \(VendorRules.repositoryAccesses.joined(separator: ", "))")
    checkRepositoryKeys(record, rules)
    if !rules.kinds.contains(record.auth) {
      let allowed = rules.kinds.map(\.word).joined(separator: " or ")
      let hint = rules.kindHint.isEmpty ? "" : " (\(rules.kindHint))"
      refuse("authentication.kind", "must be \(allowed) for \(record.type)\(hint)")
    }
    checkUser(record, rules)
  }

  private mutating func completeAddress(_ record: inout IntegrationRecord, _ rules: VendorRules) {
    if record.type == "docker-hub", let host = Self.address(record.url)?.host, VendorRules.dockerHubHosts.contains(host)
    {
      record.url = VendorRules.dockerHub
    }
    guard record.url.isEmpty else { return }
    guard let fixed = rules.url else { return refuse("url", "is required: the registry's full address") }
    record.url = fixed
  }

  /// Nil for an address that does not read: that was refused when it was read alone.
  private static func address(_ url: String) -> WebAddress? { try? WebAddress(url) }

  private mutating func checkScopes(_ record: IntegrationRecord, _ rules: VendorRules) {
    var need = rules.scopes
    // Docker Hub lists by namespace; the user's own is the default.
    if record.type == "docker-hub" && record.username.isEmpty { need = .required }
    check(need, isGiven: !record.scopes.isEmpty, "scopes", record.type, what: rules.scopeNoun)
  }

  private mutating func checkRepositoryKeys(_ record: IntegrationRecord, _ rules: VendorRules) {
    check(
      rules.repositoryKeys, isGiven: !record.repositoryKeys.isEmpty, "repository_keys", record.type,
      what: "the repository keys behind the port")
    guard record.type == "artifactory" else { return }
    if record.repositoryAccess != "port" && !record.repositoryKeys.isEmpty {
      refuse("repository_keys", "goes with the repository access port only")
    }
    if record.repositoryAccess == "subdomain", Self.address(record.url)?.isLiteral == true {
      refuse("repository_access", "subdomain needs a host name in the address, not a number")
    }
  }

  private mutating func checkUser(_ record: IntegrationRecord, _ rules: VendorRules) {
    let field = "authentication.username"
    switch record.auth {
    case .account:
      if record.username.isEmpty { refuse(field, "is required") }
    case .apiKey where rules.keyUser != .refused:
      if rules.keyUser == .required && record.username.isEmpty {
        refuse(field, "is required beside the key for \(record.type)")
      }
    default:
      if !record.username.isEmpty { refuse(field, "goes with the kind account only") }
    }
  }

  private mutating func check(_ need: VendorRules.Need, isGiven: Bool, _ field: String, _ type: String, what: String) {
    switch need {
    case .required where !isGiven: refuse(field, "is required for \(type): \(what)")
    case .refused where isGiven: refuse(field, "is not for \(type)")
    default: break
    }
  }
}
