import Glibc

/// The wall clock as the store writes it: nanoseconds since 1970, UTC. Tests put their own in its place.
package struct WallClock: Sendable {
  private let read: @Sendable () -> Int64

  package init(_ read: @escaping @Sendable () -> Int64) { self.read = read }

  package var now: Int64 { read() }

  package static let system = WallClock {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}

/// A clock that only goes forward, for limits and waits. Tests put their own in its place, and move it.
package struct MonotonicClock: Sendable {
  private let read: @Sendable () -> Duration
  private let wait: @Sendable (Duration) async throws -> Void

  /// `read` gives the time since any one moment; `wait` returns after so much of it, and throws when it is cancelled.
  package init(_ read: @escaping @Sendable () -> Duration, wait: @escaping @Sendable (Duration) async throws -> Void) {
    self.read = read
    self.wait = wait
  }

  package var now: Duration { read() }

  package func sleep(for duration: Duration) async throws { try await wait(duration) }

  package static let system: MonotonicClock = {
    let start = ContinuousClock.now
    return MonotonicClock({ start.duration(to: .now) }, wait: { try await Task.sleep(for: $0) })
  }()
}
