import API
import Model
import Posix
import StorageMessages
import Store
import Zones

/// Reads what a client wants an integration to be, and gathers everything that is wrong with it (D7).
///
/// Each setting is first read alone; then the whole is checked against the rules of its type, whichever of its settings a
/// change names.
struct IntegrationReader {
  /// What a change makes of an integration.
  struct Update {
    var record: IntegrationRecord
    var secrets: [SecretField: SecretChange] = [:]
    /// Those that were stored and go, though nobody asked for it.
    var dropped: [SecretField] = []
    /// The paths of the mask whose value is another than before.
    var changed: [String] = []

    /// The record as it will be, with what it says of secrets.
    var preview: IntegrationRecord {
      var record = record
      for (field, change) in secrets where change != .keep { record[field] = change != .drop }
      return record
    }
  }

  /// Where the names of time zones are looked up.
  var zones = ZoneDatabase.system
  private(set) var violations: [(field: String, description: String)] = []

  /// Kept of what is wrong, so that the answer stays a small message.
  static let violationsMaximum = 100

  mutating func refuse(_ field: String, _ description: String) {
    if violations.count < Self.violationsMaximum { violations.append((field, description)) }
  }

  /// Settings that a mask may name, in the order of checks.
  static let settable = [
    "type", "url", "api_url", "description", "scopes", "region", "repository_keys", "repository_access", "mode",
    "schedule", "authentication", "tls", "proxy", "criteria", "condition", "never", "always", "rescan", "scan_timeout",
    "platforms", "max_concurrent", "requests_per_second", "bytes_per_second", "quiet_hours", "allowed_realm_hosts",
    "include_remote", "max_scans", "max_image_bytes",
  ]

  /// The record of a new integration; read `violations` before using it.
  mutating func create(_ wanted: API.Integration, secrets: [SecretField: Secret]) -> IntegrationRecord {
    var record = IntegrationRecord()
    if IntegrationName(wanted.name) == nil {
      refuse("name", "must begin with a lower-case letter or digit, then at most 62 of a-z 0-9 . _ -")
    }
    record.name = wanted.name
    for field in Self.settable { take(field, of: wanted, into: &record) }
    checkWhole(&record)
    for field in SecretField.allCases { record[field] = secrets[field] != nil }
    checkCredential(record, given: secrets, needed: Set(SecretField.allCases))
    for field in SecretField.allCases { record[field] = false }
    return record
  }

  /// `current` with the settings that `paths` names taken from `wanted`, and what becomes of its secrets; read `violations`
  /// before using it. Paths of secrets stand for those beside the message: one without a value drops its secret, one whose
  /// value is what is stored (`known`) changes nothing.
  mutating func update(
    _ current: IntegrationRecord, as wanted: API.Integration, paths: Set<String>, secrets: [SecretField: Secret],
    known: Set<SecretField> = []
  ) -> Update {
    var update = Update(record: current)
    let named = Set(SecretField.allCases.filter { paths.contains($0.path) })
    for path in paths.subtracting(SecretField.allCases.map(\.path)).sorted() {
      take(path, of: wanted, into: &update.record)
    }
    if paths.contains("authentication.kind") && !paths.contains("authentication.username") {
      Self.leaveUser(behind: &update.record)
    }
    checkWhole(&update.record)
    update.changed = Self.changes(from: current, to: update.record, paths: paths)
    for field in secrets.keys.sorted(by: { $0.path < $1.path }) where !named.contains(field) {
      refuse(field.path, "is given, and the update mask does not name it")
    }
    for field in SecretField.allCases {
      let mustGo = Self.mustGo(
        field, from: current, to: update.record, replaced: named.subtracting(known))
      if named.contains(field) {
        guard mustGo || !known.contains(field), current[field] || secrets[field] != nil else { continue }
        update.secrets[field] = secrets[field].map { .replace($0) } ?? .drop
        update.changed.append(field.path)
      } else if current[field] && mustGo {
        update.secrets[field] = .drop
        update.dropped.append(field)
      }
    }
    // What was confirmed elsewhere, or by somebody else, is confirmed no more; with a secret the store counts on itself.
    if update.secrets.isEmpty && !Self.isSameReader(current, update.record) { update.record.credentialGeneration += 1 }
    checkCredential(
      update.preview, given: secrets,
      needed: Self.needed(current, update.record, paths: paths, named: named))
    return update
  }

  /// The user name of an account does not stand in the way of another kind, which has none.
  private static func leaveUser(behind record: inout IntegrationRecord) {
    let keyHasUser = VendorRules.of(record.type).map { $0.keyUser != .refused } ?? false
    if record.auth == .anonymous || (record.auth == .apiKey && !keyHasUser) { record.username = "" }
  }

  /// Which of the settings differ, after the type's rules have filled in what was left open.
  private static func changes(
    from current: IntegrationRecord, to new: IntegrationRecord, paths: Set<String>
  ) -> [String] {
    let shown = API.Integration(new)
    // What was refused is told already.
    var silent = IntegrationReader()
    return paths.subtracting(SecretField.allCases.map(\.path)).sorted().filter { path in
      var record = current
      silent.take(path, of: shown, into: &record)
      return record != current
    }
  }

