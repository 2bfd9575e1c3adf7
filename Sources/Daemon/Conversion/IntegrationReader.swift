import API
import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store

/// Reads what a client wants an integration to be, and gathers everything that is wrong with it (D7).
struct IntegrationReader {
  static let type = "docker-registry"
  static let descriptionLengthMaximum = 1000
  static let scanTimeoutSeconds = 10...86_400
  static let scanTimeoutSecondsDefault: UInt32 = 1800
  static let concurrentRequests = 1...64
  static let realmHostsMaximum = 32
  static let platformsMaximum = 16
  static let authorityBytesMaximum = 1 << 20
  static let secretBytesMaximum = 64 * 1024
  static let usernameBytesMaximum = 1024

  private(set) var violations: [(field: String, description: String)] = []

  /// Kept of what is wrong, so that the answer stays a small message.
  static let violationsMaximum = 100

  private mutating func refuse(_ field: String, _ description: String) {
    if violations.count < Self.violationsMaximum { violations.append((field, description)) }
  }

  /// The record of a new integration; read `violations` before using it.
  mutating func create(_ wanted: API.Integration, secret: [UInt8]) -> IntegrationRecord {
    var record = IntegrationRecord()
    if IntegrationName(wanted.name) == nil {
      refuse("name", "must begin with a lower-case letter or digit, then at most 62 of a-z 0-9 . _ -")
    }
    record.name = wanted.name
    for field in Self.settable { take(field, of: wanted, into: &record) }
    checkCredential(record, hasSecret: !secret.isEmpty, secret: secret)
    return record
  }

  /// Fields that a mask may name, in the order of checks.
  static let settable = [
    "type", "url", "description", "mode", "schedule", "authentication", "tls", "criteria", "condition", "never",
    "always", "rescan", "scan_timeout", "platforms", "max_concurrent", "allowed_realm_hosts",
  ]

  /// The record `current` with the fields that `paths` names taken from `wanted`, and what becomes of its secret; read
  /// `violations` before using them. The path `secret` stands for the secret beside the message.
  mutating func update(
    _ current: IntegrationRecord, as wanted: API.Integration, paths: Set<String>, secret: [UInt8]
  ) -> (record: IntegrationRecord, secret: StateStore.SecretChange) {
    var record = current
    for path in paths.subtracting(["secret"]).sorted() { take(path, of: wanted, into: &record) }
    if !secret.isEmpty && !paths.contains("secret") {
      refuse("secret", "is given, and the update mask does not name it")
    }
    let leadsElsewhere = Self.leadsElsewhere(from: current, to: record)
    let change: StateStore.SecretChange
    if paths.contains("secret") {
      change = secret.isEmpty ? .drop : .replace(secret)
    } else {
      change = leadsElsewhere && current.hasSecret ? .drop : .keep
    }
    // What was confirmed elsewhere, or by somebody else, is confirmed no more; with the secret the store counts on itself.
    if leadsElsewhere && change == .keep { record.credentialGeneration += 1 }
    // A secret that was dropped before, or that this change drops by itself, is no mistake of the asker: `warnings` says
    // that it is missing.
    let isAskedFor = paths.contains("secret") || (paths.contains("authentication") && !current.hasSecret)
    checkCredential(record, hasSecret: !isAskedFor || !secret.isEmpty, secret: secret)
    return (record, change)
  }

