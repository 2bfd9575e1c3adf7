import Dispatch

/// A counting wake-up for threads of our own that block by design: `send` never waits, `wait` takes one send.
package final class Signal: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)

  package init() {}

  package func send() { semaphore.signal() }

  /// Blocks the calling thread. Never call it from a task.
  package func wait() { semaphore.wait() }

  /// As `wait`, but no longer than `limit`; whether there was a send.
  package func wait(atMost limit: Duration) -> Bool {
    semaphore.wait(timeout: .now() + .nanoseconds(Int(limit / .nanoseconds(1)))) == .success
  }
}
