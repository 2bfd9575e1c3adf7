/// The time given to something is over.
package struct TimeLimitExceeded: Error, Equatable {
  package let limit: Duration

  package init(limit: Duration) { self.limit = limit }
}

/// Runs `body`, cancels it after `limit` by `clock`, waits for its end and throws `TimeLimitExceeded`. Cancelling the caller cancels
/// `body`.
package func withTimeLimit<R: Sendable>(
  _ limit: Duration, clock: MonotonicClock = .system, _ body: @escaping @Sendable () async throws -> R
) async throws -> R {
  try await withThrowingTaskGroup(of: R?.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await clock.sleep(for: limit)
      return nil
    }
    defer { group.cancelAll() }
    guard let first = try await group.next() else { throw CancellationError() }
    if let value = first { return value }
    group.cancelAll()
    // A result that came in the same moment is still a result.
    do {
      if let late = try await group.next(), let value = late { return value }
    } catch {
      throw TimeLimitExceeded(limit: limit)
    }
    throw TimeLimitExceeded(limit: limit)
  }
}
