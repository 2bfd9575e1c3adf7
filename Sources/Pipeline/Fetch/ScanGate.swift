import Model
import Posix
import Queue
import StorageMessages
import Store
import Synchronization
import Zones

/// Says of which integrations a scan may begin now; for one look at the queue.
final class ScanGate: Sendable {
  private struct State {
    /// When the quiet hours of the first of those end that were asked about; nanoseconds since 1970.
    var opensAt: Int64?
    /// What kept it from answering.
    var failure: (any Error)?
  }

  private let store: StateStore
  private let slots: LendingSlots
  private let slotCount: Int
  private let zones: ZoneDatabase
  private let clock: WallClock
  private let state = Mutex(State())

  init(store: StateStore, slots: LendingSlots, slotCount: Int, zones: ZoneDatabase, clock: WallClock) {
    self.store = store
    self.slots = slots
    self.slotCount = slotCount
    self.zones = zones
    self.clock = clock
  }

  /// Scans of an integration at a time, stalled ones too: as its settings say, else all slots but one, so that a slow
  /// registry leaves room for another's jobs. More than there are slots would only stall together.
  static func scansMaximum(_ setting: UInt32, slots: Int) -> Int {
    setting == 0 ? max(1, slots - 1) : min(Int(setting), slots)
  }

  func answer(for integration: UInt64) -> JobQueue.Gate {
    do {
      // One that was removed meanwhile: its job ends without the registry.
      guard let record = try store.integration(id: integration) else { return .open }
      guard slots.admits(integration),
        slots.count(of: integration) < Self.scansMaximum(record.maxScans, slots: slotCount)
      else { return .closed }
      guard let end = try Self.quietUntil(record.quietHours, now: clock.now, zones: zones) else { return .open }
      state.withLock { $0.opensAt = min($0.opensAt ?? end, end) }
      return .peopleOnly
    } catch {
      state.withLock { $0.failure = error }
      return .closed
    }
  }

  /// When the quiet hours end that `now` is in, both in nanoseconds since 1970; nil where it is in none. What was stored was
  /// checked when it was given.
  static func quietUntil(_ setting: String, now: Int64, zones: ZoneDatabase) throws(ZoneError) -> Int64? {
    guard let window = DailyWindow(setting) else { return nil }
    let now = Timestamp(nanosecondsSince1970: now).seconds
    return QuietHours(window: window).end(at: now, in: try zones.zone(""))
      .map { Timestamp(seconds: $0).nanosecondsSince1970 }
  }

  /// When to look again because quiet hours are over; nil where none were in the way. Throws what kept it from answering.
  func opensAt() throws -> Int64? {
    let state = state.withLock { $0 }
    if let failure = state.failure { throw failure }
    return state.opensAt
  }
}
