import API
import Posix
import Registry
import StorageMessages
import Store

/// Who the daemon is at the registry, and whether the credential's parts fit together.
extension IntegrationReader {
  static let secretBytesMaximum = 64 * 1024
  static let usernameBytesMaximum = 1024

  mutating func takeAuthentication(_ wanted: Authentication, _ field: String, into record: inout IntegrationRecord) {
    if field != "authentication.username" {
      switch wanted.kind {
      case .anonymous, .unspecified: record.auth = .anonymous
      case .account: record.auth = .account
      case .apiKey: record.auth = .apiKey
      default: refuse("authentication.kind", "is none of anonymous, account, api-key")
      }
    }
    guard field != "authentication.kind" else { return }
    record.username = wanted.username
    if record.username.utf8.count > Self.usernameBytesMaximum {
      refuse("authentication.username", "is longer than \(Self.usernameBytesMaximum) bytes")
    } else if !wanted.username.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: ":") }) {
      // RFC 7617: the first colon ends the user name.
      refuse("authentication.username", "must not hold a colon or control characters")
    }
  }

  /// `record` says which secrets there will be, `given` are those that came with the request; of the others only what
  /// `needed` names is missed.
  mutating func checkCredential(
    _ record: IntegrationRecord, given: [SecretField: Secret], needed: Set<SecretField>
  ) {
    for (field, secret) in given where secret.count > Self.secretBytesMaximum || !secret.isText {
      refuse(field.path, "must be UTF-8 text of at most \(Self.secretBytesMaximum) bytes, without a NUL")
    }
    checkMain(record, given[.main], isNeeded: needed.contains(.main))
    checkSessionToken(record, given[.sessionToken])
    checkClientKey(record, given[.clientKey], isNeeded: needed.contains(.clientKey))
    // A proxy that does not read was refused when it was read alone.
    if given[.proxyPassword] != nil && (try? ProxyChoice(record.proxy))?.user == nil {
      refuse("proxy_password", "goes with a proxy whose address has a user name")
    }
  }

  private mutating func checkMain(_ record: IntegrationRecord, _ secret: Secret?, isNeeded: Bool) {
    let field = SecretField.main.path
    if record.auth == .anonymous {
      if secret != nil { refuse(field, "goes with the kinds account and api-key only") }
      return
    }
    if !record.hasSecret && isNeeded {
      refuse(field, record.auth == .account ? "is required: the password" : "is required: the key")
    }
    guard let secret, record.auth == .apiKey else { return }
    if record.type == "gar" {
      if !secret.isDocument { refuse(field, "must be a service account's key file in JSON") }
    } else if !(record.type == "yandex" && secret.isDocument) && !secret.isHeaderText {
      // It becomes a header's value, or a part of one.
      refuse(field, "must be visible ASCII characters without spaces")
    }
  }

  private mutating func checkSessionToken(_ record: IntegrationRecord, _ token: Secret?) {
    guard let token else { return }
    if VendorRules.of(record.type)?.sessionToken == .refused {
      refuse(SecretField.sessionToken.path, "is not for \(record.type)")
    } else if !token.isHeaderText {
      refuse(SecretField.sessionToken.path, "must be visible ASCII characters without spaces")
    }
  }

  private mutating func checkClientKey(_ record: IntegrationRecord, _ key: Secret?, isNeeded: Bool) {
    let field = SecretField.clientKey.path
    guard !record.clientCertificatePem.isEmpty else {
      if key != nil { refuse(field, "goes with a client certificate") }
      return
    }
    guard let key else {
      if !record.hasClientKey && isNeeded { refuse(field, "is required: the client certificate's private key") }
      return
    }
    do {
      _ = try ClientIdentity(certificate: record.clientCertificatePem, key: key)
    } catch {
      refuse(error.field == "client-key" ? field : "tls.client_certificate_pem", error.reason)
    }
  }
}

extension Secret {
  fileprivate var isText: Bool {
    withBytes { bytes in !bytes.contains(0) && String(validating: bytes, as: UTF8.self) != nil }
  }

  /// Whether it can stand in a header.
  fileprivate var isHeaderText: Bool { withBytes { bytes in bytes.allSatisfy { $0 > 0x20 && $0 < 0x7f } } }

  /// Whether it looks like JSON.
  fileprivate var isDocument: Bool {
    withBytes { bytes in bytes.first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "{") }
  }
}
