import Glibc
import Posix
import Queue
import StorageMessages
import Store
import Synchronization
import TestSupport

/// A queue on a real store in a directory of its own, with a clock that the test moves.
final class QueueFixture: Sendable {
  final class Clock: Sendable {
    private let instant = Mutex<Int64>(1_700_000_000_000_000_000)
    var now: Int64 { instant.withLock { $0 } }
    func advance(by duration: Duration) {
      instant.withLock {
        $0 += duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000
      }
    }
  }

  let clock: Clock
  let store: StateStore
  let queue: JobQueue
  private let directory: TemporaryDirectory

  /// On the state that `previous` has closed, with its clock, where there is one.
  init(after previous: QueueFixture? = nil) async throws {
    clock = previous?.clock ?? Clock()
    directory = try previous?.directory ?? TemporaryDirectory()
    var options = Environment.Options()
    options.mapSizeBytes = 1 << 30
    options.isSynchronous = false
    store = try await StateStore(
      directory: StateDirectory(opening: directory.path + "/state"), tables: QueueTables.all,
      migrations: QueueTables.migrations, options: options)
    queue = JobQueue(
      store: store, clock: WallClock { [clock] in clock.now }, readPattern: { pattern in { $0.hasPrefix(pattern) } })
  }

  deinit { store.close() }

  static func image(_ number: Int, integration: UInt64 = 1) -> ImageKey {
    ImageKey(integration: integration, repository: "team/app\(number)", digest: "sha256:\(number)")
  }

  @discardableResult
  func enqueue(
    _ image: ImageKey, _ priority: JobQueue.Priority = .person
  ) async throws -> (job: JobRecord, existed: Bool) {
    try await store.write { [queue] in try queue.enqueue(image, tag: "latest", priority: priority, in: $0) }
  }

  func lease(_ mayRun: @escaping @Sendable (UInt64) -> Bool = { _ in true }) async throws -> JobQueue.Lease? {
    try await queue.lease { mayRun($0) ? .open : .closed }
  }

  func finish(_ lease: JobQueue.Lease) async throws {
    try await queue.beginParsing(lease)
    try await store.write { [queue] in try queue.finish(lease, in: $0) }
  }

  func fail(_ lease: JobQueue.Lease, _ failure: JobQueue.Failure = QueueFixture.failure) async throws {
    try await store.write { [queue] in try queue.fail(lease, failure, in: $0) }
  }

  func giveBack(
    _ lease: JobQueue.Lease, after delay: Duration, _ failure: JobQueue.Failure = QueueFixture.failure
  ) async throws -> JobRecord {
    try await store.write { [queue] in try queue.giveBack(lease, after: delay, failure, in: $0) }
  }

  func cancel(_ id: UInt64) async throws -> Bool {
    do {
      return try await queue.cancel([id], actor: "uid:7").contains(where: \.isChanged)
    } catch is JobQueue.UnknownJob {
      return false
    }
  }

  static let failure = JobQueue.Failure(code: "REGISTRY_UNAVAILABLE", message: "no answer", hint: "wait")

  // MARK: - What must always hold

  struct Broken: Error, CustomStringConvertible { let description: String }

