import CPosix
import Glibc
import Logging
import Posix

/// The daemon's Unix socket: made here, or inherited from a service manager.
final class Listener: Sendable {
  /// Owned by whoever serves on it.
  let descriptor: Int32
  /// Where clients find it.
  let path: String
  private let isInherited: Bool
  /// What was put at `path`, so that nothing else is removed from there.
  private let identity: (device: dev_t, inode: ino_t)?
  private let log: Logger

  private static let backlog: Int32 = 1024

  init(inherited: InheritedSocket, log: Logger) {
    descriptor = inherited.descriptor
    path = inherited.path
    isInherited = true
    identity = nil
    self.log = log
  }

  /// Listens as `configuration` says, for those whom `access` names. Throws `StartError`.
  init(_ configuration: Configuration, _ access: Access, log: Logger) throws {
    let path = configuration.socket
    if let directory = path.lastIndex(of: "/").map({ String(path[..<$0]) }), !directory.isEmpty {
      do {
        try File.createDirectories(directory, mode: 0o755)
      } catch {
        throw StartError("\(error)", hint: "choose another --socket")
      }
    }
    // The lock on the state directory is held: a socket that answers belongs to another state directory.
    let probe = cposix_connect_unix(path)
    if probe >= 0 {
      close(probe)
      throw StartError("another daemon answers on \(path)", hint: "stop it, or choose another --socket")
    }
    let group = try configuration.socketGroup.map { try Access.group($0, setting: "socketGroup") }
    var listError: Int32 = 0
    let listener = access.admitted.withACL { list in
      withUnsafePointer(to: list) {
        cposix_listen_unix_acl(
          path, configuration.socketMode, group.map(Int64.init) ?? -1, $0, Self.backlog, &listError)
      }
    }
    guard listener >= 0 else {
      throw StartError("\(PosixError("listen on \(path)"))", hint: "choose another --socket (at most 107 bytes)")
    }
    descriptor = listener
    self.path = path
    isInherited = false
    self.log = log
    var status = stat()
    identity = lstat(path, &status) == 0 ? (status.st_dev, status.st_ino) : nil
    if listError != 0 { warnOfList(PosixError("give \(path) an access list", errno: listError)) }
  }

  /// After the roles or the mode were changed: lets in whom they name now.
  func admit(_ access: Access, mode: mode_t) {
    // The mode of a socket that the service manager made is the manager's business.
    guard !isInherited, isInPlace else { return }
    let status = access.admitted.withACL { list in withUnsafePointer(to: list) { cposix_set_access(path, mode, $0) } }
    if status < 0 { warnOfList(PosixError("change the mode and access list of \(path)")) }
  }

  /// Takes the socket's file away, so that nobody comes any more. One that was inherited stays, and so does anything else
  /// that has been put in its place.
  func remove() {
    if !isInherited && isInPlace { unlink(path) }
  }

  private var isInPlace: Bool {
    var status = stat()
    guard let identity, lstat(path, &status) == 0 else { return false }
    return status.st_dev == identity.device && status.st_ino == identity.inode
  }

  private func warnOfList(_ error: PosixError) {
    log.warning(
      "the groups and users of access cannot all be let through to the socket",
      metadata: [
        "error": "\(error)",
        "hint":
          "put the socket on a file system with access lists, or make its group (socketGroup) one they all are in",
      ])
  }
}

extension Access.Holders {
  /// Root gets in anyway and needs no entry.
  fileprivate func withACL<R>(_ body: (cposix_acl) -> R) -> R {
    let users = users.subtracting([0]).sorted()
    let groups = groups.sorted()
    return users.withUnsafeBufferPointer { users in
      groups.withUnsafeBufferPointer { groups in
        body(
          cposix_acl(
            users: users.baseAddress, user_count: users.count, groups: groups.baseAddress, group_count: groups.count))
      }
    }
  }
}
