// Before Posix, by way of which the compiler would else find the types of `stat` in Dispatch, for the whole room.
import Glibc
import Posix

/// How slowly a backup may be taken. Its instant is kept for as long as it is on its way, and no page that was given up
/// since is used again: whoever takes next to nothing, and goes on to do so, would have the store's file grow for ever.
package struct BackupPace: Sendable {
  /// Time that the backup may wait for its sink beside what `bytesPerSecondMinimum` gives it.
  package static let patience = Duration.seconds(60)
  /// What a sink takes that is not too slow, on the whole.
  package static let bytesPerSecondMinimum: UInt64 = 64 << 10

  private let clock: MonotonicClock
  private var sent: UInt64 = 0
  private var waited = Duration.zero

  package init(clock: MonotonicClock = .system) { self.clock = clock }

  /// Has `sink` take `bytes`. Throws `StoreError` (`BACKUP_TOO_SLOW`) when it has had its time, and whatever it throws.
  mutating func send(
    _ bytes: [UInt8], to sink: @escaping @Sendable ([UInt8]) async throws -> Void
  ) async throws {
    let left = Self.patience + .seconds(Double(sent) / Double(Self.bytesPerSecondMinimum)) - waited
    guard left > .zero else { throw tooSlow }
    let begun = clock.now
    do {
      try await withTimeLimit(left, clock: clock) { try await sink(bytes) }
    } catch is TimeLimitExceeded {
      throw tooSlow
    }
    waited += clock.now - begun
    sent += UInt64(bytes.count)
  }

  private var tooSlow: StoreError {
    StoreError(
      .backupTooSlow,
      "the backup ended after \(sent) bytes: its client takes less than \(Self.bytesPerSecondMinimum >> 10) KiB a second, "
        + "and the store grows meanwhile",
      hint: "write it to a local file first and move that on, then make it again")
  }
}
