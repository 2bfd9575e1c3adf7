import CCrypto
import CPosix
import Glibc
import Posix
import StorageMessages

/// Seals registry credentials: AES-256-GCM with a random 96-bit nonce, bound by its associated data to the integration
/// and field it belongs to, so that a ciphertext copied to another record does not open. The key is 32 random bytes in
/// a 0600 file of the state directory.
package struct SecretSealer: Sendable {
  private static let keyLength = 32
  private static let nonceLength = 12
  private static let tagLength = 16
  private static let secretMaximum = 64 * 1024

  private let key: [UInt8]
  /// The first four bytes of the key's SHA-256: tells a wrong key from a damaged record.
  private let keyID: UInt32
  private let path: String

  /// Reads the key file. Where it is missing it is made, unless secrets exist that only the lost key could open.
  package init(keyFile path: String, hasSecrets: Bool) throws(StoreError) {
    self.path = path
    do {
      key = try Self.read(path)
    } catch {
      guard error.errno == ENOENT else { throw StoreError(error, path: path) }
      guard !hasSecrets else {
        throw StoreError(
          .secrets, "the key file \(path) is missing, but the store holds secrets sealed with it",
          hint: "put the key file back from a backup; without it every integration needs its secret anew")
      }
      var fresh = [UInt8](repeating: 0, count: Self.keyLength)
      guard RAND_bytes(&fresh, Int32(fresh.count)) == 1 else {
        throw StoreError(.secrets, "the system gives no random bytes", hint: "check /dev/urandom")
      }
      do {
        try Self.create(path, fresh)
      } catch {
        throw StoreError(error, path: path)
      }
      key = fresh
    }
    guard key.count == Self.keyLength else {
      throw StoreError(
        .secrets, "the key file \(path) holds \(key.count) bytes instead of \(Self.keyLength)",
        hint: "put the key file back from a backup")
    }
    let status: stat
    do {
      status = try File.status(path)
    } catch {
      throw StoreError(error, path: path)
    }
    guard status.st_mode & 0o077 == 0, status.st_uid == geteuid() else {
      throw StoreError(
        .secrets, "the key file \(path) can be read by others (mode \(String(status.st_mode & 0o7777, radix: 8)))",
        hint: "chown \(geteuid()) \(path) && chmod 0600 \(path), and consider its secrets known to others")
    }
    var digest = [UInt8](repeating: 0, count: 32)
    EVP_Digest(key, key.count, &digest, nil, EVP_sha256(), nil)
    keyID = digest.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
  }

  package func seal(_ secret: [UInt8], integration: UInt64, field: String) throws(StoreError) -> SealedRecord {
    guard secret.count <= Self.secretMaximum else {
      throw StoreError(.secrets, "a secret of \(secret.count) bytes is too long", hint: "at most 65536 bytes")
    }
    var nonce = [UInt8](repeating: 0, count: Self.nonceLength)
    guard RAND_bytes(&nonce, Int32(nonce.count)) == 1 else {
      throw StoreError(.secrets, "the system gives no random bytes", hint: "check /dev/urandom")
    }
    var output = [UInt8](repeating: 0, count: secret.count + Self.tagLength)
    let bound = Self.associatedData(integration, field)
    let context = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(context) }
    var length: Int32 = 0
    var done = EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce) == 1
    done = done && EVP_EncryptUpdate(context, nil, &length, bound, Int32(bound.count)) == 1
    done = done && EVP_EncryptUpdate(context, &output, &length, secret, Int32(secret.count)) == 1
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
    record.keyId = keyID
    return record
  }

  package func open(_ record: SealedRecord, integration: UInt64, field: String) throws(StoreError) -> [UInt8] {
    guard record.keyId == keyID else {
      throw StoreError(
        .secrets, "the secret of integration \(integration) was sealed with another key than \(path)",
        hint: "put that key file back, or give the integration its secret anew")
    }
    let length = record.ciphertext.count - Self.tagLength
    guard record.nonce.count == Self.nonceLength, length >= 0 else { throw Self.unreadable(integration) }
    var output = [UInt8](repeating: 0, count: max(length, 1))
    var tag = Array(record.ciphertext.suffix(Self.tagLength))
    let bound = Self.associatedData(integration, field)
    let context = EVP_CIPHER_CTX_new()
    defer { EVP_CIPHER_CTX_free(context) }
    var written: Int32 = 0
    var done = EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, key, record.nonce) == 1
    done = done && EVP_DecryptUpdate(context, nil, &written, bound, Int32(bound.count)) == 1
    done = done && EVP_DecryptUpdate(context, &output, &written, record.ciphertext, Int32(length)) == 1
    done = done && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagLength), &tag) == 1
    var tail: Int32 = 0
    done = done && EVP_DecryptFinal_ex(context, nil, &tail) == 1
    guard done else { throw Self.unreadable(integration) }
    return Array(output.prefix(length))
  }

  private static func associatedData(_ integration: UInt64, _ field: String) -> [UInt8] {
    Array("tidewaiter.secret.v1\0\(integration)\0\(field)".utf8)
  }

  private static func unreadable(_ integration: UInt64) -> StoreError {
    StoreError(
      .secrets, "the sealed secret of integration \(integration) is damaged or belongs to another record",
      hint: "give the integration its secret anew")
  }

  /// Under another name first: a key file cut short by a crash would stand in the way of every later start.
  private static func create(_ path: String, _ key: [UInt8]) throws(PosixError) {
    let temporary = path + ".new"
    guard unlink(temporary) == 0 || errno == ENOENT else { throw PosixError("remove \(temporary)") }
    try File.create(temporary, mode: 0o600, contents: key)
    guard rename(temporary, path) == 0 else { throw PosixError("rename \(temporary)") }
    try File.syncDirectory(of: path)
  }

  private static func read(_ path: String) throws(PosixError) -> [UInt8] {
    let descriptor = cposix_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0)
    guard descriptor >= 0 else { throw PosixError("open \(path)") }
    defer { close(descriptor) }
    return try File.read(descriptor, named: path, limit: 4096)
  }
}
