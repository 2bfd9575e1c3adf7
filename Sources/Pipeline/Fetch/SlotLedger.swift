/// Who may do something of which few run at a time, when some of them only wait for somebody else. Pure: the time is told.
///
/// A holder that has waited for a while without progress is stalled: it lends its slot to another until it goes on. So a
/// registry that answers nothing, or a few bytes now and then, holds up those who ask it, and nobody else. Time in which
/// work of our own runs is no waiting. When several go on at once more than `slots` run for a while; nobody begins then.
///
/// A holder is told by a number that no two have.
struct SlotLedger: Sendable {
  /// All together, stalled or not, are at most so many times the slots, and one more for each integration: however many
  /// registries are dead, one that has had nothing yet has its turn, and is not held up until the others' time is over.
  static let holdersPerSlot = 8
  /// Fewer bytes are no progress.
  static let bytesOfProgress = 256 << 10

  private struct Holder {
    let integration: UInt64
    /// Works of our own that run for it. It is not stalled while there is one.
    var works = 0
    var worksBeganAt = Duration.zero
    /// As if no work had run since.
    var progressedAt: Duration
    /// Since then.
    var bytes = 0
  }

  let slots: Int
  /// Waiting without progress for so long, a holder is stalled.
  let patience: Duration
  private var holders: [UInt64: Holder] = [:]
  private var countByIntegration: [UInt64: Int] = [:]

  init(slots: Int, patience: Duration) {
    self.slots = slots
    self.patience = patience
  }

  var count: Int { holders.count }

  /// Holders of one integration, stalled ones too.
  func count(of integration: UInt64) -> Int { countByIntegration[integration, default: 0] }

  func stalledCount(at now: Duration) -> Int { holders.values.count { isStalled($0, at: now) } }

  /// Whether one more may begin, of an integration that `admits` takes.
  func hasRoom(at now: Duration) -> Bool { count - stalledCount(at: now) < slots }

  /// Whether an integration may have one more when there is room.
  func admits(_ integration: UInt64) -> Bool {
    count < slots * Self.holdersPerSlot || count(of: integration) == 0
  }

  /// When the next holder will be stalled if nothing happens until then; nil when none will.
  func nextStall(after now: Duration) -> Duration? {
    holders.values.lazy.filter { $0.works == 0 && $0.progressedAt + patience > now }.map { $0.progressedAt + patience }
      .min()
  }

  private func isStalled(_ holder: Holder, at now: Duration) -> Bool {
    holder.works == 0 && now - holder.progressedAt >= patience
  }

  mutating func begin(_ holder: UInt64, of integration: UInt64, at now: Duration) {
    holders[holder] = Holder(integration: integration, progressedAt: now)
    countByIntegration[integration, default: 0] += 1
  }

  /// False for one that has ended.
  @discardableResult
  mutating func end(_ holder: UInt64) -> Bool {
    guard let ended = holders.removeValue(forKey: holder) else { return false }
    let left = count(of: ended.integration) - 1
    countByIntegration[ended.integration] = left == 0 ? nil : left
    return true
  }

  /// A step is done.
  mutating func progress(_ holder: UInt64, at now: Duration) {
    holders[holder]?.progressedAt = now
    holders[holder]?.worksBeganAt = now
    holders[holder]?.bytes = 0
  }

  mutating func receive(_ bytes: Int, _ holder: UInt64, at now: Duration) {
    holders[holder]?.bytes += bytes
    if let count = holders[holder]?.bytes, count >= Self.bytesOfProgress { progress(holder, at: now) }
  }

  mutating func beginWork(_ holder: UInt64, at now: Duration) {
    if holders[holder]?.works == 0 { holders[holder]?.worksBeganAt = now }
    holders[holder]?.works += 1
  }

  mutating func endWork(_ holder: UInt64, at now: Duration) {
    guard var ended = holders[holder] else { return }
    ended.works -= 1
    if ended.works == 0 { ended.progressedAt += now - ended.worksBeganAt }
    holders[holder] = ended
  }
}
