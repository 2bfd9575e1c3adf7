import CCrypto

/// A SHA-256 as the bytes come, by libcrypto.
final class Checksum {
  private let context: OpaquePointer

  init() {
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
      preconditionFailure("libcrypto has no SHA-256")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  func add(_ bytes: [UInt8]) {
    precondition(EVP_DigestUpdate(context, bytes, bytes.count) == 1, "libcrypto cannot hash")
  }

  /// In hexadecimal; once, after all.
  func end() -> String {
    var sum = [UInt8](repeating: 0, count: 32)
    precondition(EVP_DigestFinal_ex(context, &sum, nil) == 1, "libcrypto cannot finish a hash")
    return sum.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
