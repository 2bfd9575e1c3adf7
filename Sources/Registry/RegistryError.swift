/// Why a registry could not be asked, or why its answer was not taken. The queue needs one thing of it, whether another
/// try may help, so that is decided where the error is made.
///
/// Nothing in it holds a secret: what a registry says is bounded, its control characters are escaped, and an echo of our
/// own credential is replaced (see `redacting(_:)`).
package struct RegistryError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Closed and stable: stored with jobs and shown to clients.
  package enum Code: String, Sendable, CaseIterable {
    /// The name does not resolve, or nothing accepts connections at the address.
    case unreachable = "UNREACHABLE"
    /// No connection, no answer, or nothing more of it within the time allowed.
    case timeout = "TIMEOUT"
    /// A blob came more slowly than the floor rate.
    case stalled = "STALLED"
    /// The TLS handshake failed, or the certificate did not verify.
    case tlsFailed = "TLS_FAILED"
    /// The connection ended before the answer did.
    case connectionLost = "CONNECTION_LOST"
    /// The credential is missing, wrong, or was not accepted after a renewal.
    case unauthorized = "UNAUTHORIZED"
    /// The credential is good and the right is missing.
    case forbidden = "FORBIDDEN"
    /// No such repository, tag, manifest or blob; some registries say so to hide what exists.
    case notFound = "NOT_FOUND"
    case rateLimited = "RATE_LIMITED"
    case serverError = "SERVER_ERROR"
    /// The registry refuses the request as such (400, 405, 406 …).
    case requestRefused = "REQUEST_REFUSED"
    /// Nothing at this address speaks the distribution API.
    case notARegistry = "NOT_A_REGISTRY"
    /// More or fewer bytes than the descriptor promised.
    case sizeMismatch = "SIZE_MISMATCH"
    /// The bytes do not have the digest they were asked by.
    case digestMismatch = "DIGEST_MISMATCH"
    /// An answer that breaks its format.
    case malformed = "MALFORMED"
    /// Over one of our bounds.
    case tooLarge = "TOO_LARGE"
    /// The token service lives where credentials must not go.
    case realmNotAllowed = "REALM_NOT_ALLOWED"
    /// The proxy on the way refuses, or wants a credential of its own.
    case proxyFailed = "PROXY_FAILED"
    case redirectRefused = "REDIRECT_REFUSED"
    /// The host resolves to an address that it must not have (link-local, metadata, unspecified, a stranger's loopback).
    case addressRefused = "ADDRESS_REFUSED"
    /// A manifest of schema 1, or of a kind nobody knows.
    case unsupportedManifest = "UNSUPPORTED_MANIFEST"
    /// A chart, a signature, an attestation, a cache: named in the message.
    case notAnImage = "NOT_AN_IMAGE"
  }

  package let code: Code
  /// One sentence that names the host, path, digest or field.
  package let message: String
  /// What a person can do about it.
  package let hint: String?
  /// Whether the same request may succeed later without anybody changing anything.
  package let isTransient: Bool
  /// How long the registry asks us to wait, between one second and one hour.
  package let retryAfter: Duration?
  /// What a server showed whose certificate was refused, its own first.
  package let certificates: [PeerCertificate]

  package init(
    _ code: Code, _ message: String, hint: String? = nil, isTransient: Bool = false, retryAfter: Duration? = nil,
    certificates: [PeerCertificate] = []
  ) {
    self.code = code
    self.message = message
    self.hint = hint
    self.isTransient = isTransient
    self.retryAfter = retryAfter
    self.certificates = certificates
  }

  package var description: String { "\(code.rawValue): \(message)" }

  /// The code as reasons are written.
  package var reasonCode: String { code.rawValue.lowercased() }

  package static func malformed(_ message: String) -> RegistryError { RegistryError(.malformed, message) }

  /// Whether the next request would meet the same: the registry is away, refuses us, or asks us to wait.
  package var concernsRegistry: Bool {
    switch code {
    case .unreachable, .timeout, .tlsFailed, .unauthorized, .rateLimited, .notARegistry, .realmNotAllowed: true
    default: false
    }
  }

  /// The same error under another code and hint, for a caller that knows better what the failure means.
  func recoded(_ code: Code, _ message: String, hint: String?) -> RegistryError {
    RegistryError(
      code, message, hint: hint, isTransient: isTransient, retryAfter: retryAfter, certificates: certificates)
  }

  /// The same error with every secret in its texts replaced.
  func redacting(_ redactor: Redactor) -> RegistryError {
    RegistryError(
      code, redactor.redact(message), hint: hint.map(redactor.redact), isTransient: isTransient,
      retryAfter: retryAfter, certificates: certificates)
  }
}
