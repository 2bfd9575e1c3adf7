import API
import RPC

/// Who may do what. A peer has the highest role that its user or one of its groups is named for; root and the daemon's own
/// user are admins always. A role includes those below it.
package struct Access: Sendable, Equatable {
  package enum Role: Int, Sendable, Comparable, CaseIterable {
    /// Reads, and probes.
    case viewer
    /// Queues images, decides what becomes of scan jobs, polls, previews, tests connections.
    case `operator`
    /// Changes integrations and advisories.
    case admin

    package static func < (left: Role, right: Role) -> Bool { left.rawValue < right.rawValue }

    package var name: String { "\(self)" }
  }

  /// The role that each method needs: the only place that says so. A method that is not here is refused to everybody.
  package static let methods: [String: Role] = [
    "tidewaiter.v1.Integrations/CreateIntegration": .admin,
    "tidewaiter.v1.Integrations/GetIntegration": .viewer,
    "tidewaiter.v1.Integrations/ListIntegrations": .viewer,
    "tidewaiter.v1.Integrations/UpdateIntegration": .admin,
    "tidewaiter.v1.Integrations/DeleteIntegration": .admin,
    "tidewaiter.v1.Integrations/TestIntegration": .operator,
    "tidewaiter.v1.Integrations/PollIntegration": .operator,
    "tidewaiter.v1.Integrations/GetPoll": .viewer,
    "tidewaiter.v1.Integrations/WatchPoll": .viewer,
    "tidewaiter.v1.Integrations/CancelPoll": .operator,
    "tidewaiter.v1.Integrations/ListPolls": .viewer,
    // It asks a registry, as a test does.
    "tidewaiter.v1.Integrations/PreviewIntegration": .operator,
    "tidewaiter.v1.Integrations/GetCoverage": .viewer,

    "tidewaiter.v1.Images/AddImage": .operator,
    "tidewaiter.v1.Images/GetImage": .viewer,
    "tidewaiter.v1.Images/ListImages": .viewer,
    "tidewaiter.v1.Images/GetReport": .viewer,
    "tidewaiter.v1.Images/ListTags": .viewer,
    "tidewaiter.v1.Images/ExplainImage": .viewer,
    "tidewaiter.v1.Images/ListTagHistory": .viewer,
    "tidewaiter.v1.Images/RescanImages": .operator,

    "tidewaiter.v1.Queue/ListJobs": .viewer,
    "tidewaiter.v1.Queue/GetJob": .viewer,
    "tidewaiter.v1.Queue/WatchJobs": .viewer,
    "tidewaiter.v1.Queue/CancelJobs": .operator,
    "tidewaiter.v1.Queue/RetryJobs": .operator,
    "tidewaiter.v1.Queue/PrioritizeJobs": .operator,
    "tidewaiter.v1.Queue/ClearJobs": .operator,
    "tidewaiter.v1.Queue/PauseQueue": .operator,
    "tidewaiter.v1.Queue/ResumeQueue": .operator,
    "tidewaiter.v1.Queue/GetQueueStats": .viewer,

    // An import decides what every report says: whoever may import can hide a vulnerability from all.
    "tidewaiter.v1.Advisories/CreateUpload": .admin,
    "tidewaiter.v1.Advisories/WriteUpload": .admin,
    "tidewaiter.v1.Advisories/DeleteUpload": .admin,
    "tidewaiter.v1.Advisories/ImportUploads": .admin,
    "tidewaiter.v1.Advisories/GetImport": .viewer,
    "tidewaiter.v1.Advisories/WatchImport": .viewer,
    "tidewaiter.v1.Advisories/GetAdvisoryStatus": .viewer,

    "tidewaiter.v1.System/Ping": .viewer,
    "tidewaiter.v1.System/GetVersion": .viewer,
    "tidewaiter.v1.System/GetStatus": .viewer,
    "tidewaiter.v1.System/Cancel": .viewer,
    "tidewaiter.v1.System/WatchEvents": .viewer,
    "tidewaiter.v1.System/GetDescriptors": .viewer,
    "tidewaiter.v1.System/RotateKey": .admin,
    // It holds the secrets and their key.
    "tidewaiter.v1.System/Backup": .admin,
    // What it removes is gone.
    "tidewaiter.v1.System/CollectGarbage": .admin,

    // Nothing is for everybody: a watch costs the daemon memory, whatever it tells.
    "grpc.health.v1.Health/Check": .viewer,
    "grpc.health.v1.Health/Watch": .viewer,
  ]

  /// Users and groups that a role is given to, by number.
  package struct Holders: Sendable, Equatable {
    package var users: Set<UInt32> = []
    package var groups: Set<UInt32> = []
    package init() {}
  }

  /// The daemon's own user.
  let own: UInt32
  let holders: [Role: Holders]

  package init(own: UInt32, holders: [Role: Holders]) {
    self.own = own
    self.holders = holders
  }

  /// Nil for one who is named nowhere and may call nothing.
  package func role(of peer: Peer) -> Role? {
    if peer.uid == 0 || peer.uid == own { return .admin }
    for role in [Role.admin, .operator, .viewer] {
      guard let holders = holders[role] else { continue }
      if holders.users.contains(peer.uid) || holders.groups.contains(where: peer.isMember) { return role }
    }
    return nil
  }

  /// Why `peer` may not call `method`, whose role in `methods` is `needed`; nil when it may.
  package func refusal(_ peer: Peer, _ method: String, needs needed: Role?) -> RPCError? {
    guard let needed else {
      return RPCError(
        .permissionDenied, reason: "NO_RULE", "nobody may call \(method): no role is set for it",
        hint: "this is a defect: report it")
    }
    let role = role(of: peer)
    if let role, role >= needed { return nil }
    return RPCError(
      .permissionDenied, reason: "ROLE_NEEDED",
      "\(method) needs the role \(needed.name); user \(peer.uid) has "
        + (role.map { "the role \($0.name)" } ?? "none"),
      hint: "an administrator can name the user in access.\(needed.name)Users or one of its groups in "
        + "access.\(needed.name)Groups of the daemon's settings, then reload them")
  }
}
