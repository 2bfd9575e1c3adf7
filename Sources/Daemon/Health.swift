import Posix
import Synchronization

/// Whether the daemon serves, for probes.
final class Health: Sendable {
  enum State: UInt64, Sendable {
    case serving = 0
    /// On the way to its end: calls in flight are answered, new ones go elsewhere.
    case stopping = 1
  }

  private let changes = Broadcast()

  var state: State { State(rawValue: changes.newest) ?? .stopping }

  func stop() { changes.raise(to: State.stopping.rawValue) }

  /// Ends all waiting.
  func close() { changes.close() }

  /// Returns when the state is another than `known`. Throws `Broadcast.Closed`, or `CancellationError`.
  func change(from known: State) async throws { try await changes.wait(above: known.rawValue) }
}
