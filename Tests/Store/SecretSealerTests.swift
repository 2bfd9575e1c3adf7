import Glibc
import Posix
import StorageMessages
import TestSupport
import Testing

@testable import Store

@Suite("Sealed secrets") struct SecretSealerTests {
  private let scratch: TemporaryDirectory
  private var keyFile: String { scratch.path + "/secrets.key" }
  init() throws { scratch = try TemporaryDirectory() }

  private func ring(hasSecrets: Bool = false, credentials: String? = nil) throws -> KeyRing {
    try KeyRing(file: keyFile, credentials: credentials, hasSecrets: hasSecrets)
  }

  private func open(
    _ record: SealedRecord, _ ring: KeyRing, integration: UInt64 = 1, field: String = "password"
  ) throws -> Secret {
    try ring.open(record, with: ring.sealers, integration: integration, field: field)
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
    let secret = Secret((0..<size).map { UInt8(truncatingIfNeeded: $0) })
    let record = try ring().seal(secret, integration: 7, field: "password")
    #expect(try File.status(keyFile).st_mode & 0o7777 == 0o600)
    #expect(try File.status(keyFile).st_size == 32)
    let stored = try record.encodedValue().withUnsafeBytes { try SealedRecord(decodingValue: $0) }
    #expect(try open(stored, ring(hasSecrets: true), integration: 7) == secret)
    if size > 8 { #expect(!secret.withBytes { record.ciphertext.starts(with: $0.prefix(8)) }) }
  }

  @Test("the same secret never seals to the same bytes") func nonces() throws {
    let ring = try ring()
    let records = try (0..<100).map { _ in try ring.seal(Secret([1, 2, 3]), integration: 1, field: "password") }
    #expect(Set(records.map(\.nonce)).count == 100)
    #expect(Set(records.map(\.ciphertext)).count == 100)
  }

  @Test("a secret opens only for the integration and field it was sealed for") func binding() throws {
    let ring = try ring()
    let record = try ring.seal(Secret([1, 2, 3]), integration: 1, field: "password")
    for (integration, field) in [(2, "password"), (1, "token"), (1, ""), (11, "password")] as [(UInt64, String)] {
      #expect(isRefused { _ = try open(record, ring, integration: integration, field: field) })
    }
  }

  @Test("a record changed or cut anywhere does not open") func tampering() throws {
    let ring = try ring()
    let record = try ring.seal(Secret([1, 2, 3]), integration: 1, field: "password")
    for index in record.ciphertext.indices {
      var changed = record
      changed.ciphertext[index] ^= 1
      #expect(isRefused { _ = try open(changed, ring) })
      changed = record
      changed.ciphertext.removeLast(index + 1)
      #expect(isRefused { _ = try open(changed, ring) })
    }
    for index in record.nonce.indices {
      var changed = record
      changed.nonce[index] ^= 1
      #expect(isRefused { _ = try open(changed, ring) })
      changed.nonce.removeLast(index + 1)
      #expect(isRefused { _ = try open(changed, ring) })
    }
    #expect(isRefused { _ = try open(SealedRecord(), ring) })
  }

  @Test("another key is told apart from damage") func otherKey() throws {
    let record = try ring().seal(Secret([1]), integration: 1, field: "password")
    unlink(keyFile)
    let other = try ring()
    #expect {
      _ = try open(record, other)
    } throws: { error in
      "\(error)".contains("another key")
    }
    var forged = record
    forged.keyId = try other.seal(Secret([1]), integration: 1, field: "password").keyId
    #expect(isRefused { _ = try open(forged, other) })
  }

  @Test("a missing key is made only where no secret depends on it") func missingKey() throws {
    #expect(isRefused { _ = try ring(hasSecrets: true) })
    #expect(access(keyFile, F_OK) != 0)
    _ = try ring()
    _ = try ring(hasSecrets: true)
  }

