import CCurlShim
import Posix

/// How an integration's hosts are reached.
package struct ConnectionSettings: Sendable, Hashable {
  package var tls: TLSSettings
  package var proxy: ProxyChoice

  package init(tls: TLSSettings = TLSSettings(), proxy: ProxyChoice = .environment) {
    self.tls = tls
    self.proxy = proxy
  }
}

package struct TLSSettings: Sendable, Hashable {
  /// Certificate authorities in PEM, trusted beside the system's.
  package var additionalAuthorities: [UInt8]?
  /// Nothing is verified.
  package var isInsecure: Bool
  /// Shown to the registry, and to hosts that may have its credential; to nobody that an answer led to.
  package var identity: ClientIdentity?

  package init(additionalAuthorities: [UInt8]? = nil, isInsecure: Bool = false, identity: ClientIdentity? = nil) {
    self.additionalAuthorities = additionalAuthorities
    self.isInsecure = isInsecure
    self.identity = identity
  }
}

/// A client certificate and its key, which is never anywhere but in memory.
package struct ClientIdentity: Sendable, Hashable {
  package static let certificateBytesMax = 256 * 1024
  package static let keyBytesMax = 64 * 1024

  /// PEM, its chain after it.
  let certificate: Secret
  /// PEM, not encrypted.
  let key: Secret

  /// Throws with the field `client-cert` or `client-key` when one cannot be used, or they do not belong together.
  package init(certificate: [UInt8], key: Secret) throws(RegistryEndpoint.Malformed) {
    guard certificate.count <= Self.certificateBytesMax else {
      throw RegistryEndpoint.Malformed(
        field: "client-cert", reason: "longer than \(Self.certificateBytesMax) bytes")
    }
    guard key.count <= Self.keyBytesMax else {
      throw RegistryEndpoint.Malformed(field: "client-key", reason: "longer than \(Self.keyBytesMax) bytes")
    }
    self.certificate = Secret(certificate)
    self.key = key
    switch Self.check(self.certificate, key) {
    case ccurl_identity_good: break
    case ccurl_identity_encrypted_key:
      throw RegistryEndpoint.Malformed(
        field: "client-key", reason: "the key is encrypted: give it without a passphrase (openssl pkey -in KEY)")
    case ccurl_identity_bad_key:
      throw RegistryEndpoint.Malformed(field: "client-key", reason: "no private key in PEM in it")
    case ccurl_identity_mismatch:
      throw RegistryEndpoint.Malformed(field: "client-key", reason: "the key is not that of the client certificate")
    default:
      throw RegistryEndpoint.Malformed(
        field: "client-cert", reason: "no certificate in PEM (-----BEGIN CERTIFICATE-----) in it")
    }
  }

  private static func check(_ certificate: Secret, _ key: Secret) -> ccurl_identity_check {
    certificate.withBytes { certificate in
      key.withBytes { key in
        guard let first = certificate.baseAddress else { return ccurl_identity_bad_certificate }
        guard let second = key.baseAddress else { return ccurl_identity_bad_key }
        return ccurl_check_identity(first, certificate.count, second, key.count)
      }
    }
  }
}