  /// Throws unless every job that is not final is in exactly one index and in the list of active images, every final one
  /// in none, no index names anything else, and the counts are right. Returns the jobs.
  @discardableResult
  func audit() throws -> [UInt64: JobRecord] {
    try store.read { transaction in
      var jobs: [UInt64: JobRecord] = [:]
      try transaction.scan(QueueTables.jobs) { id, job in
        jobs[id] = job
        return true
      }
      var places: [UInt64: [String]] = [:]
      try transaction.scan(QueueTables.ready) { key, id in
        places[id, default: []].append("ready")
        guard let job = jobs[id], key.integration == job.integrationId, UInt32(key.priority) == job.priority,
          key.sequence == job.sequence
        else { throw Broken(description: "a ready entry for job \(id) is not its own") }
        return true
      }
      try transaction.scan(QueueTables.delayed) { key, _ in
        places[key.job, default: []].append("delayed")
        guard jobs[key.job]?.notBefore == Int64(clamping: key.notBefore) else {
          throw Broken(description: "a delayed entry for job \(key.job) has another time than the job")
        }
        return true
      }
      try transaction.scan(QueueTables.running) { id, lease in
        places[id, default: []].append("running")
        guard jobs[id]?.lease == lease, lease > 0 else { throw Broken(description: "job \(id) has another lease") }
        return true
      }
      var active: [UInt64: ImageKey] = [:]
      try transaction.scan(QueueTables.active) { image, id in
        active[id] = image
        return true
      }
      var counts: [JobState: UInt64] = [:]
      for (id, job) in jobs {
        counts[job.state, default: 0] += 1
        let wanted: [[String]]
        switch job.state {
        case .pending: wanted = [["ready"], ["delayed"]]
        case .inProgress, .parsingResults: wanted = [["running"]]
        default: wanted = [[]]
        }
        guard wanted.contains(places.removeValue(forKey: id) ?? []) else {
          throw Broken(description: "job \(id), \(job.state.name), is in the wrong indexes")
        }
        let image = active.removeValue(forKey: id)
        guard
          image
            == (job.state.isFinal
              ? nil
              : ImageKey(
                integration: job.integrationId, repository: job.repository, digest: job.digest))
        else { throw Broken(description: "job \(id), \(job.state.name), is wrongly listed as active") }
        guard (job.lease > 0) == (job.state == .inProgress || job.state == .parsingResults) else {
          throw Broken(description: "job \(id), \(job.state.name), has lease \(job.lease)")
        }
      }
      guard places.isEmpty, active.isEmpty else { throw Broken(description: "an index names a job that is not there") }
      try auditCounts(jobs, in: transaction)
      return jobs
    }
  }

  private func auditCounts(_ jobs: [UInt64: JobRecord], in transaction: ReadTransaction) throws {
    var (counts, failures): ([CountKey: UInt64], [FailureKey: UInt64]) = ([:], [:])
    try transaction.scan(QueueTables.counts) { key, count in
      counts[key] = count
      return true
    }
    try transaction.scan(QueueTables.failures) { key, count in
      failures[key] = count
      return true
    }
    var ended: Set<EndedKey> = []
    try transaction.scan(QueueTables.ended) { key, _ in
      ended.insert(key)
      return true
    }
    var attempts: [UInt64: [AttemptRecord]] = [:]
    try transaction.scan(QueueTables.attempts) { key, record in
      attempts[key.job, default: []].append(record)
      return true
    }
    var counted: [CancellationRecord] = []
    try transaction.scan(QueueTables.cancellations) { _, record in
      if record.isCounted { counted.append(record) }
      return true
    }
    // What such a cancellation covers is counted as it is shown.
    let grouped = Dictionary(grouping: jobs.values) { job in
      let isCovered = counted.contains {
        job.sequence <= $0.throughSequence && ($0.integrationId == 0 || $0.integrationId == job.integrationId)
      }
      return CountKey(
        integration: job.integrationId, state: job.state == .pending && isCovered ? .cancelled : job.state)
    }
    guard counts == grouped.mapValues({ UInt64($0.count) }) else {
      throw Broken(description: "counts are wrong: \(counts)")
    }
    let failed = Dictionary(grouping: jobs.values.filter { $0.state == .error }) {
      FailureKey(integration: $0.integrationId, code: $0.errorCode)
    }
    guard failures == failed.mapValues({ UInt64($0.count) }) else {
      throw Broken(description: "failures are counted wrong: \(failures)")
    }
    let final = jobs.values.filter(\.state.isFinal)
    guard ended == Set(final.map { EndedKey(state: $0.state, endedAt: $0.finishedAt, job: $0.id) }) else {
      throw Broken(description: "the list of what has ended is wrong")
    }
    for (id, records) in attempts {
      guard let job = jobs[id] else { throw Broken(description: "there are attempts at job \(id), which is not there") }
      let running = records.filter { $0.outcome == .running }
      guard running.map(\.lease) == (job.lease > 0 ? [job.lease] : []) else {
        throw Broken(description: "job \(id), \(job.state.name), has running attempts \(running)")
      }
    }
  }
}