  /// Whether a change could lead a stored secret to another host, or makes another account of it: the secret is then
  /// dropped unless it is given anew, and nothing counts as confirmed.
  private static func leadsElsewhere(from old: IntegrationRecord, to new: IntegrationRecord) -> Bool {
    old.url != new.url || old.caPem != new.caPem || old.insecure != new.insecure
      || old.allowedRealmHosts != new.allowedRealmHosts || old.auth != new.auth || old.username != new.username
  }
  mutating func take(_ field: String, of wanted: API.Integration, into record: inout IntegrationRecord) {
    switch field {
    case "type":
      record.type = wanted.type
      if wanted.type != Self.type { refuse("type", "must be \(Self.type)") }
    case "url":
      record.url = wanted.url
      do {
        _ = try RegistryEndpoint(url: wanted.url)
      } catch {
        refuse("url", wanted.url.isEmpty ? "is required: the registry's full address" : error.reason)
      }
    case "description":
      record.description = wanted.description
      if wanted.description.unicodeScalars.count > Self.descriptionLengthMaximum {
        refuse("description", "is longer than \(Self.descriptionLengthMaximum) characters")
      }
    case "mode":
      if ![.manual, .unspecified].contains(wanted.mode) { refuse("mode", "must be manual") }
    case "schedule":
      if wanted.schedule != nil { refuse("schedule", "needs the mode automatic") }
    case "authentication": takeAuthentication(wanted.authentication, into: &record)
    case "tls": takeTLS(wanted.tls, into: &record)
    case "criteria": record.criteria = patterns(wanted.criteria, "criteria")
    case "never": record.neverPull = patterns(wanted.never, "never")
    case "always": record.alwaysPull = patterns(wanted.always, "always")
    case "condition": record.condition = condition(wanted.condition)
    case "rescan": record.rescan = wanted.rescan
    case "scan_timeout": record.scanTimeoutSeconds = scanTimeout(wanted.scanTimeout)
    case "platforms": record.platforms = platforms(wanted.platforms)
    case "max_concurrent":
      record.maxConcurrent =
        wanted.maxConcurrent == 0 ? UInt32(RegistryEndpoint.concurrentRequestsDefault) : wanted.maxConcurrent
      if !Self.concurrentRequests.contains(Int(record.maxConcurrent)) {
        refuse(
          "max_concurrent",
          "must be from \(Self.concurrentRequests.lowerBound) to \(Self.concurrentRequests.upperBound)")
      }
    case "allowed_realm_hosts": record.allowedRealmHosts = realmHosts(wanted.allowedRealmHosts)
    default: refuse("update_mask", "\"\(field.excerpt())\" is no field that can be changed")
    }
  }

  private mutating func takeAuthentication(_ wanted: Authentication?, into record: inout IntegrationRecord) {
    switch wanted?.kind ?? .anonymous {
    case .anonymous, .unspecified: record.auth = .anonymous
    case .account: record.auth = .account
    case .apiKey: record.auth = .apiKey
    default: refuse("authentication.kind", "is none of anonymous, account, api-key")
    }
    record.username = wanted?.username ?? ""
    if record.username.utf8.count > Self.usernameBytesMaximum {
      refuse("authentication.username", "is longer than \(Self.usernameBytesMaximum) bytes")
    }
  }

  /// Whether the credential's parts fit together.
  mutating func checkCredential(_ record: IntegrationRecord, hasSecret: Bool, secret: [UInt8]) {
    if record.auth != .account && !record.username.isEmpty {
      refuse("authentication.username", "goes with the kind account only")
    }
    if record.auth == .account && record.username.isEmpty { refuse("authentication.username", "is required") }
    if record.auth == .anonymous && !secret.isEmpty { refuse("secret", "goes with the kinds account and api-key only") }
    if record.auth != .anonymous && !hasSecret {
      refuse("secret", record.auth == .account ? "is required: the password" : "is required: the key")
    }
    guard !secret.isEmpty else { return }
    guard secret.count <= Self.secretBytesMaximum, let text = String(validating: secret, as: UTF8.self) else {
      return refuse("secret", "must be UTF-8 text of at most \(Self.secretBytesMaximum) bytes")
    }
    if record.auth == .anonymous || (record.auth == .account && record.username.isEmpty) { return }
    let credential: Credential =
      record.auth == .account ? .account(user: record.username, password: Secret(text)) : .apiKey(Secret(text))
    do {
      // The address has its own check; here only the credential counts.
      _ = try RegistryEndpoint(url: "https://registry.invalid", credential: credential)
    } catch {
      refuse(error.field == "user" ? "authentication.username" : "secret", error.reason)
    }
  }

