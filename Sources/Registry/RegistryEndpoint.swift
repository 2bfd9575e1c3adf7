import CCurlShim
import Model
import Posix

/// Who we are at a registry.
package enum Credential: Sendable, Hashable {
  case anonymous
  case account(user: String, password: Secret)
  /// Sent as a Bearer token with every request.
  case apiKey(Secret)
}

/// Where a registry is and how it may be spoken to: everything of an integration that this room needs.
package struct RegistryEndpoint: Sendable {
  package struct Malformed: Error, Equatable, CustomStringConvertible {
    /// The setting, in the words of the client's options: `url`, `ca-file`, `user`, `api-key`.
    package let field: String
    package let reason: String
    package var description: String { "\(field): \(reason)" }
  }

  package static let concurrentRequestsDefault = 8

  package let url: WebAddress
  package let vendor: VendorSettings
  package let credential: Credential
  package let connection: ConnectionSettings
  package let rates: RateLimits
  /// Hosts beside the registry's own on which its token service may live; lower case.
  package let allowedRealmHosts: Set<String>
  package let concurrentRequestsMax: Int

  package init(
    url text: String, vendor: VendorSettings = .plain, credential: Credential = .anonymous, caPEM: [UInt8]? = nil,
    isInsecure: Bool = false, identity: ClientIdentity? = nil, proxy: ProxyChoice = .environment,
    rates: RateLimits = RateLimits(), allowedRealmHosts: some Sequence<String> = [],
    concurrentRequestsMax: Int = concurrentRequestsDefault
  ) throws(Malformed) {
    url = try Self.parse(url: text, field: "url")
    self.vendor = vendor
    if let caPEM { try Self.check(authorities: caPEM) }
    try Self.check(credential, of: vendor.type)
    guard concurrentRequestsMax > 0 else { throw Malformed(field: "concurrent-requests", reason: "must be at least 1") }
    self.credential = credential
    connection = ConnectionSettings(
      tls: TLSSettings(additionalAuthorities: caPEM, isInsecure: isInsecure, identity: identity), proxy: proxy)
    self.rates = rates
    self.allowedRealmHosts = Set(allowedRealmHosts.map { $0.lowercased() })
    self.concurrentRequestsMax = concurrentRequestsMax
  }

  /// Reads the address a user gave. A path is kept: `/v2/` follows it.
  static func parse(url text: String, field: String) throws(Malformed) -> WebAddress {
    // An empty query or fragment is lost in parsing, so it is looked for here.
    if text.contains("?") { throw Malformed(field: field, reason: "a query (\"?\") cannot be part of it") }
    if text.contains("#") { throw Malformed(field: field, reason: "a fragment (\"#\") cannot be part of it") }
    guard text.lowercased().hasPrefix("http://") || text.lowercased().hasPrefix("https://") else {
      throw Malformed(field: field, reason: "the full address is expected, beginning with https:// or http://")
    }
    do {
      let url = try WebAddress(text)
      var path = Substring(url.path)
      while path.hasSuffix("/") { path = path.dropLast() }
      return url.replacing(path: String(path))
    } catch {
      let reason =
        text.contains("@") ? "user name and password cannot be part of it; give them as settings" : error.reason
      throw Malformed(field: field, reason: reason)
    }
  }

  /// As strict as what uses them: one certificate that cannot be read, and none of the others would count.
  private static func check(authorities pem: [UInt8]) throws(Malformed) {
    let certificates = pem.withUnsafeBytes { bytes in
      bytes.baseAddress.flatMap { ccurl_certificates_read($0, bytes.count) }
    }
    defer { if let certificates { ccurl_certificates_free(certificates) } }
    guard let certificates else { throw Malformed(field: "ca-file", reason: "a certificate in it cannot be read") }
    guard ccurl_certificates_count(certificates) > 0 else {
      throw Malformed(field: "ca-file", reason: "no certificate in PEM (-----BEGIN CERTIFICATE-----) in it")
    }
  }

  private static func check(_ credential: Credential, of type: RegistryType) throws(Malformed) {
    switch credential {
    case .anonymous: break
    case .account(let user, _):
      // RFC 7617: the first colon ends the user name.
      guard !user.isEmpty, user.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: ":") }) else {
        throw Malformed(field: "user", reason: "must not be empty, nor hold a colon or control characters")
      }
    case .apiKey(let key) where type == .gar || type == .yandex:
      // A service account's file in JSON: its driver reads it.
      guard !key.isEmpty else { throw Malformed(field: "api-key", reason: "is empty") }
    case .apiKey(let key):
      guard BearerToken.isWellFormed(key) else {
        throw Malformed(field: "api-key", reason: "must be visible ASCII characters without spaces")
      }
    }
  }
}
