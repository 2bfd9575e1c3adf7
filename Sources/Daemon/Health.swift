import Posix
import Synchronization

/// Whether the daemon serves, for probes.
final class Health: Sendable {
  enum State: UInt64, Sendable {
    case serving = 0
    /// On the way to its end: calls in flight are answered, new ones go elsewhere.
    case stopping = 1
  }

  private struct Watchers {
    var untold = 0
    var stopper: CheckedContinuation<Void, Never>?
  }

  private let changes = Broadcast()
  private let watchers = Mutex(Watchers())

  var state: State { State(rawValue: changes.newest) ?? .stopping }

  /// Returns when every watcher has been told: what follows ends their calls.
  func stop() async {
    changes.raise(to: State.stopping.rawValue)
    await withCheckedContinuation { continuation in
      let areTold = watchers.withLock { watchers in
        if watchers.untold > 0 { watchers.stopper = continuation }
        return watchers.untold == 0
      }
      if areTold { continuation.resume() }
    }
  }

  /// Somebody begins to watch.
  func beginWatch() { watchers.withLock { $0.untold += 1 } }

  /// Once for each that began: its client was told that the daemon stops, or nobody is to be told any more.
  func endWatch() {
    let stopper = watchers.withLock { watchers in
      watchers.untold -= 1
      return watchers.untold == 0 ? watchers.stopper.take() : nil
    }
    stopper?.resume()
  }

  /// Ends all waiting.
  func close() { changes.close() }

  /// Returns when the state is another than `known`. Throws `Broadcast.Closed`, or `CancellationError`.
  func change(from known: State) async throws { try await changes.wait(above: known.rawValue) }
}
