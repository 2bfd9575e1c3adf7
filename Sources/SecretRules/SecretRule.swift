import Model

/// A kind of secret: what it is called, how bad it is to leave it in an image, and how it is known.
package struct SecretRule: Sendable {
  /// What must hold of a match beyond its form.
  package enum Check: Sendable {
    case none
    /// The last six characters are the CRC-32 of what is before them, after the prefix, in base 62 (GitHub, npm).
    case base62CRC32
    /// The last eight characters are the CRC-32 of what is before them in hexadecimal (Grafana).
    case hexCRC32
    /// Bech32's own checksum (age).
    case bech32
    /// Two JSON objects in base64url, the first with an `alg`; nothing signed by nobody.
    case jwt
    /// The same, of a Kubernetes service account.
    case kubernetesJWT
    /// Base64 of `user:password`.
    case basicAuthentication
    /// Base64 of a text with what a PEM private key has.
    case encodedPEM
    /// Letters as well as digits.
    case mixed
  }

  /// What looks at the bytes after the anchor.
  package enum Form: Sendable {
    case pattern
    /// From a PEM header to its end.
    case pem
    /// The same as a string of JSON, in a service account's file.
    case serviceAccount
    case puttyKey
    /// `user:password@` after `://`.
    case urlPassword(ofDatabase: Bool)
    /// A name that speaks of a secret, and a value that looks like one; passwords are what people make up.
    case assignment(ofPassword: Bool)
    /// `login` and `password` after `machine`.
    case netrc
  }

  /// Stable: reports, suppressions and tests name these.
  package let id: StaticString
  package let title: StaticString
  package let severity: Severity
  package let text: StaticString
  package let form: Form
  package let check: Check
  /// Bits a character, of the secret.
  package let entropy: Float
  /// The form alone says little: asked of configuration and programs of the image's own, not of published ones.
  package let isVague: Bool

  /// Whether its own form proves that a token was issued.
  package var hasChecksum: Bool { check == .base62CRC32 || check == .hexCRC32 || check == .bech32 }

  package var pattern: SecretPattern { SecretPattern(text) }

  private init(
    _ id: StaticString, _ title: StaticString, _ severity: Severity, _ text: StaticString, form: Form, check: Check,
    entropy: Float, isVague: Bool
  ) {
    self.id = id
    self.title = title
    self.severity = severity
    self.text = text
    self.form = form
    self.check = check
    self.entropy = entropy
    self.isVague = isVague
  }

  /// A secret that its own form gives away.
  static func token(
    _ id: StaticString, _ title: StaticString, _ severity: Severity = .high, _ pattern: StaticString,
    check: Check = .none, entropy: Float = 3
  ) -> SecretRule {
    SecretRule(
      id, title, severity, pattern, form: .pattern, check: check, entropy: entropy, isVague: false)
  }

  /// A secret that only the name before it gives away.
  static func named(
    _ id: StaticString, _ title: StaticString, _ severity: Severity = .high, _ pattern: StaticString,
    check: Check = .none, entropy: Float = 3
  ) -> SecretRule {
    SecretRule(id, title, severity, pattern, form: .pattern, check: check, entropy: entropy, isVague: true)
  }

  /// A secret that has a reader of its own.
  static func special(
    _ id: StaticString, _ title: StaticString, _ severity: Severity, _ anchor: StaticString, _ form: Form,
    isVague: Bool = false
  ) -> SecretRule {
    SecretRule(id, title, severity, anchor, form: form, check: .none, entropy: 0, isVague: isVague)
  }
}
