import Logging
import Posix
import Queue
import Registry
import StorageMessages
import Store
import Synchronization

/// The scanner: takes jobs from the queue into a fixed number of slots and sees each to its end. What becomes of a job is
/// written before the slot is free again.
package final class Scanner: Sendable {
  package struct Settings: Sendable {
    package var slots: Int
    /// Worker processes at a time, over all scans; one integration's scans have all but one of them.
    package var workers: Int
    /// Absolute path of the worker program.
    package var workerProgram: String
    /// First and longest wait after a transient failure.
    package var backOff: ClosedRange<Duration> = .seconds(5)...(.seconds(600))
    /// How long to wait before trying again to write down what became of a job.
    package var storeRetry = Duration.seconds(2)

    package init(slots: Int, workers: Int, workerProgram: String) {
      self.slots = slots
      self.workers = workers
      self.workerProgram = workerProgram
    }
  }

  private struct Running {
    let integration: UInt64
    let task: Task<Void, Never>
  }

  private struct State {
    /// By lease: a job may be leased anew while the end of its last attempt is still on its way.
    var running: [UInt64: Running] = [:]
    var isStopping = false
  }

  private let store: StateStore
  private let queue: JobQueue
  private let registries: RegistryClients
  private let matcher: ReportMatcher
  private let progress: ScanProgress
  private let layers: LayerAnalyses
  private let settings: Settings
  private let clock: WallClock
  private let log: Logger
  private let state = Mutex(State())
  private let wake = WakeUp()

  package init(
    store: StateStore, queue: JobQueue, registries: RegistryClients, matcher: ReportMatcher, progress: ScanProgress,
    settings: Settings, clock: WallClock, log: Logger
  ) {
    self.store = store
    self.queue = queue
    self.registries = registries
    self.matcher = matcher
    self.progress = progress
    self.settings = settings
    self.clock = clock
    self.log = log
    layers = LayerAnalyses(
      store: store, workerProgram: settings.workerProgram, workersMaximum: settings.workers, clock: clock)
  }

  /// There may be something to do.
  package func poke() { wake.send() }

  /// Ends the attempts at an integration's images, whose results are not wanted any more; returns when they have ended.
  package func abandon(_ integration: UInt64) async {
    let tasks = state.withLock { state in state.running.values.filter { $0.integration == integration }.map(\.task) }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }

  /// Ends the attempts of leases that were given up, whose results are not wanted any more.
  package func cancel(_ leases: [UInt64]) {
    for task in state.withLock({ state in leases.compactMap { state.running[$0]?.task } }) { task.cancel() }
  }

  /// The leases whose attempts have not ended.
  package var liveLeases: Set<UInt64> { state.withLock { Set($0.running.keys) } }

  /// Takes no more jobs and returns those that run to the queue; `run` returns when that is written.
  package func stop() {
    let tasks = state.withLock { state in
      state.isStopping = true
      return state.running.values.map(\.task)
    }
    for task in tasks { task.cancel() }
    wake.send()
  }

  /// Works until `stop`.
  package func run() async {
    let slots = Permits(settings.slots)
    await withDiscardingTaskGroup { group in
      while !isStopping {
        do {
          try await slots.acquire()
        } catch {
          return
        }
        guard let lease = await nextLease() else {
          slots.release()
          return
        }
        let task = begin(lease, slots)
        group.addTask { await task.value }
      }
    }
  }

  private var isStopping: Bool { state.withLock(\.isStopping) }

  /// Waits for a job; nil when stopping.
  private func nextLease() async -> JobQueue.Lease? {
    while !isStopping {
      do {
        let lease = try await queue.lease { [self] integration in
          // An integration fills all slots but one, so that a slow registry leaves room for another's jobs.
          let running = state.withLock { $0.running.values.count { $0.integration == integration } }
          return running < max(1, settings.slots - 1) || settings.slots == 1 ? .open : .closed
        }
        if let lease { return lease }
        if let next = try queue.nextDelayed() {
          await wake.wait(atMost: .nanoseconds(max(0, next - clock.now)))
        } else {
          await wake.wait()
        }
      } catch {
        log.error("the queue cannot be read or written", metadata: ["error": "\(error)"])
        await wake.wait(atMost: settings.storeRetry)
      }
    }
    return nil
  }

  private func begin(_ lease: JobQueue.Lease, _ slots: Permits) -> Task<Void, Never> {
    let job = lease.job
    progress.begin(job.id)
    // Under the lock, so that nobody who wants to end the attempt finds it without its task.
    return state.withLock { state in
      let task = Task {
        await scan(lease)
        self.state.withLock { _ = $0.running.removeValue(forKey: lease.number) }
        progress.end(job.id)
        slots.release()
        // The integration may have had another job that waited for its share.
        wake.send()
      }
      state.running[lease.number] = Running(integration: job.integrationId, task: task)
      if state.isStopping { task.cancel() }
      return task
    }
  }

  // MARK: - One attempt

  private func scan(_ lease: JobQueue.Lease) async {
    let job = lease.job
    var log = log
    log[metadataKey: "job"] = "\(job.id)"
    log[metadataKey: "image"] = "\(job.repository)@\(job.digest)"
    log.info("scan begins", metadata: ["attempt": "\(job.attempt)"])
    do {
      guard let integration = try store.integration(id: job.integrationId) else {
        throw ImageProblem(code: .integrationRemoved, message: "the image's integration was removed", hint: "")
      }
      let scan = ImageScan(
        lease: lease, integration: integration, client: try registries.client(for: integration), store: store,
        queue: queue, layers: layers, matcher: matcher, progress: progress, clock: clock)
      let limit = Duration.seconds(Int64(integration.scanTimeoutSeconds))
      try await withTimeLimit(limit) { try await scan.run() }
      log.info("scan finished")
    } catch {
      await settle(lease, error, log)
    }
  }

  /// Writes down what became of an attempt that failed; tries until that has worked, or the daemon stops.
  private func settle(_ lease: JobQueue.Lease, _ error: any Error, _ log: Logger) async {
    while true {
      do {
        try await record(lease, error, log)
        return
      } catch let stale as JobQueue.StaleLease {
        log.info("the job was cancelled meanwhile", metadata: ["job": "\(stale.job)"])
        return
      } catch {
        log.error("what became of the job cannot be stored", metadata: ["error": "\(error)"])
        if isStopping { return }
        // In a task of its own: this one may be cancelled and must wait all the same.
        _ = await Task { [settings] in try await Task.sleep(for: settings.storeRetry) }.result
      }
    }
  }

  private func record(_ lease: JobQueue.Lease, _ error: any Error, _ log: Logger) async throws {
    if Task.isCancelled {
      // Either the daemon stops, and the attempt does not count, or the job was cancelled, and its lease is gone.
      try await queue.interrupt(lease)
      log.info("scan interrupted")
      return
    }
    if error is JobQueue.StaleLease { throw error }
    let verdict = ScanFailure(error, lease.job, settings.backOff)
    let state = try await store.write { [queue] transaction -> JobState in
      guard let delay = verdict.retryAfter else {
        try queue.fail(lease, verdict.failure, in: transaction)
        return .error
      }
      return try queue.giveBack(
        lease, after: delay, verdict.failure, isTimeout: error is TimeLimitExceeded, in: transaction
      ).state
    }
    log.warning(
      state == .error ? "scan failed" : "scan failed and will be tried again",
      metadata: ["code": "\(verdict.failure.code)", "reason": "\(verdict.failure.message)"])
  }
}
