import CJail
import Glibc
import Inventory

extension Jail {
  /// One thing that confines the worker. The order of `all` is that of entering: a later piece takes away what an earlier
  /// one needs.
  struct Piece: Sendable {
    let name: String
    /// Whether a worker may not run without it (where the settings do not say otherwise).
    let isRequired: @Sendable (Circumstances) -> Bool
    /// Answers with what holds then, for people.
    let enter: @Sendable (Circumstances) throws(Failure) -> String

    static let all = [
      // All that follows binds one thread.
      Piece("threads") { _ throws(Failure) in
        let count = cjail_threads()
        try check("count the threads in /proc/self/task", count)
        guard count == 1 else { throw Failure(reason: "there are \(count) already") }
        try check("keep to one heap", cjail_one_heap())
        return "one"
      },
      Piece("descriptors") { circumstances throws(Failure) in
        let count = WorkerProtocol.descriptors(handsBack: circumstances.handsBack)
        try check("close all but the protocol's (close_range)", cjail_close_from(UInt32(count)))
        return "the protocol's \(count)"
      },
      Piece("session") { _ throws(Failure) in
        try check("begin a session (setsid)", cjail_lead_session())
        return "its own, without a terminal"
      },
      // Without privileges it takes a user namespace, which many systems forbid. Seccomp lets no socket be made anyway.
      Piece("network", isRequired: { $0.isRoot }) { circumstances throws(Failure) in
        try check("leave the system's network (unshare)", cjail_leave_network(circumstances.isRoot ? 0 : 1))
        return circumstances.isRoot ? "an empty namespace" : "an empty namespace, in a user namespace of its own"
      },
      Piece("user") { circumstances throws(Failure) in
        guard circumstances.isRoot else { return "the daemon's, \(circumstances.user), without privileges" }
        try check("become user \(nobody) (setgroups, setresgid, setresuid)", cjail_become(nobody, nobody))
        return "\(nobody), with no other groups"
      },
      Piece("capabilities") { _ throws(Failure) in
        try check("give up capabilities (capset)", cjail_no_capabilities())
        return "none"
      },
      // The kernel forgets this and the next when the user changes.
      Piece("memory") { _ throws(Failure) in
        try check("make the process not dumpable (prctl)", cjail_not_dumpable())
        return "closed to other processes, no core files"
      },
      Piece("parent") { _ throws(Failure) in
        try check("die with the daemon (prctl)", cjail_die_with_parent(WorkerProtocol.outputDescriptor))
        return "killed when the daemon ends"
      },
      Piece("limits") { circumstances throws(Failure) in
        let limits = Limit.all(handsBack: circumstances.handsBack)
        // All that can be set are, also where one cannot.
        var refused: Failure?
        for limit in limits {
          do throws(Failure) { try limit.set() } catch { refused = refused ?? error }
        }
        if let refused { throw refused }
        return limits.map(\.description).joined(separator: ", ")
      },
      Piece("no-new-privileges") { _ throws(Failure) in
        try check("give up new privileges (prctl)", cjail_no_new_privileges())
        return "for good"
      },
      Piece("landlock") { _ throws(Failure) in
        let abi = cjail_landlock_abi()
        try check("the kernel has no Landlock (landlock_create_ruleset)", abi)
        let rights = Landlock(abi: abi)
        try check(
          "deny all files (landlock_restrict_self)",
          cjail_landlock_deny(abi, rights.files, rights.network, rights.scopes))
        return "ABI \(abi): " + rights.description
      },
      // The last: it forbids the calls that the others are made of.
      Piece("seccomp") { circumstances throws(Failure) in
        guard cjail_architecture != 0 else {
          throw Failure(reason: "there is no list of system calls for this architecture")
        }
        let rules = CallFilter.workerRules(process: circumstances.process, handsBack: circumstances.handsBack)
        let filter = CallFilter(rules, cjail_architecture)
        try check("filter system calls (seccomp)", cjail_filter(filter.program, UInt16(filter.program.count)))
        return "\(filter.allowedCount) system calls, others end the worker"
      },
    ]

    private init(
      _ name: String, isRequired: @escaping @Sendable (Circumstances) -> Bool = { _ in true },
      enter: @escaping @Sendable (Circumstances) throws(Failure) -> String
    ) {
      self.name = name
      self.isRequired = isRequired
      self.enter = enter
    }
  }

  /// Owns no file, by convention, and is there without being set up.
  private static let nobody: uid_t = 65534
}
