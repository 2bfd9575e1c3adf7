import Posix
import Queue
import StorageMessages
import Store
import TestSupport
import Testing

@Suite("The queue of an older schema") struct QueueMigrationTests {
  /// The counts of version 1, by state.
  private static let oldCounts = Table<UInt64, UInt64>("job_counts", "")

  @Test("a store of version 1 opens with every job, its counts and its order") func version1() async throws {
    let scratch = try TemporaryDirectory()
    let directory = try StateDirectory(opening: scratch.path + "/state")
    var options = Environment.Options()
    options.mapSizeBytes = 64 << 20
    let tables = [StateStore.meta.description] + QueueTables.all
    let old = try Environment(path: directory.stateFile, tables: tables, options: options)
    let jobs = (1...6 as ClosedRange<UInt64>).map { id in
      var job = JobRecord()
      job.id = id
      job.sequence = id
      job.integrationId = id % 2 + 1
      job.repository = "team/app\(id)"
      job.digest = "sha256:\(id)"
      job.priority = 1
      job.enqueuedAt = Int64(id)
      job.state = [.pending, .inProgress, .finished, .error, .error, .cancelled][Int(id) - 1]
      if job.state == .inProgress { job.lease = 9 }
      if job.state.isFinal { job.finishedAt = 100 - Int64(id) }
      if job.state == .error { job.errorCode = "UNAUTHORIZED" }
      return job
    }
    try await old.write { transaction in
      try transaction.put(StateStore.meta, "schema_version", 1)
      try transaction.put(StateStore.meta, "next_job", 7)
      try transaction.put(StateStore.meta, "next_lease", 10)
      for job in jobs {
        try transaction.put(QueueTables.jobs, job.id, job)
        if !job.state.isFinal { try transaction.put(QueueTables.active, job.imageKey, job.id) }
        let count = try transaction.get(Self.oldCounts, UInt64(job.state.rawValue)) ?? 0
        try transaction.put(Self.oldCounts, UInt64(job.state.rawValue), count + 1)
      }
      try transaction.put(QueueTables.ready, ReadyKey(integration: 2, priority: 1, sequence: 1), 1)
      try transaction.put(QueueTables.running, 2, 9)
    }
    old.close()

    let store = try await StateStore(
      directory: directory, tables: QueueTables.all, migrations: QueueTables.migrations, options: options)
    defer { store.close() }
    for name in ["a", "b"] {
      var integration = IntegrationRecord()
      integration.name = name
      _ = try await store.createIntegration(integration, secrets: [:], now: 1)
    }
    let queue = JobQueue(store: store)
    #expect(try queue.jobs(after: 0, limit: 9) { _ in true }.jobs == jobs)
    #expect(
      try queue.integrationCounts() == [
        1: [.inProgress: 1, .error: 1, .cancelled: 1], 2: [.pending: 1, .finished: 1, .error: 1],
      ])
    #expect(try queue.failureCounts() == ["UNAUTHORIZED": 2])
    #expect(try queue.ended(.error, before: nil, limit: 9) { _ in true }.jobs.map(\.id) == [4, 5])
    #expect(try await queue.recover() == 1)
    let (job, _) = try await store.write {
      try queue.enqueue(
        ImageKey(integration: 1, repository: "new", digest: "sha256:n"), tag: "", priority: .newImage, in: $0)
    }
    #expect(job.id == 7 && job.sequence == 7)
    #expect(try await queue.retry([5], actor: "uid:1").map(\.isChanged) == [true])
    var leased: [UInt64] = []
    while let lease = try await queue.lease(gate: { _ in .open }) { leased.append(lease.job.id) }
    #expect(leased == [5, 1, 2, 7])
  }
}
