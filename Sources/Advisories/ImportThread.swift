import Posix
import Synchronization

/// A thread of its own for an import: unpacking and decoding for seconds, reading and syncing files, none of which the
/// shared pool should wait for.
final class ImportThread: TaskExecutor {
  private struct State {
    var jobs: [UnownedJob] = []
    var isEnding = false
  }

  private let state = Mutex(State())
  private let wake = Signal()

  /// Runs `body` on a new thread, and comes back to the caller's executor.
  static func run<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) async throws -> R {
    let thread = ImportThread()
    startThread(named: "advisory-import", stackSize: 8 << 20) { thread.loop() }
    defer { thread.end() }
    return try await withTaskExecutorPreference(thread) { try await onThread(body) }
  }

  @concurrent
  private static func onThread<R: Sendable>(_ body: @Sendable () async throws -> R) async throws -> R {
    try await body()
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    state.withLock { $0.jobs.append(job) }
    wake.send()
  }

  private func end() {
    state.withLock { $0.isEnding = true }
    wake.send()
  }

  private func loop() {
    while true {
      wake.wait()
      let (jobs, isDone) = state.withLock { state -> ([UnownedJob], Bool) in
        defer { state.jobs = [] }
        return (state.jobs, state.isEnding && state.jobs.isEmpty)
      }
      if isDone { return }
      for job in jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
      if state.withLock({ $0.isEnding }) { wake.send() }
    }
  }
}
