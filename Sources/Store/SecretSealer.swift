import CCrypto
import Posix
import StorageMessages

/// Seals registry credentials with one key: AES-256-GCM with a random 96-bit nonce, bound by its associated data to the
/// integration and field it belongs to, so that a ciphertext copied to another record does not open.
struct SecretSealer: Sendable {
  private static let nonceLength = 12
  private static let tagLength = 16
  static let secretMaximum = 64 * 1024

  let key: SealingKey

  init(_ key: SealingKey) { self.key = key }

  func seal(_ secret: Secret, integration: UInt64, field: String) throws(StoreError) -> SealedRecord {
    guard secret.count <= Self.secretMaximum else {
      throw StoreError(.secrets, "a secret of \(secret.count) bytes is too long", hint: "at most 65536 bytes")
    }
    var nonce = [UInt8](repeating: 0, count: Self.nonceLength)
    guard RAND_bytes(&nonce, Int32(nonce.count)) == 1 else { throw .noRandomness }
    var output = [UInt8](repeating: 0, count: secret.count + Self.tagLength)
    let bound = Self.associatedData(integration, field)
    let context = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(context) }
    var length: Int32 = 0
    var done = start(EVP_EncryptInit_ex, context, nonce)
    done = done && EVP_EncryptUpdate(context, nil, &length, bound, Int32(bound.count)) == 1
    done =
      done && secret.withBytes { EVP_EncryptUpdate(context, &output, &length, Self.bytes($0), Int32($0.count)) == 1 }
    var tail: Int32 = 0
    done = done && EVP_EncryptFinal_ex(context, nil, &tail) == 1
    done =
      done
      && output.withUnsafeMutableBytes {
        EVP_CIPHER_CTX_ctrl(
          context, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagLength), $0.baseAddress.map { $0 + secret.count })
          == 1
      }
    guard done else { throw StoreError(.secrets, "a secret could not be sealed", hint: "this is a defect: report it") }
    var record = SealedRecord()
    record.nonce = nonce
    record.ciphertext = output
    record.keyId = key.id
    return record
  }

  func open(_ record: SealedRecord, integration: UInt64, field: String) throws(StoreError) -> Secret {
    guard record.keyId == key.id else {
      throw StoreError(
        .secrets, "the secret of integration \(integration) was sealed with another key than \(key.origin)",
        hint: "put that key back, or give the integration its secret anew")
    }
    let length = record.ciphertext.count - Self.tagLength
    guard record.nonce.count == Self.nonceLength, length >= 0 else { throw Self.unreadable(integration) }
    var tag = Array(record.ciphertext.suffix(Self.tagLength))
    let bound = Self.associatedData(integration, field)
    let context = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(context) }
    var written: Int32 = 0
    var done = start(EVP_DecryptInit_ex, context, record.nonce)
    done = done && EVP_DecryptUpdate(context, nil, &written, bound, Int32(bound.count)) == 1
    let secret = Secret(count: length) { output in
      done = done && EVP_DecryptUpdate(context, Self.bytes(output), &written, record.ciphertext, Int32(length)) == 1
    }
    done = done && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagLength), &tag) == 1
    var tail: Int32 = 0
    done = done && EVP_DecryptFinal_ex(context, nil, &tail) == 1
    guard done else { throw Self.unreadable(integration) }
    return secret
  }

  private typealias Initialiser = (
    OpaquePointer?, OpaquePointer?, OpaquePointer?, UnsafePointer<UInt8>?, UnsafePointer<UInt8>?
  ) -> Int32

  private func start(_ initialise: Initialiser, _ context: OpaquePointer?, _ nonce: [UInt8]) -> Bool {
    key.bytes.withBytes { initialise(context, EVP_aes_256_gcm(), nil, Self.bytes($0), nonce) == 1 }
  }

  /// Nil for no bytes would mean something else to libcrypto: it is given a place all the same.
  private static func bytes(_ buffer: UnsafeRawBufferPointer) -> UnsafePointer<UInt8>? {
    buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
  }

  private static func bytes(_ buffer: UnsafeMutableRawBufferPointer) -> UnsafeMutablePointer<UInt8>? {
    buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
  }

  private static func associatedData(_ integration: UInt64, _ field: String) -> [UInt8] {
    Array("tidewaiter.secret.v1\0\(integration)\0\(field)".utf8)
  }

  private static func unreadable(_ integration: UInt64) -> StoreError {
    StoreError(
      .secrets, "the sealed secret of integration \(integration) is damaged or belongs to another record",
      hint: "give the integration its secret anew")
  }
}
