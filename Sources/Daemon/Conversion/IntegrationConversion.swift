import API
import Model
import Registry
import Selection
import StorageMessages

extension API.Integration {
  /// An integration as clients see it: no secret, patterns as they were read, warnings for what is unsafe.
  init(_ record: IntegrationRecord) {
    self.init()
    name = record.name
    type = record.type
    url = record.url
    description = record.description
    mode = .manual
    var authentication = Authentication()
    authentication.kind = AuthenticationKind(rawValue: record.auth.rawValue + 1)
    authentication.username = record.username
    authentication.hasSecret = record.hasSecret
    self.authentication = authentication
    var tls = Tls()
    tls.caPem = String(decoding: record.caPem, as: UTF8.self)
    tls.insecure = record.insecure
    self.tls = tls
    criteria = record.criteria.map(API.Pattern.init(reading:))
    never = record.neverPull.map(API.Pattern.init(reading:))
    always = record.alwaysPull.map(API.Pattern.init(reading:))
    condition = API.Condition(record.condition)
    rescan = record.rescan
    scanTimeout = ProtoDuration(seconds: Int64(record.scanTimeoutSeconds))
    platforms = record.platforms
    maxConcurrent = record.maxConcurrent
    allowedRealmHosts = record.allowedRealmHosts
    createdAt = API.Timestamp(nanoseconds: record.createdAt)
    updatedAt = API.Timestamp(nanoseconds: record.updatedAt)
    etag = String(record.revision)
    warnings = Self.warnings(record)
  }

  private static func warnings(_ record: IntegrationRecord) -> [String] {
    var found: [String] = []
    if record.url.lowercased().hasPrefix("http://") {
      found.append("plain HTTP: images and credentials can be read and changed on their way")
    }
    if record.insecure { found.append("TLS certificates are not verified") }
    if record.auth != .anonymous && !record.hasSecret {
      found.append("no secret is stored: give it anew, or nothing can be read")
    }
    return found
  }
}

extension API.Pattern {
  /// `text` was accepted when it was stored, so it reads again.
  fileprivate init(reading text: String) {
    self.init()
    pattern = text
    guard let read = try? Selection.Pattern(parsing: text) else { return }
    name = read.name ?? ""
    tag = read.tag ?? ""
  }
}

extension API.Condition {
  fileprivate init(_ record: ConditionRecord?) {
    self.init()
    switch record?.kind {
    case .createdWithin(let period):
      kind = .createdWithin
      days = period.days
      months = period.months
      years = period.years
    case .latest(let count):
      kind = .latest
      self.count = count
    case nil: kind = .none
    }
  }
}

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

  private(set) var violations: [(field: String, description: String)] = []

  private mutating func refuse(_ field: String, _ description: String) { violations.append((field, description)) }

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
  /// Fields whose change could lead a stored secret to another host: it is dropped unless it is given anew.
  static let guarding: Set<String> = ["url", "tls", "allowed_realm_hosts"]

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
        refuse("max_concurrent", "must be from \(Self.concurrentRequests.lowerBound) to \(Self.concurrentRequests.upperBound)")
      }
    case "allowed_realm_hosts": record.allowedRealmHosts = realmHosts(wanted.allowedRealmHosts)
    default: refuse("update_mask", "\"\(field)\" is no field that can be changed")
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
      for failure in error.failures { refuse("\(field)[\(failure.index)]", "\(failure.error)") }
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
    for (index, text) in wanted.enumerated() where text != "all" && Platform(text) == nil {
      refuse("platforms[\(index)]", "\"\(text.excerpt())\" is no platform such as linux/amd64 or linux/arm/v7")
    }
    return wanted
  }

  private mutating func realmHosts(_ wanted: [String]) -> [String] {
    if wanted.count > Self.realmHostsMaximum {
      refuse("allowed_realm_hosts", "are more than \(Self.realmHostsMaximum)")
    }
    for (index, host) in wanted.enumerated() {
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
