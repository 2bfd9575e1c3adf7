import CPosix
import Synchronization

/// Gives memory that is free back to the system now and then. The C library does so by itself only at the end of a heap:
/// what a crowd of clients or a big poll has used would else stay the process's own for as long as anything behind it does.
final class MemoryTrim: Sendable {
  /// Short enough that a burst's memory does not stay for long, long enough not to give back what is used again at once.
  private static let interval = Duration.seconds(20)
  /// What each heap may keep at its end; larger blocks are memory of their own, given back at once.
  private static let keptBytes = 1 << 20

  private let task = Mutex<Task<Void, Never>?>(nil)

  func start() {
    // Refused, more memory stays with the process: no reason not to start.
    _ = cposix_bound_kept_memory(Self.keptBytes)
    task.withLock { task in
      task = Task {
        while true {
          // Ended by cancellation: that is all that a sleep throws.
          do { try await Task.sleep(for: Self.interval) } catch { return }
          cposix_trim_memory()
        }
      }
    }
  }

  func stop() async {
    let task = task.withLock { $0 }
    task?.cancel()
    await task?.value
  }
}