  private mutating func takeTLS(_ wanted: Tls?, into record: inout IntegrationRecord) {
    let pem = Array((wanted?.caPem ?? "").utf8)
    record.caPem = pem
    record.insecure = wanted?.insecure ?? false
    guard !pem.isEmpty else { return }
    guard pem.count <= Self.authorityBytesMaximum else {
      return refuse("tls.ca_pem", "is longer than \(Self.authorityBytesMaximum) bytes")
    }
    do {
      _ = try RegistryEndpoint(url: "https://registry.invalid", caPEM: pem)
    } catch {
      refuse("tls.ca_pem", error.reason)
    }
  }

  private mutating func patterns(_ wanted: [API.Pattern], _ field: String) -> [String] {
    let texts = wanted.map(\.pattern)
    do {
      _ = try Selection.Pattern.list(parsing: texts)
    } catch {
      if error.failures.isEmpty { refuse(field, "\(error)") }
      for failure in error.failures.prefix(Self.violationsMaximum) {
        refuse("\(field)[\(failure.index)]", "\(failure.error)")
      }
    }
    return texts
  }

  private mutating func condition(_ wanted: API.Condition?) -> ConditionRecord? {
    guard let wanted else { return nil }
    var record = ConditionRecord()
    do {
      switch wanted.kind {
      case .none, .unspecified: return nil
      case .createdWithin:
        _ = try CalendarPeriod(days: Int(wanted.days), months: Int(wanted.months), years: Int(wanted.years))
        var period = CreatedWithinRecord()
        period.days = wanted.days
        period.months = wanted.months
        period.years = wanted.years
        record.kind = .createdWithin(period)
      case .latest:
        _ = try LatestCount(Int(wanted.count))
        record.kind = .latest(wanted.count)
      default: refuse("condition.kind", "is none of none, created_within, latest")
      }
    } catch {
      refuse("condition", "\(error)")
    }
    return record
  }

  private mutating func scanTimeout(_ wanted: ProtoDuration?) -> UInt32 {
    guard let wanted, wanted.seconds != 0 || wanted.nanos != 0 else { return Self.scanTimeoutSecondsDefault }
    guard Self.scanTimeoutSeconds.contains(Int(wanted.seconds)) else {
      refuse("scan_timeout", "must be from 10 seconds to 24 hours")
      return Self.scanTimeoutSecondsDefault
    }
    return UInt32(wanted.seconds)
  }

  private mutating func platforms(_ wanted: [String]) -> [String] {
    if wanted.count > Self.platformsMaximum { refuse("platforms", "are more than \(Self.platformsMaximum)") }
    if wanted.contains("all") && wanted.count > 1 { refuse("platforms", "\"all\" stands alone") }
    for (index, text) in wanted.prefix(Self.platformsMaximum).enumerated() where text != "all" && Platform(text) == nil
    {
      refuse("platforms[\(index)]", "\"\(text.excerpt())\" is no platform such as linux/amd64 or linux/arm/v7")
    }
    return wanted
  }

  private mutating func realmHosts(_ wanted: [String]) -> [String] {
    if wanted.count > Self.realmHostsMaximum {
      refuse("allowed_realm_hosts", "are more than \(Self.realmHostsMaximum)")
    }
    for (index, host) in wanted.prefix(Self.realmHostsMaximum).enumerated() {
      let isHost =
        !host.isEmpty && host.utf8.count <= 253
        && host.utf8.allSatisfy { byte in
          (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x30...0x39).contains(byte)
            || ".-:[]".utf8.contains(byte)
        }
      if !isHost { refuse("allowed_realm_hosts[\(index)]", "\"\(host.excerpt())\" is no host name") }
    }
    return wanted
  }
}
