import CPosix
import Glibc
import Posix
import StorageMessages
import Synchronization

/// The keys that secrets of this store may be sealed with: the current one, and those it replaces until everything is
/// sealed anew.
///
/// The key is a credential of systemd's where the unit passes one, else a 0600 file of the state directory. Replacing it
/// never leaves a secret without its key, whenever the process dies: the next key is on disk before the first secret is
/// sealed with it, and takes the old one's place after the last one is; a start that finds both goes on with that.
package final class KeyRing: Sendable {
  /// The credential's name: `LoadCredentialEncrypted=tidewaiter.key`.
  package static let credentialName = "tidewaiter.key"
  /// The credential that is replaced by `credentialName`, for the start that seals everything anew.
  package static let formerCredentialName = "tidewaiter.key.old"

  private struct Keys {
    var current: SecretSealer
    var former: [SecretSealer]
  }

  private let file: String
  private let isCredential: Bool
  private let keys: Mutex<Keys>

  private var nextFile: String { file + ".next" }

  /// `credentials` is systemd's $CREDENTIALS_DIRECTORY. Makes a key where there is none, unless secrets exist that only a
  /// lost one could open.
  init(file path: String, credentials: String?, hasSecrets: Bool) throws(StoreError) {
    file = path
    let stored = try SealingKey.read(file: path)
    let next = try SealingKey.read(file: path + ".next")
    var given: SealingKey?
    var former: [SealingKey?] = [stored]
    if let credentials {
      given = try SealingKey.read(credential: credentials + "/" + Self.credentialName)
      former.append(try SealingKey.read(credential: credentials + "/" + Self.formerCredentialName))
    }
    isCredential = given != nil
    if given != nil { former.append(next) }
    if given == nil && next == nil && stored == nil && hasSecrets {
      throw StoreError(
        .secrets, "the key file \(path) is missing, but the store holds secrets sealed with a key",
        hint:
          "put the key file back from a backup, or pass the credential \(Self.credentialName); without the key every "
          + "integration needs its secret anew")
    }
    let known = given ?? next ?? stored
    let current = if let known { known } else { try SealingKey.make(file: path) }
    keys = Mutex(
      Keys(
        current: SecretSealer(current),
        former: former.compactMap { $0 }.filter { $0.id != current.id }.map(SecretSealer.init)))
  }

  func seal(_ secret: Secret, integration: UInt64, field: String) throws(StoreError) -> SealedRecord {
    let sealer = keys.withLock { $0.current }
    return try sealer.seal(secret, integration: integration, field: field)
  }

  /// The sealers as they are now. Take them before the record is read: afterwards its key may be gone from the ring.
  var sealers: [SecretSealer] { keys.withLock { [$0.current] + $0.former } }

  func open(
    _ record: SealedRecord, with known: [SecretSealer], integration: UInt64, field: String
  ) throws(StoreError) -> Secret {
    // Not known before, it was made since.
    let sealer = known.first { $0.key.id == record.keyId } ?? sealers.first { $0.key.id == record.keyId }
    return try (sealer ?? keys.withLock { $0.current }).open(record, integration: integration, field: field)
  }

  /// The keys that lie in the state directory, the older one first; none where the service's unit gives the key. Blocks.
  func filed() throws(StoreError) -> [SealingKey] {
    var keys: [SealingKey] = []
    for path in [file, nextFile] { if let key = try SealingKey.read(file: path) { keys.append(key) } }
    return keys
  }

  // MARK: - Replacing the key

  /// Whether a former key is still on the ring, so that a replacement is to be finished.
  var isUnsettled: Bool { keys.withLock { !$0.former.isEmpty } }

  /// Puts a new key on the ring and on disk, or goes on with one that waits there. Blocks: not for the pool's threads.
  func beginReplacement() throws(StoreError) {
    guard !isCredential else {
      throw StoreError(
        .keyNotOurs, "the key is the credential \(Self.credentialName), which only the service's unit can replace",
        hint:
          "make a new one, pass it as \(Self.credentialName) and the present one as \(Self.formerCredentialName), and "
          + "restart the daemon: it seals everything anew")
    }
    if let waiting = try SealingKey.read(file: nextFile), keys.withLock({ $0.current.key.id }) == waiting.id { return }
    let next = SecretSealer(try SealingKey.make(file: nextFile))
    keys.withLock { keys in
      keys.former.append(keys.current)
      keys.current = next
    }
  }

  /// Forgets the former keys and their file: everything is sealed with the current one, on disk. Blocks.
  func finishReplacement() throws(StoreError) {
    do throws(PosixError) {
      if isCredential {
        for path in [nextFile, file] { try Self.remove(path) }
      } else if access(nextFile, F_OK) == 0 {
        try Self.replace(file, by: nextFile)
      }
    } catch {
      throw StoreError(error, path: file)
    }
    keys.withLock { $0.former = [] }
  }

  /// The old file's bytes are overwritten once it has no name any more; what that leaves on the medium is the file
  /// system's affair.
  private static func replace(_ path: String, by next: String) throws(PosixError) {
    let old = cposix_open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0)
    guard old >= 0 || errno == ENOENT else { throw PosixError("open \(path)") }
    defer { if old >= 0 { close(old) } }
    guard rename(next, path) == 0 else { throw PosixError("rename \(next)") }
    try File.syncDirectory(of: path)
    if old >= 0 { try overwrite(old, named: path) }
  }

  private static func remove(_ path: String) throws(PosixError) {
    let old = cposix_open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0)
    if old < 0 && errno == ENOENT { return }
    guard old >= 0 else { throw PosixError("open \(path)") }
    defer { close(old) }
    guard unlink(path) == 0 else { throw PosixError("remove \(path)") }
    try File.syncDirectory(of: path)
    try overwrite(old, named: path)
  }

  private static func overwrite(_ descriptor: Int32, named path: String) throws(PosixError) {
    try File.write([UInt8](repeating: 0, count: SealingKey.length), to: descriptor, named: path)
    guard fsync(descriptor) == 0 else { throw PosixError("sync \(path)") }
  }
}
