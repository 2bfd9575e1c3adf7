import CCurlShim
import Model

/// A certificate that a server showed. Nothing of it needs to be true: it is for people who look for what is wrong.
package struct PeerCertificate: Sendable, Hashable, CustomStringConvertible {
  /// Escaped, as all texts here: "CN=registry.example.test, O=Example".
  package let subject: String
  package let issuer: String
  /// DNS names and addresses that it is for.
  package let names: String
  package let notBefore: Timestamp
  package let notAfter: Timestamp

  package var description: String {
    "\"\(subject)\"" + (names.isEmpty ? "" : " for \(names)")
      + ", issued by \"\(issuer)\", valid from \(notBefore) to \(notAfter)"
  }

  fileprivate init(_ certificate: ccurl_certificate) {
    subject = Self.text(certificate.subject)
    issuer = Self.text(certificate.issuer)
    names = Self.text(certificate.names)
    notBefore = Timestamp(seconds: certificate.not_before)
    notAfter = Timestamp(seconds: certificate.not_after)
  }

  private static func text<Characters>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { bytes in ForeignText.escaped(bytes.prefix { $0 != 0 }) }
  }
}

/// What a server showed in a handshake, and what the check of it said.
struct PeerChain: Sendable, Hashable {
  /// Its own first, as sent.
  let certificates: [PeerCertificate]
  /// 0 when the chain is good. Whether it is for the host's name is another question.
  let error: Int32

  /// Nil when there was no handshake.
  init?(_ chain: ccurl_chain) {
    guard chain.count > 0 else { return nil }
    certificates = withUnsafeBytes(of: chain.certificates) { bytes in
      bytes.bindMemory(to: ccurl_certificate.self).prefix(Int(chain.count)).map(PeerCertificate.init)
    }
    error = chain.error
  }

  var reason: String { String(cString: ccurl_verify_reason(error)) }

  /// All of it for a message: "; the server showed …".
  var shown: String { "; the server showed " + certificates.map(\.description).joined(separator: "; then ") }
}
