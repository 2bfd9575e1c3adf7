import Glibc

/// What pacing knows of time and chance. Tests put their own in its place, and never sleep.
package struct PacingClock: Sendable {
  /// Since any one moment, never backwards.
  let elapsed: @Sendable () -> Duration
  let sleep: @Sendable (Duration) async throws -> Void
  /// Seconds since 1970.
  let wallSeconds: @Sendable () -> Int64
  /// From 0 up to, not including, 1.
  let random: @Sendable () -> Double

  package init(
    elapsed: @escaping @Sendable () -> Duration, sleep: @escaping @Sendable (Duration) async throws -> Void,
    wallSeconds: @escaping @Sendable () -> Int64, random: @escaping @Sendable () -> Double
  ) {
    self.elapsed = elapsed
    self.sleep = sleep
    self.wallSeconds = wallSeconds
    self.random = random
  }

  package static let system: PacingClock = {
    let start = ContinuousClock.now
    return PacingClock(
      elapsed: { start.duration(to: .now) }, sleep: { try await Task.sleep(for: $0) },
      wallSeconds: { Int64(time(nil)) }, random: { .random(in: 0..<1) })
  }()
}
