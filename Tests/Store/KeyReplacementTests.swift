import Glibc
import Posix
import StorageMessages
import TestSupport
import Testing

@testable import Store

/// The key is replaced, and no secret is ever without the key it is sealed with.
struct KeyReplacementTests {
  private let scratch: TemporaryDirectory
  private var path: String { scratch.path + "/state" }
  private var keyFile: String { path + "/secrets.key" }
  init() throws { scratch = try TemporaryDirectory() }

  private static let secrets: [SecretField: Secret] = [
    .main: Secret("main"), .sessionToken: Secret("token"), .clientKey: Secret("key"), .proxyPassword: Secret("proxy"),
  ]

  private func openStore(credentials: String? = nil) async throws -> StateStore {
    var options = Environment.Options()
    options.mapSizeBytes = 16 << 20
    return try await StateStore(
      directory: try StateDirectory(opening: path), tables: [], options: options, credentials: credentials)
  }

  private func fill(_ store: StateStore, _ names: [String]) async throws -> [UInt64] {
    var ids: [UInt64] = []
    for name in names {
      var record = IntegrationRecord()
      record.name = name
      ids.append(try await store.createIntegration(record, secrets: Self.secrets, now: 1).id)
    }
    return ids
  }

  private func expectSecrets(_ store: StateStore, _ ids: [UInt64]) throws {
    for id in ids {
      for (field, secret) in Self.secrets { #expect(try store.secret(field, of: id) == secret) }
    }
  }

  private func keyIDs(_ store: StateStore) throws -> Set<UInt32> {
    try store.read { transaction in
      var found: Set<UInt32> = []
      try transaction.scan(StateStore.secrets) { _, record in
        found.insert(record.keyId)
        return true
      }
      return found
    }
  }

  @Test func `Everything is sealed with the new key, and the old one is gone`() async throws {
    let store = try await openStore()
    let ids = try await fill(store, ["a", "b"])
    let (before, old) = (try keyIDs(store), try File.read(keyFile, limit: 64))
    let outcome = try await store.replaceKey(now: 2, actor: "uid:0")
    #expect(outcome == KeyReplacement(sealed: 8, unreadable: 0))
    #expect(try keyIDs(store).isDisjoint(with: before))
    #expect(try File.read(keyFile, limit: 64) != old)
    #expect(access(keyFile + ".next", F_OK) != 0)
    #expect(!store.keys.isUnsettled)
    try expectSecrets(store, ids)
    #expect(try store.events(after: 0, limit: 9).last?.event.kind == "key.rotated")
    store.close()
    let again = try await openStore()
    try expectSecrets(again, ids)
    again.close()
  }

  /// Where a process may die, as the files and the store then are.
  enum Death: CaseIterable {
    case afterNextKey, afterSealing
  }

  @Test(arguments: Death.allCases)
  func `A process that dies in the middle leaves it to the next`(death: Death) async throws {
    let store = try await openStore()
    let ids = try await fill(store, ["a"])
    let old = try keyIDs(store)
    switch death {
    case .afterNextKey: try store.keys.beginReplacement()
    case .afterSealing:
      let former = try File.read(keyFile, limit: 64)
      _ = try await store.replaceKey(now: 2, actor: "")
      // As it was before the last step.
      #expect(rename(keyFile, keyFile + ".next") == 0)
      try File.create(keyFile, mode: 0o600, contents: former)
    }
    store.close()
    let again = try await openStore()
    try expectSecrets(again, ids)
    #expect(try keyIDs(again).isDisjoint(with: old))
    #expect(access(keyFile + ".next", F_OK) != 0)
    again.close()
    let third = try await openStore()
    try expectSecrets(third, ids)
    third.close()
  }

  @Test func `A secret that no key opens is counted, left, and stands in nobody's way`() async throws {
    let store = try await openStore()
    let ids = try await fill(store, ["a", "b"])
    let key = SecretKey(integration: ids[0], field: SecretField.main.rawValue)
    try await store.write { transaction in
      var record = try transaction.get(StateStore.secrets, key) ?? SealedRecord()
      record.ciphertext[0] ^= 1
      try transaction.put(StateStore.secrets, key, record)
    }
    #expect(try await store.replaceKey(now: 2, actor: "") == KeyReplacement(sealed: 7, unreadable: 1))
    #expect(throws: StoreError.self) { try store.secret(.main, of: ids[0]) }
    try expectSecrets(store, [ids[1]])
    store.close()
  }

  @Test func `A unit's key takes over from the file's, and a new one of the unit's from the old`() async throws {
    let store = try await openStore()
    let ids = try await fill(store, ["a"])
    store.close()
    let folder = scratch.path + "/credentials"
    mkdir(folder, 0o700)
    let name = folder + "/" + KeyRing.credentialName
    try File.create(name, mode: 0o400, contents: [UInt8](repeating: 1, count: 32))
    let second = try await openStore(credentials: folder)
    try expectSecrets(second, ids)
    #expect(access(keyFile, F_OK) != 0)
    let first = try keyIDs(second)
    second.close()
    #expect(rename(name, folder + "/" + KeyRing.formerCredentialName) == 0)
    try File.create(name, mode: 0o400, contents: [UInt8](repeating: 2, count: 32))
    let third = try await openStore(credentials: folder)
    try expectSecrets(third, ids)
    #expect(try keyIDs(third).isDisjoint(with: first))
    third.close()
    unlink(folder + "/" + KeyRing.formerCredentialName)
    let fourth = try await openStore(credentials: folder)
    try expectSecrets(fourth, ids)
    fourth.close()
  }

  @Test func `Removing an integration takes every secret at once`() async throws {
    let store = try await openStore()
    let ids = try await fill(store, ["a", "b"])
    _ = try await store.beginRemoval(named: "a", now: 2) { _, _ in }
    for field in SecretField.allCases { #expect(try store.secret(field, of: ids[0]) == nil) }
    try expectSecrets(store, [ids[1]])
    store.close()
  }
}