  @Test("a crash while the key was made does not stand in the way") func halfMadeKey() throws {
    try File.create(keyFile + ".new", mode: 0o600, contents: [1, 2])
    let record = try ring().seal(Secret([5]), integration: 1, field: "password")
    #expect(try open(record, ring(hasSecrets: true)) == Secret([5]))
    #expect(access(keyFile + ".new", F_OK) != 0)
  }

  @Test("a key file that others can read is refused", arguments: [0o644, 0o640, 0o604, 0o620] as [mode_t])
  func mode(mode: mode_t) throws {
    _ = try ring()
    #expect(chmod(keyFile, mode) == 0)
    #expect(isRefused { _ = try ring(hasSecrets: true) })
    #expect(chmod(keyFile, 0o600) == 0)
    _ = try ring(hasSecrets: true)
  }

  @Test("a key file of another length, and a link, are refused") func badKeys() throws {
    for size in [0, 31, 33, 4096] {
      try File.create(keyFile, mode: 0o600, contents: [UInt8](repeating: 1, count: size))
      #expect(isRefused { _ = try ring() })
      unlink(keyFile)
    }
    try File.create(scratch.path + "/elsewhere", mode: 0o600, contents: [UInt8](repeating: 1, count: 32))
    #expect(symlink(scratch.path + "/elsewhere", keyFile) == 0)
    #expect(throws: StoreError.self) { try ring() }
  }

  @Test("a secret that is too long is refused") func tooLong() throws {
    let ring = try ring()
    let secret = Secret([UInt8](repeating: 1, count: 65537))
    #expect(isRefused { _ = try ring.seal(secret, integration: 1, field: "f") })
  }

  @Test("nothing that prints a secret shows it") func printing() {
    let secret = Secret("CANARY-9f2c")
    var dumped = ""
    dump(["a": (1, secret)], to: &dumped)
    for text in ["\(secret)", String(reflecting: secret), dumped, "\([secret])", "\(Optional(secret) as Any)"] {
      #expect(!text.contains("CANARY"))
    }
  }

  // MARK: - Other keys

  private func credential(_ name: String, _ byte: UInt8, mode: mode_t = 0o400, count: Int = 32) throws {
    let folder = scratch.path + "/credentials"
    mkdir(folder, 0o700)
    unlink(folder + "/" + name)
    try File.create(folder + "/" + name, mode: mode, contents: [UInt8](repeating: byte, count: count))
    // Whatever the umask.
    chmod(folder + "/" + name, mode)
  }

  @Test("a credential is the key where there is one, and no file is made") func credential() throws {
    let folder = scratch.path + "/credentials"
    try credential(KeyRing.credentialName, 1)
    let record = try ring(credentials: folder).seal(Secret([5]), integration: 1, field: "password")
    #expect(access(keyFile, F_OK) != 0)
    #expect(try open(record, ring(hasSecrets: true, credentials: folder)) == Secret([5]))
    // Without it, the secrets have no key.
    #expect(isRefused { _ = try ring(hasSecrets: true) })
    // Other credentials of the unit are not ours.
    unlink(folder + "/" + KeyRing.credentialName)
    _ = try ring(credentials: folder)
    #expect(access(keyFile, F_OK) == 0)
  }

  @Test("a credential that everybody reads, or of another length, is refused") func badCredential() throws {
    let folder = scratch.path + "/credentials"
    try credential(KeyRing.credentialName, 1, mode: 0o444)
    #expect(isRefused { _ = try ring(credentials: folder) })
    try credential(KeyRing.credentialName, 1, count: 31)
    #expect(isRefused { _ = try ring(credentials: folder) })
    // systemd's access list shows as rights of the group.
    try credential(KeyRing.credentialName, 1, mode: 0o440)
    _ = try ring(credentials: folder)
  }

  @Test("a key that the service's unit gives is not ours to replace") func credentialIsKept() throws {
    try credential(KeyRing.credentialName, 1)
    let ring = try ring(credentials: scratch.path + "/credentials")
    #expect {
      try ring.beginReplacement()
    } throws: { error in
      (error as? StoreError)?.code == .keyNotOurs
    }
  }
}
