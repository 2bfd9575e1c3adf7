import CCrypto
import Posix

/// An RSA private key of a service account, and the signatures that clouds take in exchange for a token (RFC 7518).
final class SigningKey {
  enum Algorithm: String, Sendable {
    case rs256 = "RS256"
    case ps256 = "PS256"
  }

  struct Refused: Error, Equatable, CustomStringConvertible {
    let reason: String
    var description: String { reason }
  }

  /// A key of 8,192 bits in PEM stays below 7 KiB.
  static let pemBytesMax = 16 * 1024
  /// Shorter ones no cloud hands out; longer ones cost seconds a signature.
  static let bits = Int32(2_048)...8_192

  private let key: OpaquePointer

  /// Reads the first private key in `pem`; what stands before it is passed over. A key behind a pass phrase is refused.
  init(pem: Secret) throws(Refused) {
    let key = pem.withBytes { bytes -> OpaquePointer? in
      guard bytes.count <= Self.pemBytesMax, let input = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count)) else {
        return nil
      }
      defer { BIO_free(input) }
      // Without a callback of ours libcrypto would ask at the terminal.
      return PEM_read_bio_PrivateKey(input, nil, { _, _, _, _ in -1 }, nil)
    }
    ERR_clear_error()
    guard let key else {
      throw Refused(reason: "the private key is no PEM of at most 16 KiB, or it is behind a pass phrase")
    }
    guard EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA, Self.bits.contains(EVP_PKEY_get_bits(key)) else {
      EVP_PKEY_free(key)
      throw Refused(
        reason: "the private key must be an RSA key of \(Self.bits.lowerBound) to \(Self.bits.upperBound) bits")
    }
    self.key = key
  }

  deinit { EVP_PKEY_free(key) }

  func signature(of message: some Collection<UInt8>, _ algorithm: Algorithm) throws(Refused) -> [UInt8] {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    let message = Array(message)
    var keyContext: OpaquePointer?
    var done = EVP_DigestSignInit(context, &keyContext, EVP_sha256(), nil, key) == 1
    if algorithm == .ps256 {
      done = done && EVP_PKEY_CTX_set_rsa_padding(keyContext, RSA_PKCS1_PSS_PADDING) == 1
      // As long as the hash: RFC 7518, section 3.5.
      done = done && EVP_PKEY_CTX_set_rsa_pss_saltlen(keyContext, RSA_PSS_SALTLEN_DIGEST) == 1
    }
    var length = 0
    done = done && EVP_DigestSign(context, nil, &length, message, message.count) == 1
    var signature = [UInt8](repeating: 0, count: length)
    done = done && EVP_DigestSign(context, &signature, &length, message, message.count) == 1
    ERR_clear_error()
    guard done else { throw Refused(reason: "libcrypto cannot sign with the private key") }
    return Array(signature.prefix(length))
  }
}
