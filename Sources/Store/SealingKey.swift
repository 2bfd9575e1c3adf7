import CCrypto
import CPosix
import Digests
import Glibc
import Posix

/// The 32 random bytes that secrets are sealed with.
struct SealingKey: Sendable {
  static let length = 32

  let bytes: Secret
  /// The first four bytes of the key's SHA-256: tells a wrong key from a damaged record.
  let id: UInt32
  /// Where it came from, for messages.
  let origin: String

  private init(_ bytes: Secret, origin: String) {
    self.bytes = bytes
    self.origin = origin
    let hash = ContentHash()
    bytes.withBytes { hash.update($0) }
    id = hash.finishBytes().prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// The key in a file that only the daemon's user may read; nil when there is none.
  static func read(file path: String) throws(StoreError) -> SealingKey? {
    guard let (bytes, status) = try contents(of: path) else { return nil }
    guard status.st_mode & 0o077 == 0, status.st_uid == geteuid() else {
      throw StoreError(
        .secrets, "the key file \(path) can be read by others (mode \(String(status.st_mode & 0o7777, radix: 8)))",
        hint: "chown \(geteuid()) \(path) && chmod 0600 \(path), and consider its secrets known to others")
    }
    guard bytes.count == length else {
      throw StoreError(
        .secrets, "the key file \(path) holds \(bytes.count) bytes instead of \(length)",
        hint: "put the key file back from a backup")
    }
    return SealingKey(bytes, origin: path)
  }

  /// The key in a credential of systemd's; nil when there is none. systemd keeps these files from others by an access
  /// list, whose mask shows as the group's bits: only what everybody could do is looked at.
  static func read(credential path: String) throws(StoreError) -> SealingKey? {
    guard let (bytes, status) = try contents(of: path) else { return nil }
    guard status.st_mode & 0o007 == 0, status.st_uid == geteuid() || status.st_uid == 0 else {
      throw StoreError(
        .secrets, "the credential \(path) can be read by others (mode \(String(status.st_mode & 0o7777, radix: 8)))",
        hint: "let systemd pass it with LoadCredential= or LoadCredentialEncrypted=")
    }
    guard bytes.count == length else {
      throw StoreError(
        .secrets, "the credential \(path) holds \(bytes.count) bytes instead of \(length)",
        hint: "make a key with: head -c \(length) /dev/urandom")
    }
    return SealingKey(bytes, origin: path)
  }

  /// A new key, in a new file that is whole and on disk when it has its name.
  static func make(file path: String) throws(StoreError) -> SealingKey {
    var fresh = [UInt8](repeating: 0, count: length)
    guard RAND_bytes(&fresh, Int32(fresh.count)) == 1 else { throw .noRandomness }
    // Under another name first: a key file cut short by a crash would stand in the way of every later start.
    let temporary = path + ".new"
    do throws(PosixError) {
      guard unlink(temporary) == 0 || errno == ENOENT else { throw PosixError("remove \(temporary)") }
      try File.create(temporary, mode: 0o600, contents: fresh)
      guard rename(temporary, path) == 0 else { throw PosixError("rename \(temporary)") }
      try File.syncDirectory(of: path)
    } catch {
      throw StoreError(error, path: path)
    }
    let bytes = Secret(fresh)
    explicit_bzero(&fresh, fresh.count)
    return SealingKey(bytes, origin: path)
  }

  private static func contents(of path: String) throws(StoreError) -> (bytes: Secret, status: stat)? {
    let descriptor = cposix_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0)
    if descriptor < 0 && errno == ENOENT { return nil }
    guard descriptor >= 0 else { throw StoreError(PosixError("open \(path)"), path: path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw StoreError(PosixError("stat \(path)"), path: path) }
    do {
      var bytes = try File.read(descriptor, named: path, limit: 4096)
      defer { explicit_bzero(&bytes, bytes.count) }
      return (Secret(bytes), status)
    } catch {
      throw StoreError(error, path: path)
    }
  }
}

extension StoreError {
  static var noRandomness: StoreError {
    StoreError(.secrets, "the system gives no random bytes", hint: "check /dev/urandom")
  }
}
