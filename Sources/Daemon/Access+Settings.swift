import CPosix
import Glibc
import Posix

/// A name in the settings that no user or group of this system has.
package struct UnknownAccount: Error, Equatable, CustomStringConvertible {
  package let description: String
  package let hint: String
}

extension Access {
  /// Resolves the names in `settings` as the system knows them now. Without any, the socket's group has the role of admin.
  /// Throws `UnknownAccount`.
  package init(_ settings: Configuration.Access?, socketGroup: String?, own: UInt32) throws {
    guard let settings else {
      var admins = Holders()
      if let socketGroup { admins.groups = [try Self.group(socketGroup, setting: "socketGroup")] }
      self.init(own: own, holders: [.admin: admins])
      return
    }
    func holders(_ role: Role, users: [String], groups: [String]) throws -> Holders {
      var holders = Holders()
      holders.users = Set(try users.map { try Self.user($0, setting: "access.\(role.name)Users") })
      holders.groups = Set(try groups.map { try Self.group($0, setting: "access.\(role.name)Groups") })
      return holders
    }
    self.init(
      own: own,
      holders: [
        .admin: try holders(.admin, users: settings.adminUsers, groups: settings.adminGroups),
        .operator: try holders(.operator, users: settings.operatorUsers, groups: settings.operatorGroups),
        .viewer: try holders(.viewer, users: settings.viewerUsers, groups: settings.viewerGroups),
      ])
  }

  /// Users and groups that must get past the socket's mode.
  var admitted: Holders {
    holders.values.reduce(into: Holders()) { all, one in
      all.users.formUnion(one.users)
      all.groups.formUnion(one.groups)
    }
  }

  static func user(_ name: String, setting: String) throws -> UInt32 {
    try resolve(name, setting, kind: "user", cposix_user_id)
  }

  static func group(_ name: String, setting: String) throws -> UInt32 {
    try resolve(name, setting, kind: "group", cposix_group_id)
  }

  /// A name wins over a number, as everywhere on the system.
  private static func resolve(
    _ name: String, _ setting: String, kind: String,
    _ ask: (UnsafePointer<CChar>, UnsafeMutablePointer<UInt32>) -> Int32
  ) throws -> UInt32 {
    var id: UInt32 = 0
    if !name.isEmpty, ask(name, &id) == 0 { return id }
    let error = PosixError("look up \(kind) \(name)")
    // The highest number means "none" to the kernel.
    if let number = UInt32(name), number != .max { return number }
    guard name.isEmpty || error.errno == ENOENT else {
      throw UnknownAccount(
        description: "\(setting): \(error)", hint: "check the system's user database, or give the number")
    }
    throw UnknownAccount(
      description: "\(setting): no \(kind) \"\(name)\" on this system",
      hint: "create it, or take it out of the settings")
  }
}
