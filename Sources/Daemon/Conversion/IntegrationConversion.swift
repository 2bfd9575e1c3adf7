import API
import Model
import Pipeline
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
    mode = record.isAutomatic ? .automatic : .manual
    if let record = record.schedule {
      var schedule = API.Schedule()
      schedule.kind = record.kind
      schedule.value = record.value
      schedule.timezone = record.timezone
      self.schedule = schedule
    }
    var authentication = Authentication()
    authentication.kind = AuthenticationKind(rawValue: record.auth.rawValue + 1)
    authentication.username = record.username
    authentication.hasSecret = record.hasSecret
    authentication.hasSessionToken = record.hasSessionToken
    self.authentication = authentication
    var tls = Tls()
    tls.caPem = String(decoding: record.caPem, as: UTF8.self)
    tls.insecure = record.insecure
    tls.clientCertificatePem = String(decoding: record.clientCertificatePem, as: UTF8.self)
    tls.hasClientKey = record.hasClientKey
    self.tls = tls
    apiUrl = record.apiUrl
    scopes = record.scopes
    region = record.region
    repositoryKeys = record.repositoryKeys
    repositoryAccess = record.repositoryAccess
    includeRemote = record.includeRemote
    if !record.proxy.isEmpty {
      var proxy = Proxy()
      proxy.url = record.proxy
      proxy.hasPassword = record.hasProxyPassword
      self.proxy = proxy
    }
    requestsPerSecond = record.requestsPerSecond
    bytesPerSecond = record.bytesPerSecond
    maxScans = record.maxScans
    maxImageBytes = record.maxImageBytes
    quietHours = record.quietHours
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
    var found = record.exposures
    if record.auth != .anonymous && !record.hasSecret {
      found.append("no secret is stored: give it anew, or nothing can be read")
    }
    if !record.clientCertificatePem.isEmpty && !record.hasClientKey {
      found.append("the client certificate's key is not stored: give it anew, or nothing can be read")
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
