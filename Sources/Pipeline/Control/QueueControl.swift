import Logging
import Posix
import Queue
import Selection
import StorageMessages
import Store
import Synchronization

/// What people want of the queue, carried to those who do it: the queue writes it down, the scanner ends the attempts
/// that are not wanted any more or looks for what may start. In the background it carries out large cancellations, and
/// looks again and again whether every job has an owner.
package final class QueueControl: Sendable {
  /// Between two looks at the leases, and at a batch of the jobs.
  private static let sweepInterval = Duration.seconds(30)
  private static let sweepBatch = 5_000
  private static let storeRetry = Duration.seconds(5)

  private let queue: JobQueue
  private let scanner: Scanner
  private let log: Logger
  private let wake = WakeUp()
  private let tasks = Mutex<[Task<Void, Never>]>([])

  package init(queue: JobQueue, scanner: Scanner, log: Logger) {
    self.queue = queue
    self.scanner = scanner
    self.log = log
  }

  /// Reads a pattern for repositories, as criteria have them. Throws `PatternError`.
  @Sendable package static func readPattern(_ text: String) throws -> @Sendable (String) -> Bool {
    let pattern = try Pattern(parsing: text)
    return { pattern.matches(repository: $0) }
  }

  // MARK: - What people want

  /// Ends jobs, and their attempts at once. Throws `JobQueue.UnknownJob`, with nothing changed.
  package func cancel(_ jobs: [UInt64], actor: String) async throws -> [JobQueue.Change] {
    let changes = try await queue.cancel(jobs, actor: actor) { [scanner] in scanner.progress(of: $0) }
    scanner.cancel(changes.map(\.lease).filter { $0 != 0 })
    return changes
  }

  /// Ends every job of a selection; returns at once with how many there may be.
  package func cancel(_ selection: JobQueue.Selection, actor: String) async throws -> UInt64 {
    let outcome = try await queue.cancel(selection, actor: actor) { [scanner] in scanner.progress(of: $0) }
    scanner.cancel(outcome.leases)
    wake.send()
    return outcome.matchedMaximum
  }

  package func retry(_ jobs: [UInt64], actor: String) async throws -> [JobQueue.Change] {
    let changes = try await queue.retry(jobs, actor: actor)
    scanner.poke()
    return changes
  }

  package func retry(
    _ selection: JobQueue.Selection, actor: String
  ) async throws -> (changed: UInt64, existed: UInt64) {
    // Those of a batch may start while the next is being queued, and when it is cut short.
    defer { scanner.poke() }
    return try await queue.retry(selection, actor: actor)
  }

  package func prioritize(
    _ jobs: [UInt64], to priority: JobQueue.Priority, actor: String
  ) async throws -> [JobQueue.Change] {
    let changes = try await queue.prioritize(jobs, to: priority, actor: actor)
    // A person's priority may run in quiet hours.
    scanner.poke()
    return changes
  }

  package func prioritize(
    _ selection: JobQueue.Selection, to priority: JobQueue.Priority, actor: String
  ) async throws -> UInt64 {
    defer { scanner.poke() }
    return try await queue.prioritize(selection, to: priority, actor: actor)
  }

  package func clear(_ jobs: [UInt64], actor: String) async throws -> [JobQueue.Change] {
    try await queue.clear(jobs, actor: actor)
  }

  package func clear(_ selection: JobQueue.Selection, actor: String) async throws -> UInt64 {
    try await queue.clear(selection, actor: actor)
  }

  package func pause(_ integration: UInt64?, reason: String, actor: String) async throws {
    try await queue.pause(integration, reason: reason, actor: actor)
  }

  package func resume(_ integration: UInt64?, actor: String) async throws {
    try await queue.resume(integration, actor: actor)
    scanner.poke()
  }

  /// Somebody else has begun to cancel a selection: of an integration that is being removed.
  package func carryOutSoon() { wake.send() }

  // MARK: - In the background

  package func start() {
    tasks.withLock { tasks in
      tasks = [Task { await carryOut() }, Task { await sweep() }]
    }
  }

  package func stop() async {
    let tasks = tasks.withLock { $0 }
    for task in tasks { task.cancel() }
    wake.send()
    for task in tasks { await task.value }
  }

  private func carryOut() async {
    while !Task.isCancelled {
      do {
        while try await queue.carryOutCancellations(), !Task.isCancelled {}
        if !Task.isCancelled { await wake.wait() }
      } catch {
        log.error("a cancellation cannot be carried out, and will be", metadata: ["error": "\(error)"])
        await wake.wait(atMost: Self.storeRetry)
      }
    }
  }

  /// A lease is lost when nobody held it in two looks in a row: between its commit and its attempt's begin is a moment.
  private func sweep() async {
    var unheld: [UInt64: UInt64] = [:]
    var position: ImageKey?
    while !Task.isCancelled {
      do {
        try await Task.sleep(for: Self.sweepInterval)
        let held = scanner.liveLeases
        let now = try queue.leases().filter { !held.contains($0.value) }
        let lost = now.filter { unheld[$0.key] == $0.value }
        unheld = now
        for job in try await queue.returnLost(lost) {
          log.error("a job had a lease that no attempt held, and is back in line", metadata: ["job": "\(job)"])
        }
        let looked = try queue.orphans(after: position, limit: Self.sweepBatch)
        position = looked.next
        for orphan in try await queue.adopt(looked.found) {
          log.error(
            "a job had no owner, and is back in line",
            metadata: ["job": "\(orphan.job)", "problem": "\(orphan.problem)"])
        }
        if !lost.isEmpty || !looked.found.isEmpty { scanner.poke() }
      } catch is CancellationError {
        return
      } catch {
        log.error("the queue cannot be looked through", metadata: ["error": "\(error)"])
      }
    }
  }
}
