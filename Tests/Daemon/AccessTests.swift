import API
import Glibc
import Posix
import RPC
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Daemon

@Suite(.timeLimit(.minutes(1)))
struct AccessTests {
  private static let own: UInt32 = 900

  private static let access: Access = {
    func holders(_ user: UInt32, _ group: UInt32) -> Access.Holders {
      var holders = Access.Holders()
      holders.users = [user]
      holders.groups = [group]
      return holders
    }
    return Access(
      own: own, holders: [.admin: holders(1, 101), .operator: holders(2, 102), .viewer: holders(3, 103)])
  }()

  private func peer(_ uid: UInt32, _ gid: UInt32 = 9, _ groups: [UInt32] = []) -> Peer {
    Peer(uid: uid, gid: gid, pid: 1, groups: groups)
  }

  @Test func `Every method that is served has a rule, and every rule a method`() async throws {
    let bench = try await Bench()
    #expect(Set(bench.methods.map(\.fullName)) == Set(Access.methods.keys))
  }

  @Test func `The schema tells every method, with its role`() async throws {
    let bench = try await Bench()
    let told = try await bench.system.getDescriptors(GetDescriptorsRequest(), bench.context)
    #expect(!told.fileDescriptorSet.isEmpty)
    #expect(
      Dictionary(uniqueKeysWithValues: told.methods.map { ($0.name, $0.role) }) == Access.methods.mapValues(\.name))
    #expect(
      Set(told.methods.filter(\.serverStreaming).map(\.name)) == [
        "tidewaiter.v1.Integrations/WatchPoll", "tidewaiter.v1.Integrations/PreviewIntegration",
        "tidewaiter.v1.Advisories/WatchImport", "tidewaiter.v1.Queue/WatchJobs", "tidewaiter.v1.System/WatchEvents",
        "tidewaiter.v1.System/Backup", "grpc.health.v1.Health/Watch",
      ])
  }

  @Test func `Roles come from the user, its primary group and its supplementary groups; the highest counts`() {
    let access = Self.access
    #expect(access.role(of: peer(0)) == .admin)
    #expect(access.role(of: peer(Self.own)) == .admin)
    #expect(access.role(of: peer(77)) == nil)
    for (number, role) in [(UInt32(1), Access.Role.admin), (2, .operator), (3, .viewer)] {
      #expect(access.role(of: peer(number)) == role)
      #expect(access.role(of: peer(77, 100 + number)) == role)
      #expect(access.role(of: peer(77, 9, [5, 100 + number, 6])) == role)
    }
    #expect(access.role(of: peer(3, 103, [102])) == .operator)
    // A group's number is no user's.
    #expect(access.role(of: peer(101, 1)) == nil)
  }

  @Test(arguments: [nil] + Access.Role.allCases)
  func `A role may call what it includes and nothing else; without one nothing may be called`(role: Access.Role?) {
    let peers: [Access.Role?: Peer] = [nil: peer(77), .viewer: peer(3), .operator: peer(2), .admin: peer(1)]
    for (method, needed) in Access.methods {
      guard let caller = peers[role] else { return }
      let refusal = Self.access.refusal(caller, method, needs: needed)
      #expect((refusal == nil) == (role.map { $0 >= needed } ?? false), "\(method)")
      if let refusal {
        #expect(refusal.code == .permissionDenied)
        #expect(refusal.reason == "ROLE_NEEDED")
        #expect(refusal.hint?.contains("access.\(needed.name)Groups") == true)
      }
    }
  }

  @Test func `A method without a rule is refused to everybody`() {
    #expect(Self.access.refusal(peer(0), "tidewaiter.v1.System/Explode", needs: nil)?.reason == "NO_RULE")
  }

  @Test func `Names are looked up, numbers are taken, unknown ones are refused by name`() throws {
    var settings = Configuration.Access()
    settings.adminGroups = ["root", "4242"]
    settings.viewerUsers = ["nobody", "77"]
    let access = try Access(settings, socketGroup: nil, own: Self.own)
    #expect(access.holders[.admin]?.groups == [0, 4242])
    #expect(access.role(of: peer(77)) == .viewer)
    #expect(access.admitted.groups == [0, 4242])
    settings.operatorGroups = ["no-such-group"]
    let error = #expect(throws: UnknownAccount.self) { try Access(settings, socketGroup: nil, own: Self.own) }
    #expect(error?.description.contains("access.operatorGroups: no group \"no-such-group\"") == true)
    for name in ["", "4294967295", "-1", "1 "] {
      settings.operatorGroups = [name]
      #expect(throws: UnknownAccount.self) { try Access(settings, socketGroup: nil, own: Self.own) }
    }
  }

  @Test func `Without settings the socket's group administers; with them it has no role of its own`() throws {
    #expect(try Access(nil, socketGroup: "4242", own: Self.own).role(of: peer(77, 4242)) == .admin)
    #expect(try Access(nil, socketGroup: nil, own: Self.own).role(of: peer(77, 4242)) == nil)
    #expect(try Access(Configuration.Access(), socketGroup: "4242", own: Self.own).role(of: peer(77, 4242)) == nil)
  }

  @Test func `Denials are recorded, each user's within a budget, and none is lost count of`() async throws {
    let bench = try await Bench()
    let audit = Audit(store: bench.store, clock: .system, log: bench.events.logger)
    let refusal = RPCError(.permissionDenied, "no")
    let start = ContinuousClock.now
    for _ in 0..<1_000 { audit.denied(peer(77), "S/M", refusal, now: start) }
    audit.denied(peer(78), "S/M", refusal, now: start)
    audit.denied(peer(77), "S/M", refusal, now: start + .seconds(7))
    #expect(bench.events.count("call denied") == 12)
    var position: UInt64 = 0
    while position < 12 {
      try await bench.store.feed.wait(above: position)
      position = bench.store.feed.newest
    }
    let told = try bench.store.events(after: 0, limit: 100).map(\.event)
    #expect(told.count == 12)
    #expect(told.allSatisfy { $0.kind == "call.denied" })
    #expect(told.filter { $0.actor == "uid:78" }.count == 1)
    #expect(told.contains { $0.detail.contains("990 more denials") })
  }
}
