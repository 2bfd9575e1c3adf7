import CCrypto
import Model

/// A running SHA-256 or SHA-512 by libcrypto, for the algorithm of a digest.
package final class ContentHash {
  private let context: OpaquePointer
  private let algorithm: Digest.Algorithm

  package init(_ algorithm: Digest.Algorithm) {
    guard let context = EVP_MD_CTX_new() else { preconditionFailure("out of memory for a hash") }
    self.context = context
    self.algorithm = algorithm
    let started = EVP_DigestInit_ex(context, algorithm == .sha256 ? EVP_sha256() : EVP_sha512(), nil)
    precondition(started == 1, "libcrypto has no \(algorithm.rawValue)")
  }

  deinit { EVP_MD_CTX_free(context) }

  package func update(_ bytes: [UInt8]) {
    let updated = bytes.withUnsafeBytes { EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    precondition(updated == 1, "libcrypto cannot hash")
  }

  /// Ends the hash; call it once.
  package func finish() -> Digest {
    var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    let finished = EVP_DigestFinal_ex(context, &bytes, &count)
    precondition(finished == 1, "libcrypto cannot finish a hash")
    guard let digest = Digest(algorithm: algorithm, bytes: bytes.prefix(Int(count))) else {
      preconditionFailure("a hash of the wrong length")
    }
    return digest
  }

  static func digest(of bytes: [UInt8], _ algorithm: Digest.Algorithm = .sha256) -> Digest {
    let hash = ContentHash(algorithm)
    hash.update(bytes)
    return hash.finish()
  }
}
