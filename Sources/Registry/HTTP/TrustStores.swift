import CCurlShim
import Glibc
import Posix

/// The system's certificate authorities, parsed once for all connections, and each integration's own beside them. Used by
/// the curl thread alone.
///
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` of the environment take the place of Debian's bundle, as they do for other programs
/// on OpenSSL.
final class TrustStores {
  private static let systemBundle = "/etc/ssl/certs/ca-certificates.crt"
  private static let systemBundleBytesMax = 16 << 20

  private struct Parsed {
    let certificates: OpaquePointer?
    /// Tells another version of the file: the system's bundle is replaced by updates.
    let version: [Int]
  }

  private let file: String?
  private let folder: String?
  private var system: Parsed?

  init(_ environment: [String: String]) {
    let named = { (name: String) in environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    folder = named("SSL_CERT_DIR")
    file = named("SSL_CERT_FILE") ?? (folder == nil ? Self.systemBundle : nil)
  }

  deinit { if let certificates = system?.certificates { ccurl_certificates_free(certificates) } }

  /// The trust of one integration; its caller frees it.
  func make(additional pem: [UInt8]?) throws(RegistryError) -> OpaquePointer {
    let system = try systemCertificates()
    var additional: OpaquePointer?
    defer { if let additional { ccurl_certificates_free(additional) } }
    if let pem {
      additional = pem.withUnsafeBytes { bytes in bytes.baseAddress.flatMap { ccurl_certificates_read($0, bytes.count) }
      }
      // Checked when the endpoint was made.
      guard additional != nil else { throw RegistryError(.tlsFailed, "the integration's authorities cannot be read") }
    }
    guard let trust = ccurl_trust_make(system, additional, folder) else {
      throw RegistryError(
        .tlsFailed, "the certificate authorities cannot be loaded",
        hint: folder.map { "check SSL_CERT_DIR (\($0)) of the daemon" } ?? "look at the memory of this machine",
        isTransient: true)
    }
    return trust
  }

  private func systemCertificates() throws(RegistryError) -> OpaquePointer? {
    guard let file else { return nil }
    var state = stat()
    let version =
      stat(file, &state) == 0 ? [Int(state.st_ino), Int(state.st_mtim.tv_sec), Int(state.st_mtim.tv_nsec)] : []
    if let system, system.version == version { return system.certificates }
    let certificates = try read(file)
    if let old = system?.certificates { ccurl_certificates_free(old) }
    system = Parsed(certificates: certificates, version: version)
    return certificates
  }

  private func read(_ file: String) throws(RegistryError) -> OpaquePointer? {
    let bytes: [UInt8]
    do {
      bytes = try File.read(file, limit: Self.systemBundleBytesMax)
    } catch {
      // A machine without Debian's bundle trusts what integrations give; a file that was named must be there.
      if error.errno == ENOENT, file == Self.systemBundle { return nil }
      throw unreadable(file, "\(error)")
    }
    guard !bytes.isEmpty else { return nil }
    let certificates = bytes.withUnsafeBytes { bytes in
      bytes.baseAddress.flatMap { ccurl_certificates_read($0, bytes.count) }
    }
    guard let certificates else { throw unreadable(file, "\(file) holds a certificate that cannot be read") }
    return certificates
  }

  private func unreadable(_ file: String, _ reason: String) -> RegistryError {
    RegistryError(
      .tlsFailed, "the system's certificate authorities cannot be read: \(reason)",
      hint: "make \(file) readable for the daemon, and a list of certificates in PEM", isTransient: true)
  }
}
