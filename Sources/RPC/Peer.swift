import CPosix
import Glibc

/// The process on the other end of the socket, as the kernel knew it when it connected (`SO_PEERCRED`,
/// `SO_PEERGROUPS`): never from anything the peer says. The pid is for logs only, since it may be reused.
package struct Peer: Sendable, Equatable {
  package let uid: UInt32
  package let gid: UInt32
  package let pid: Int32
  /// Supplementary groups.
  package let groups: [UInt32]

  package init(uid: UInt32, gid: UInt32, pid: Int32, groups: [UInt32] = []) {
    self.uid = uid
    self.gid = gid
    self.pid = pid
    self.groups = groups
  }

  /// Whether `group` is the peer's primary or one of its supplementary groups.
  package func isMember(of group: UInt32) -> Bool { gid == group || groups.contains(group) }

  /// Asks the kernel; nil when it does not say.
  init?(of descriptor: Int32) {
    var uid: UInt32 = 0
    var gid: UInt32 = 0
    var pid: Int32 = 0
    guard cposix_peer_credentials(descriptor, &uid, &gid, &pid) == 0 else { return nil }
    var capacity: Int32 = 64
    while true {
      var groups = [UInt32](repeating: 0, count: Int(capacity))
      let count = cposix_peer_groups(descriptor, &groups, &capacity)
      if count >= 0 {
        self.init(uid: uid, gid: gid, pid: pid, groups: Array(groups.prefix(Int(count))))
        return
      }
      // ERANGE comes with the number needed; the kernel allows 65,536 groups.
      guard errno == ERANGE, capacity > groups.count, capacity <= 65_536 else { return nil }
    }
  }
}
