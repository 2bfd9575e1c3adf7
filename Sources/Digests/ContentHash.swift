import CCrypto
import Model

/// A running SHA-256 or SHA-512 by libcrypto, for the algorithm of a digest. The one place that hashes content: programs
/// that are to do without libcrypto leave this room out.
package final class ContentHash {
  private let context: OpaquePointer
  private let algorithm: Digest.Algorithm

  package init(_ algorithm: Digest.Algorithm = .sha256) {
    guard let context = EVP_MD_CTX_new() else { preconditionFailure("out of memory for a hash") }
    self.context = context
    self.algorithm = algorithm
    let started = EVP_DigestInit_ex(context, algorithm == .sha256 ? EVP_sha256() : EVP_sha512(), nil)
    precondition(started == 1, "libcrypto has no \(algorithm.rawValue)")
  }

  deinit { EVP_MD_CTX_free(context) }

  package func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  package func update(_ bytes: UnsafeRawBufferPointer) {
    precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1, "libcrypto cannot hash")
  }

  /// Ends the hash; call this or `finishBytes`, once.
  package func finish() -> Digest {
    guard let digest = Digest(algorithm: algorithm, bytes: finishBytes()) else {
      preconditionFailure("a hash of the wrong length")
    }
    return digest
  }

  /// Ends the hash; its bytes as they are.
  package func finishBytes() -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var count: UInt32 = 0
    precondition(EVP_DigestFinal_ex(context, &bytes, &count) == 1, "libcrypto cannot finish a hash")
    return Array(bytes.prefix(Int(count)))
  }

  package static func digest(of bytes: [UInt8], _ algorithm: Digest.Algorithm = .sha256) -> Digest {
    let hash = ContentHash(algorithm)
    hash.update(bytes)
    return hash.finish()
  }
}
