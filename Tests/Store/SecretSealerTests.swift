import Glibc
import Posix
import StorageMessages
import Store
import TestSupport
import Testing

@Suite("Sealed secrets") struct SecretSealerTests {
  private let scratch: TemporaryDirectory
  private var keyFile: String { scratch.path + "/secrets.key" }
  init() throws { scratch = try TemporaryDirectory() }

  private func sealer(hasSecrets: Bool = false) throws -> SecretSealer {
    try SecretSealer(keyFile: keyFile, hasSecrets: hasSecrets)
  }

  private func isRefused(_ body: () throws -> Void) -> Bool {
    do {
      try body()
      return false
    } catch {
      return (error as? StoreError)?.code == .secrets
    }
  }

  @Test("a secret opens again, also after a restart; the file is 0600", arguments: [0, 1, 16, 65536])
  func roundTrip(size: Int) throws {
    let secret = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
    let record = try sealer().seal(secret, integration: 7, field: "password")
    #expect(try File.status(keyFile).st_mode & 0o7777 == 0o600)
    #expect(try File.status(keyFile).st_size == 32)
    let stored = try record.encodedValue().withUnsafeBytes { try SealedRecord(decodingValue: $0) }
    #expect(try sealer(hasSecrets: true).open(stored, integration: 7, field: "password") == secret)
    if size > 8 { #expect(!record.ciphertext.starts(with: secret.prefix(8))) }
  }

  @Test("the same secret never seals to the same bytes") func nonces() throws {
    let sealer = try sealer()
    let records = try (0..<100).map { _ in try sealer.seal([1, 2, 3], integration: 1, field: "password") }
    #expect(Set(records.map(\.nonce)).count == 100)
    #expect(Set(records.map(\.ciphertext)).count == 100)
  }

  @Test("a secret opens only for the integration and field it was sealed for") func binding() throws {
    let sealer = try sealer()
    let record = try sealer.seal([1, 2, 3], integration: 1, field: "password")
    for (integration, field) in [(2, "password"), (1, "token"), (1, ""), (11, "password")] as [(UInt64, String)] {
      #expect(isRefused { _ = try sealer.open(record, integration: integration, field: field) })
    }
  }

  @Test("a record changed or cut anywhere does not open") func tampering() throws {
    let sealer = try sealer()
    let record = try sealer.seal([1, 2, 3], integration: 1, field: "password")
    for index in record.ciphertext.indices {
      var changed = record
      changed.ciphertext[index] ^= 1
      #expect(isRefused { _ = try sealer.open(changed, integration: 1, field: "password") })
      changed = record
      changed.ciphertext.removeLast(index + 1)
      #expect(isRefused { _ = try sealer.open(changed, integration: 1, field: "password") })
    }
    for index in record.nonce.indices {
      var changed = record
      changed.nonce[index] ^= 1
      #expect(isRefused { _ = try sealer.open(changed, integration: 1, field: "password") })
      changed.nonce.removeLast(index + 1)
      #expect(isRefused { _ = try sealer.open(changed, integration: 1, field: "password") })
    }
    #expect(isRefused { _ = try sealer.open(SealedRecord(), integration: 1, field: "password") })
  }

  @Test("another key is told apart from damage") func otherKey() throws {
    let record = try sealer().seal([1], integration: 1, field: "password")
    unlink(keyFile)
    let other = try sealer()
    #expect {
      try other.open(record, integration: 1, field: "password")
    } throws: { error in
      "\(error)".contains("another key")
    }
    var forged = record
    forged.keyId = try other.seal([1], integration: 1, field: "password").keyId
    #expect(isRefused { _ = try other.open(forged, integration: 1, field: "password") })
  }

  @Test("a missing key is made only where no secret depends on it") func missingKey() throws {
    #expect(isRefused { _ = try sealer(hasSecrets: true) })
    #expect(access(keyFile, F_OK) != 0)
    _ = try sealer()
    _ = try sealer(hasSecrets: true)
  }

  @Test("a crash while the key was made does not stand in the way") func halfMadeKey() throws {
    try File.create(keyFile + ".new", mode: 0o600, contents: [1, 2])
    let record = try sealer().seal([5], integration: 1, field: "f")
    #expect(try sealer(hasSecrets: true).open(record, integration: 1, field: "f") == [5])
    #expect(access(keyFile + ".new", F_OK) != 0)
  }

  @Test("a key file that others can read is refused", arguments: [0o644, 0o640, 0o604, 0o620] as [mode_t])
  func mode(mode: mode_t) throws {
    _ = try sealer()
    #expect(chmod(keyFile, mode) == 0)
    #expect(isRefused { _ = try sealer(hasSecrets: true) })
    #expect(chmod(keyFile, 0o600) == 0)
    _ = try sealer(hasSecrets: true)
  }

  @Test("a key file of another length, and a link, are refused") func badKeys() throws {
    for size in [0, 31, 33, 4096] {
      try File.create(keyFile, mode: 0o600, contents: [UInt8](repeating: 1, count: size))
      #expect(isRefused { _ = try sealer() })
      unlink(keyFile)
    }
    try File.create(scratch.path + "/elsewhere", mode: 0o600, contents: [UInt8](repeating: 1, count: 32))
    #expect(symlink(scratch.path + "/elsewhere", keyFile) == 0)
    #expect(throws: StoreError.self) { try sealer() }
  }

  @Test("a secret that is too long is refused") func tooLong() throws {
    let sealer = try sealer()
    #expect(isRefused { _ = try sealer.seal([UInt8](repeating: 1, count: 65537), integration: 1, field: "f") })
  }
}
