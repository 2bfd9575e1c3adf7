import Logging
import Posix
import RPC
import StorageMessages
import Store
import Synchronization

/// Records refused calls in the log and the event log. Bounded for each user, so that nobody who may do nothing fills
/// either of them; what is left out is counted and told with the next record.
final class Audit: Sendable {
  private struct Budget {
    /// Records left, refilled with time.
    var left = Audit.burst
    var refilled: ContinuousClock.Instant
    var leftOut: UInt64 = 0
  }

  /// Records a user may cause at once, and how long one more takes to be there.
  private static let burst = 10
  private static let refill = Duration.seconds(6)
  /// Users remembered; there are not more who connect at a time on any sane system, and forgetting costs a record or two.
  private static let usersMaximum = 1024

  private let store: StateStore
  private let clock: WallClock
  private let log: Logger
  private let budgets = Mutex<[UInt32: Budget]>([:])

  init(store: StateStore, clock: WallClock, log: Logger) {
    self.store = store
    self.clock = clock
    self.log = log
  }

  /// Never waits: called on the RPC loop.
  func denied(_ peer: Peer, _ method: String, _ refusal: RPCError, now: ContinuousClock.Instant = .now) {
    guard let leftOut = take(peer.uid, now) else { return }
    var more: Logger.Metadata = [:]
    if leftOut > 0 { more["before"] = "\(leftOut) more were not recorded" }
    log.warning(
      "call denied",
      metadata: [
        "method": "\(method)", "uid": "\(peer.uid)", "gid": "\(peer.gid)", "pid": "\(peer.pid)",
        "reason": "\(refusal.message)",
      ].merging(more) { first, _ in first })
    var event = EventRecord(.callDenied, time: clock.now)
    event.actor = peer.actor
    event.detail = refusal.message + (leftOut > 0 ? " (\(leftOut) more denials before it were not recorded)" : "")
    // Nobody waits for it; the budgets bound how many there are.
    Task { [event] in await record(event) }
  }

  private func record(_ event: EventRecord) async {
    do {
      try await store.write { [store] in try store.append(event, in: $0) }
    } catch {
      log.error("a denied call could not be recorded as an event", metadata: ["error": "\(error)"])
    }
  }

  /// How many of the user's denials were left out since the last record; nil when this one is to be left out too.
  private func take(_ user: UInt32, _ now: ContinuousClock.Instant) -> UInt64? {
    budgets.withLock { budgets in
      if budgets[user] == nil && budgets.count >= Self.usersMaximum { budgets = [:] }
      var budget = budgets[user] ?? Budget(refilled: now)
      let refills = Int((now - budget.refilled) / Self.refill)
      if refills > 0 {
        budget.left = min(Self.burst, budget.left + min(refills, Self.burst))
        budget.refilled += Self.refill * refills
      }
      defer { budgets[user] = budget }
      guard budget.left > 0 else {
        budget.leftOut += 1
        return nil
      }
      budget.left -= 1
      defer { budget.leftOut = 0 }
      return budget.leftOut
    }
  }
}

extension Peer {
  /// Who it is, in the event log.
  var actor: String { "uid:\(uid)" }
}
