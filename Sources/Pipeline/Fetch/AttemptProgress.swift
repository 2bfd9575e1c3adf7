import Queue
import Synchronization

/// How far one attempt is. Whatever it tells also keeps the attempt's slot from being lent to others.
final class AttemptProgress: Sendable {
  private let state = Mutex(ScanProgress.Counts())
  private let slot: LendingSlots.Slot

  init(_ slot: LendingSlots.Slot) { self.slot = slot }

  var counts: ScanProgress.Counts { state.withLock { $0 } }

  /// The same for the attempt's record.
  var reached: JobQueue.Progress {
    let counts = counts
    return JobQueue.Progress(bytesFetched: counts.bytesFetched, layersDone: counts.layersDone)
  }

  func received(_ bytes: Int) {
    state.withLock { $0.bytesFetched += UInt64(bytes) }
    slot.received(bytes)
  }

  func layerDone() {
    state.withLock { $0.layersDone += 1 }
    slot.progress()
  }

  /// Another phase has begun.
  func advance() { slot.progress() }

  /// Runs what does not wait for the registry.
  func working<R>(_ body: () async throws -> R) async rethrows -> R {
    slot.beginWork()
    defer { slot.endWork() }
    return try await body()
  }

  func beginWork() { slot.beginWork() }
  func endWork() { slot.endWork() }

  /// Gives its slot back.
  func end() { slot.release() }
}
