import CCrypto
import Posix
import StorageMessages

/// Tells secrets that were found in images from one another without keeping any: the first 16 bytes of HMAC-SHA256 under a
/// key of the store's own, so that short ones cannot be found by trying.
package struct Fingerprints: Sendable {
  private static let length = 16
  fileprivate static let keyLength = 32
  /// Beside the credentials of integrations, whose numbers begin at 1.
  fileprivate static let cell = SecretKey(integration: 0, field: "fingerprints")

  fileprivate let key: Secret

  package func of(_ value: [UInt8]) throws(StoreError) -> [UInt8] {
    var code = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var length: UInt32 = 0
    let isMade = key.withBytes { key in
      HMAC(EVP_sha256(), key.baseAddress, Int32(key.count), value, value.count, &code, &length) != nil
    }
    guard isMade else {
      throw StoreError(.secrets, "a fingerprint could not be made", hint: "this is a defect: report it")
    }
    return Array(code.prefix(Self.length))
  }
}

extension StateStore {
  /// Those of this store; their key is made when they are asked for first, and stays when the sealing key is replaced.
  package func fingerprints() async throws -> Fingerprints {
    if let known = try knownFingerprints() { return known }
    try await write { [self] transaction in
      if try transaction.has(Self.secrets, Fingerprints.cell) { return }
      var isRandom = false
      let key = Secret(count: Fingerprints.keyLength) { bytes in
        isRandom = RAND_bytes(bytes.bindMemory(to: UInt8.self).baseAddress, Int32(bytes.count)) == 1
      }
      guard isRandom else { throw StoreError.noRandomness }
      let cell = Fingerprints.cell
      try transaction.put(Self.secrets, cell, try keys.seal(key, integration: cell.integration, field: cell.field))
    }
    guard let made = try knownFingerprints() else {
      throw StoreError(.secrets, "the key of fingerprints was not kept", hint: "this is a defect: report it")
    }
    return made
  }

  private func knownFingerprints() throws -> Fingerprints? {
    let known = keys.sealers
    let cell = Fingerprints.cell
    guard let sealed = try read({ try $0.get(Self.secrets, cell) }) else { return nil }
    return Fingerprints(key: try keys.open(sealed, with: known, integration: cell.integration, field: cell.field))
  }
}
