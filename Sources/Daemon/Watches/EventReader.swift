import Posix
import Store

/// Reads the event log for watchers, each from its own position: nothing queues up for one that is slow. On a thread of
/// its own, so that neither the RPC loop nor Swift's pool waits for the disk.
struct EventReader: Sendable {
  /// Events read at a time.
  static let batch = 100

  let store: StateStore
  let thread: SerialThread

  var feed: Broadcast { store.feed }

  func log() async throws -> StateStore.EventRange {
    try await thread.run { [store] in try store.read { try StateStore.eventRange(in: $0) } }
  }

  /// The next events after `position`. Throws `StateStore.EventsGone`.
  func next(after position: UInt64) async throws -> [StateStore.NumberedEvent] {
    // Asked of a number in memory first: most wake-ups of most watchers find nothing more.
    if feed.newest <= position { return [] }
    return try await thread.run { [store] in try store.events(after: position, limit: Self.batch) }
  }
}