  /// The secrets whose absence is the asker's mistake. One that was dropped before, or that this change drops by itself, is
  /// none: `warnings` says that it is missing.
  private static func needed(
    _ current: IntegrationRecord, _ new: IntegrationRecord, paths: Set<String>, named: Set<SecretField>
  ) -> Set<SecretField> {
    var needed = named
    if !current.hasSecret && paths.contains(where: { $0.hasPrefix("authentication") }) { needed.insert(.main) }
    if current.clientCertificatePem != new.clientCertificatePem { needed.insert(.clientKey) }
    return needed
  }

  // MARK: - Where a secret may not follow

  /// Whether a change could lead a stored secret to another host, or makes another account of it.
  private static func mustGo(
    _ field: SecretField, from old: IntegrationRecord, to new: IntegrationRecord, replaced: Set<SecretField>
  ) -> Bool {
    switch field {
    case .main: !isSameReader(old, new)
    // It belongs to the very key it was issued with.
    case .sessionToken: !isSameReader(old, new) || replaced.contains(.main)
    case .clientKey: !isSameDestination(old, new) || old.clientCertificatePem != new.clientCertificatePem
    case .proxyPassword: old.proxy != new.proxy || old.caPem != new.caPem || old.insecure != new.insecure
    }
  }

  /// D7's settings, and those of single vendors that decide on a host too.
  private static func isSameDestination(_ old: IntegrationRecord, _ new: IntegrationRecord) -> Bool {
    old.type == new.type && old.url == new.url && old.apiUrl == new.apiUrl && old.proxy == new.proxy
      && old.caPem == new.caPem && old.insecure == new.insecure
      && old.allowedRealmHosts == new.allowedRealmHosts && old.region == new.region
      && old.repositoryKeys == new.repositoryKeys && old.repositoryAccess == new.repositoryAccess
  }

  private static func isSameReader(_ old: IntegrationRecord, _ new: IntegrationRecord) -> Bool {
    isSameDestination(old, new) && old.auth == new.auth && old.username == new.username
  }

  // MARK: - One setting

  mutating func take(_ field: String, of wanted: API.Integration, into record: inout IntegrationRecord) {
    switch field {
    case "type": record.type = type(wanted.type)
    case "url": record.url = address(wanted.url, field)
    case "api_url": record.apiUrl = address(wanted.apiUrl, field)
    case "description": record.description = description(wanted.description)
    case "scopes": record.scopes = names(wanted.scopes, field, isScope: true)
    case "region": record.region = region(wanted.region)
    case "repository_keys": record.repositoryKeys = names(wanted.repositoryKeys, field, isScope: false)
    case "repository_access": record.repositoryAccess = repositoryAccess(wanted.repositoryAccess)
    case "mode": record.isAutomatic = isAutomatic(wanted.mode)
    case "schedule": record.schedule = schedule(wanted.schedule)
    case "authentication", "authentication.kind", "authentication.username":
      takeAuthentication(wanted.authentication ?? Authentication(), field, into: &record)
    case "tls", "tls.ca_pem", "tls.insecure", "tls.client_certificate_pem":
      takeTLS(wanted.tls ?? Tls(), field, into: &record)
    case "proxy", "proxy.url": record.proxy = proxy(wanted.proxy?.url ?? "")
    case "criteria": record.criteria = patterns(wanted.criteria, field)
    case "never": record.neverPull = patterns(wanted.never, field)
    case "always": record.alwaysPull = patterns(wanted.always, field)
    case "condition": record.condition = condition(wanted.condition)
    case "rescan": record.rescan = wanted.rescan
    case "include_remote": record.includeRemote = wanted.includeRemote
    case "scan_timeout": record.scanTimeoutSeconds = scanTimeout(wanted.scanTimeout)
    case "platforms": record.platforms = platforms(wanted.platforms)
    case "max_concurrent": record.maxConcurrent = maxConcurrent(wanted.maxConcurrent)
    case "requests_per_second": record.requestsPerSecond = requestsPerSecond(wanted.requestsPerSecond)
    case "bytes_per_second": record.bytesPerSecond = bytesPerSecond(wanted.bytesPerSecond)
    case "max_scans": record.maxScans = maxScans(wanted.maxScans)
    case "max_image_bytes": record.maxImageBytes = maxImageBytes(wanted.maxImageBytes)
    case "quiet_hours": record.quietHours = quietHours(wanted.quietHours)
    case "allowed_realm_hosts": record.allowedRealmHosts = realmHosts(wanted.allowedRealmHosts)
    default: refuse("update_mask", "\"\(field.excerpt())\" is no field that can be changed")
    }
  }
}

extension SecretField {
  /// As requests and masks name it.
  var path: String {
    switch self {
    case .main: "secret"
    case .sessionToken: "session_token"
    case .clientKey: "client_key_pem"
    case .proxyPassword: "proxy_password"
    }
  }
}
