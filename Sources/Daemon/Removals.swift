import Logging
import Pipeline
import Posix
import Queue
import Store
import Synchronization

/// Removes integrations: at once for everybody who asks, in the background on disk (D7). A removal that a stop cuts short
/// goes on at the next start.
final class Removals: Sendable {
  /// How long to wait before trying again after the store refused.
  private static let retry = Duration.seconds(30)

  private struct State {
    var tasks: [UInt64: Task<Void, Never>] = [:]
    var isStopping = false
  }

  private let store: StateStore
  private let queue: JobQueue
  private let control: QueueControl
  private let scanner: Scanner
  private let poller: Poller
  private let registries: RegistryClients
  private let clock: WallClock
  private let log: Logger
  private let state = Mutex(State())

  init(
    store: StateStore, queue: JobQueue, control: QueueControl, scanner: Scanner, poller: Poller,
    registries: RegistryClients, clock: WallClock,
    log: Logger
  ) {
    self.store = store
    self.queue = queue
    self.control = control
    self.scanner = scanner
    self.poller = poller
    self.registries = registries
    self.clock = clock
    self.log = log
  }

  /// Returns when the secret is wiped, the jobs are cancelled and nobody finds the integration any more.
  /// `actor` is who wants it, for the event log.
  func begin(_ name: String, actor: String = "") async throws {
    let id = try await store.beginRemoval(named: name, now: clock.now, actor: actor) { [queue] id, transaction in
      try queue.cancelAll(ofRemoved: id, in: transaction)
    }
    control.carryOutSoon()
    registries.remove(id)
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
        // Who still works for the integration could add to it what is being deleted.
        await poller.abandon(id)
        await scanner.abandon(id)
        // They may have asked for it again after `begin`.
        registries.remove(id)
        await removeAtLast(id)
        self.state.withLock { _ = $0.tasks.removeValue(forKey: id) }
      }
    }
  }

  /// Removes until that has worked, or the daemon stops: the name is not free before.
  private func removeAtLast(_ id: UInt64) async {
    while true {
      do {
        try await remove(id)
        return
      } catch is CancellationError {
        return log.info("a removal goes on at the next start", metadata: ["integration": "\(id)"])
      } catch {
        log.error(
          "a removal failed and will be tried again", metadata: ["integration": "\(id)", "error": "\(error)"])
        do {
          try await Task.sleep(for: Self.retry)
        } catch {
          return log.info("a removal goes on at the next start", metadata: ["integration": "\(id)"])
        }
      }
    }
  }

  private func remove(_ id: UInt64) async throws {
    _ = try await queue.clear(JobQueue.Selection(integration: id), actor: nil)
    while try await store.removeRemains(of: id, now: clock.now) { try Task.checkCancellation() }
  }

  func stop() async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return Array(state.tasks.values)
    }
    for task in tasks { task.cancel() }
    await end()
  }

  /// Returns when the removals that run now have ended.
  func end() async {
    for task in state.withLock({ Array($0.tasks.values) }) { await task.value }
  }
}
