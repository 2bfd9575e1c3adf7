import Logging
import Pipeline
import Queue
import Store
import Synchronization

/// Removes integrations: at once for everybody who asks, in the background on disk (D7). A removal that a stop cuts short
/// goes on at the next start.
final class Removals: Sendable {
  private static let jobsBatch = 500

  private struct State {
    var tasks: [UInt64: Task<Void, Never>] = [:]
    var isStopping = false
  }

  private let store: StateStore
  private let queue: JobQueue
  private let scanner: Scanner
  private let poller: Poller
  private let registries: RegistryClients
  private let log: Logger
  private let state = Mutex(State())

  init(
    store: StateStore, queue: JobQueue, scanner: Scanner, poller: Poller, registries: RegistryClients, log: Logger
  ) {
    self.store = store
    self.queue = queue
    self.scanner = scanner
    self.poller = poller
    self.registries = registries
    self.log = log
  }

  /// Returns when the secret is wiped, the jobs are cancelled and nobody finds the integration any more.
  func begin(_ name: String) async throws {
    let cancelled = Mutex<[UInt64]>([])
    let id = try await store.beginRemoval(named: name) { [queue] id, transaction in
      let jobs = try queue.cancelAll(
        of: id,
        JobQueue.Failure(code: "INTEGRATION_REMOVED", message: "its integration was removed", hint: ""),
        in: transaction)
      cancelled.withLock { $0 = jobs }
    }
    registries.forget(id)
    scanner.abandon(cancelled.withLock { $0 })
    log.info("integration is being removed", metadata: ["integration": "\(name)"])
    carryOn(id)
  }

  /// At start: goes on with removals that did not come to their end.
  func resume() throws {
    for id in try store.removalsBegun() { carryOn(id) }
  }

  private func carryOn(_ id: UInt64) {
    state.withLock { state in
      guard !state.isStopping else { return }
      state.tasks[id] = Task {
        await poller.cancel(id)
        do {
          try await remove(id)
        } catch is CancellationError {
          log.info("a removal goes on at the next start", metadata: ["integration": "\(id)"])
        } catch {
          log.error(
            "a removal failed and goes on at the next start",
            metadata: ["integration": "\(id)", "error": "\(error)"])
        }
        self.state.withLock { _ = $0.tasks.removeValue(forKey: id) }
      }
    }
  }

  private func remove(_ id: UInt64) async throws {
    var jobs = try queue.jobIDs(of: id)[...]
    while !jobs.isEmpty {
      try Task.checkCancellation()
      try await queue.forget(Array(jobs.prefix(Self.jobsBatch)))
      jobs = jobs.dropFirst(Self.jobsBatch)
    }
    while try await store.removeRemains(of: id) { try Task.checkCancellation() }
  }

  func stop() async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return Array(state.tasks.values)
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }
}
