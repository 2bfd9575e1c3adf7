import Inventory
import Logging
import Posix
import Queue
import Registry
import StorageMessages
import Store
import Synchronization
import Zones

/// The scanner: takes jobs from the queue into slots and sees each to its end. What becomes of a job is written before the
/// slot is free again.
///
/// An attempt that only waits for a registry which does not answer lends its slot (`SlotLedger`), so that registry delays
/// no other's jobs.
package final class Scanner: Sendable {
  package struct Settings: Sendable {
    /// Scans that get on at a time.
    package var slots: Int
    /// Worker processes that get on at a time, over all scans; one integration's scans have all but one of them.
    package var workers: Int
    /// Absolute path of the worker program.
    package var workerProgram: String
    package var workerArguments: [WorkerProtocol.Argument] = []
    var workerPatience = WorkerPatience.Limits.standard
    /// Who looks into files for malware; nil: nobody does.
    package var malware: MalwareSettings?
    /// How long a scan or a worker waits for its registry without progress before it lends its place to another.
    package var patience = Duration.seconds(5)
    /// Declared bytes of an image's layers together, where its integration has no limit of its own.
    package var imageBytesMaximum: UInt64 = 64 << 30
    /// First and longest wait after a transient failure.
    package var backOff: ClosedRange<Duration> = .seconds(5)...(.seconds(600))
    /// How long to wait before trying again to write down what became of a job.
    package var storeRetry = Duration.seconds(2)
    /// How long after its time limit an attempt may take to end, before it is given up without its end.
    package var grace = Duration.seconds(30)
    /// Of time limits.
    package var clock = MonotonicClock.system
    /// The node's own is that of quiet hours.
    package var zones = ZoneDatabase.system

    package init(slots: Int, workers: Int, workerProgram: String) {
      self.slots = slots
      self.workers = workers
      self.workerProgram = workerProgram
    }
  }

  struct Running {
    let integration: UInt64
    let task: Task<Void, Never>
    /// Somebody else writes what becomes of its job.
    var isDisowned = false
  }

  struct State {
    /// By lease: a job may be leased anew while the end of its last attempt is still on its way.
    var running: [UInt64: Running] = [:]
    /// Leases grow, and the scanner takes one after the other: a greater one is still on its way from the queue.
    var lastBegun: UInt64 = 0
    /// Such leases that are not wanted any more: no more than one is on its way at a time, and what is older is forgotten
    /// when the next begins.
    var cancelled: Set<UInt64> = []
    var throughput = Throughput()
    var isStopping = false
  }

  let store: StateStore
  let queue: JobQueue
  let registries: RegistryClients
  let matcher: ReportMatcher
  let layers: LayerAnalyses
  let settings: Settings
  let clock: WallClock
  let log: Logger
  let state = Mutex(State())
  private let progress: ScanProgress
  let slots: LendingSlots
  private let wake: WakeUp

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
    layers = LayerAnalyses(store: store, settings: settings, clock: clock)
    let wake = WakeUp()
    self.wake = wake
    slots = LendingSlots(settings.slots, patience: settings.patience, clock: settings.clock) { wake.send() }
  }

  /// How far the attempt at a job has come; nothing for one that does not run.
  package func progress(of job: UInt64) -> JobQueue.Progress {
    progress.counts(of: job).map { JobQueue.Progress(bytesFetched: $0.bytesFetched, layersDone: $0.layersDone) }
      ?? JobQueue.Progress()
  }

  /// There may be something to do.
  package func poke() { wake.send() }

  /// Ends attempts whose jobs somebody else has cancelled, or is about to: what becomes of these is his to write.
  package func cancel(_ leases: [UInt64]) {
    let tasks = state.withLock { state in
      leases.compactMap { lease in
        state.running[lease]?.isDisowned = true
        if lease > state.lastBegun { state.cancelled.insert(lease) }
        return state.running[lease]?.task
      }
    }
    for task in tasks { task.cancel() }
  }

  /// Ends the attempts at an integration's images, whose results are not wanted any more; returns when they have ended.
  /// One that begins after this finds no integration and asks nothing.
  package func abandon(_ integration: UInt64) async {
    let tasks = state.withLock { state in state.running.values.filter { $0.integration == integration }.map(\.task) }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }

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
    await withDiscardingTaskGroup { group in
      while let lease = await nextLease() {
        let task = begin(lease)
        group.addTask { await task.value }
      }
    }
  }

  var isStopping: Bool { state.withLock(\.isStopping) }

  // MARK: - What is told

  package typealias Load = LendingSlots.Load

  /// How many scans run, and how many of them only wait.
  package var load: Load { slots.load }

  /// Leases whose attempts run: every job that is in progress has one of them, or its end is being written.
  package var liveLeases: Set<UInt64> { state.withLock { Set($0.running.keys) } }

  /// What the scans of an integration, or all, came to in the last hour.
  package func throughput(of integration: UInt64? = nil) -> Throughput.Summary {
    let now = settings.clock.now
    return state.withLock { state in
      integration.map { state.throughput.of($0, at: now) } ?? state.throughput.overall(at: now)
    }
  }

  // MARK: - Whose turn it is

  /// The longest sleep: a clock that was set is seen after it.
  private static let sleepMaximum = Duration.seconds(60)

  /// Waits for a slot and a job; nil when stopping.
  private func nextLease() async -> JobQueue.Lease? {
    while !isStopping {
      var sleep = Self.sleepMaximum
      do {
        if slots.hasRoom {
          let gate = ScanGate(
            store: store, slots: slots, slotCount: settings.slots, zones: settings.zones, clock: clock)
          if try queue.mayLease(gate: { gate.answer(for: $0) }),
            let lease = try await queue.lease(gate: { gate.answer(for: $0) })
          {
            return lease
          }
          let opensAt = try gate.opensAt()
          for next in [opensAt, try queue.nextDelayed()] {
            if let next { sleep = min(sleep, .nanoseconds(max(0, next - clock.now))) }
          }
        } else {
          sleep = slots.untilNextStall ?? settings.patience
        }
      } catch {
        log.error("the queue cannot be read or written", metadata: ["error": "\(error)"])
        sleep = settings.storeRetry
      }
      await wake.wait(atMost: sleep, clock: settings.clock)
    }
    return nil
  }

  /// Begins the attempt that a lease is for. Leases begin in the order in which they were given.
  func begin(_ lease: JobQueue.Lease) -> Task<Void, Never> {
    let job = lease.job
    let attempt = AttemptProgress(slots.take(for: job.integrationId))
    progress.begin(attempt, of: job.id)
    // Under the lock, so that nobody who wants to end the attempt finds it without its task.
    return state.withLock { state in
      let task = Task {
        await scan(lease, attempt)
        leave(lease, attempt)
      }
      let isDisowned = state.cancelled.contains(lease.number)
      state.lastBegun = lease.number
      state.cancelled = state.cancelled.filter { $0 > lease.number }
      state.running[lease.number] = Running(integration: job.integrationId, task: task, isDisowned: isDisowned)
      if state.isStopping || isDisowned { task.cancel() }
      return task
    }
  }

  /// The attempt has ended: its slot is free.
  func leave(_ lease: JobQueue.Lease, _ attempt: AttemptProgress) {
    state.withLock { _ = $0.running.removeValue(forKey: lease.number) }
    progress.end(attempt, of: lease.job.id)
    attempt.end()
  }
}
