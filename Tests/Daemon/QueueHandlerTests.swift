import API
import Model
import Pipeline
import Posix
import Queue
import RPC
import StorageMessages
import Store
import Testing

@testable import Daemon

@Suite(.timeLimit(.minutes(1)))
struct QueueHandlerTests {
  private let bench: Bench

  init() async throws { bench = try await Bench() }

  private func refusal(_ body: () async throws -> some Any) async throws -> RPCError {
    do {
      _ = try await body()
    } catch {
      return ErrorTranslation.status(error)
    }
    throw Unexpected.success
  }

  private enum Unexpected: Error { case success }

  /// Queues images of an integration; answers their jobs.
  private func queue(
    _ integration: String, _ count: Int, repository: String = "app", priority: JobQueue.Priority = .newImage
  ) async throws -> [UInt64] {
    let keys = try (0..<count).map { try bench.key(integration, repository, $0) }
    return try await bench.intake.queue(keys.map { Intake.Item(image: $0, tag: "t") }, priority: priority).map(\.job.id)
  }

  private func lease() async throws -> JobQueue.Lease { try #require(try await bench.queue.lease { _ in .open }) }

  private func selector(_ change: (inout JobSelector) -> Void) -> JobSelector {
    var selector = JobSelector()
    change(&selector)
    return selector
  }

  private func cancel(_ change: (inout JobSelector) -> Void) async throws -> CancelJobsResponse {
    var request = CancelJobsRequest()
    request.jobs = selector(change)
    return try await bench.jobs.cancelJobs(request, bench.context)
  }

  private func retry(_ change: (inout JobSelector) -> Void) async throws -> RetryJobsResponse {
    var request = RetryJobsRequest()
    request.jobs = selector(change)
    return try await bench.jobs.retryJobs(request, bench.context)
  }

  private func job(_ id: UInt64) async throws -> API.Job {
    var request = GetJobRequest()
    request.id = id
    return try await bench.jobs.getJob(request, bench.context)
  }

  /// All of a list, page by page.
  private func list(_ states: [API.JobState], pageSize: UInt32 = 3, integration: String = "") async throws -> [UInt64] {
    var request = ListJobsRequest()
    request.states = states
    request.integration = integration
    request.pageSize = pageSize
    var ids: [UInt64] = []
    repeat {
      let page = try await bench.jobs.listJobs(request, bench.context)
      ids += page.jobs.map(\.id)
      request.pageToken = page.nextPageToken
    } while !request.pageToken.isEmpty
    return ids
  }

  private func drain() async throws { while try await bench.queue.carryOutCancellations() {} }

  // MARK: - Selections

  @Test func `A selection that contradicts itself is refused, each field by its name`() async throws {
    _ = try await bench.create("hub")
    let cases: [([String], (inout JobSelector) -> Void)] = [
      (["jobs"], { _ in }),
      (
        ["jobs.job_ids"],
        {
          $0.jobIds = [1]
          $0.all = true
        }
      ),
      (
        ["jobs.job_ids"],
        {
          $0.jobIds = [1]
          $0.integration = "hub"
        }
      ),
      (
        ["jobs.all"],
        {
          $0.all = true
          $0.states = [.pending]
        }
      ),
      (["jobs.job_ids"], { $0.jobIds = [UInt64](1...1001) }),
      (["jobs.states"], { $0.states = [.finished] }),
      (["jobs.states"], { $0.states = [API.JobState(rawValue: 42)] }),
      // However many are wrong, one is told.
      (["jobs.states"], { $0.states = Array(repeating: API.JobState(rawValue: 42), count: 1000) }),
      (["jobs.states"], { $0.states = Array(repeating: .finished, count: 1000) }),
      (["jobs.repository"], { $0.repository = "a:b:c" }),
      (["jobs.repository"], { $0.repository = String(repeating: "a", count: 1_000_000) }),
      (["jobs.error_codes", "jobs.error_codes"], { $0.errorCodes = Array(repeating: "GOOD", count: 1000) }),
      (["jobs.repository"], { $0.repository = "app:1" }),
      (["jobs.poll_id"], { $0.pollId = 1 }),
      (["jobs.error_codes"], { $0.errorCodes = ["SCAN_TIMEOUT"] }),
      (
        ["jobs.states", "jobs.error_codes", "jobs.error_codes[1]", "jobs.repository", "jobs.poll_id"],
        {
          $0.states = [.error]
          $0.errorCodes = ["GOOD", "bad code"]
          $0.repository = ":"
          $0.pollId = 7
        }
      ),
    ]
    for (fields, change) in cases {
      let error = try await refusal { try await cancel(change) }
      #expect(error.code == .invalidArgument)
      let named = error.message.split(separator: "; ").filter { $0.hasPrefix("jobs") }
      #expect(named.map { String($0.prefix { $0 != ":" }) } == fields, "\(error)")
    }
    #expect(try await refusal { try await cancel { $0.integration = "other" } }.reason == "UNKNOWN_INTEGRATION")
    let poll = try await refusal {
      try await cancel {
        $0.integration = "hub"
        $0.pollId = 9
      }
    }
    #expect(poll.reason == "UNKNOWN_POLL")
  }

  // MARK: - Cancelling

  @Test func `Named jobs are cancelled all or, when one is unknown, none`() async throws {
    _ = try await bench.create("hub")
    let ids = try await queue("hub", 3)
    let unknown = try await refusal { try await cancel { $0.jobIds = [ids[0], 999] } }
    #expect((unknown.code, unknown.reason) == (.notFound, "UNKNOWN_JOB"))
    #expect(try await list([.pending]) == ids)
    let running = try await lease()
    #expect(running.job.id == ids[0])
    let outcome = try await cancel { $0.jobIds = [ids[1], ids[0], ids[1]] }
    #expect(outcome.jobs.map(\.jobId) == [ids[1], ids[0], ids[1]])
    #expect(outcome.jobs.map(\.changed) == [true, true, false])
    #expect(outcome.jobs.allSatisfy { $0.state == .cancelled })
    let cancelled = try await job(ids[0])
    #expect((cancelled.state, cancelled.error?.code) == (.cancelled, "CANCELLED"))
    #expect(cancelled.attempts.map(\.outcome) == [.cancelled])
    #expect(try await list([.pending]) == [ids[2]])
  }

  @Test func `A filter cancels what it takes at once, and other jobs stay`() async throws {
    _ = try await bench.create("hub")
    _ = try await bench.create("other")
    let apps = try await queue("hub", 3)
    let tools = try await queue("hub", 2, repository: "team/tool")
    let others = try await queue("other", 2)
    let outcome = try await cancel {
      $0.integration = "hub"
      $0.repository = "team/*"
    }
    #expect(outcome.jobs.isEmpty)
    #expect(outcome.matchedMaximum == 5)
    // Shown so before it is carried out, and afterwards.
    for _ in 0..<2 {
      #expect(try await list([.pending]) == apps + others)
      #expect(Set(try await list([.cancelled])) == Set(tools))
      for id in tools { #expect(try await job(id).state == .cancelled) }
      try await drain()
    }
    #expect(try await cancel { $0.all = true }.matchedMaximum == 5)
    try await drain()
    #expect(try await list([.pending, .inProgress, .parsingResults]) == [])
  }

  // MARK: - Again

  @Test func `A retry queues again what has ended, and shows the job that is queued already`() async throws {
    _ = try await bench.create("hub")
    let ids = try await queue("hub", 2)
    _ = try await cancel { $0.jobIds = ids }
    let again = try await queue("hub", 1)
    let outcome = try await retry { $0.jobIds = ids + again }
    #expect(outcome.jobs.map(\.changed) == [false, true, false])
    #expect(outcome.jobs.map(\.existingJobId) == [again[0], 0, again[0]])
    #expect((outcome.queued, outcome.existed) == (1, 2))
    // Without states: those in error.
    let none = try await retry { $0.integration = "hub" }
    #expect((none.queued, none.existed) == (0, 0))
    let byState = try await retry { $0.states = [.cancelled] }
    #expect((byState.queued, byState.existed) == (0, 1))
  }

  @Test func `Failed jobs are retried by their code, and counted by it until then`() async throws {
    _ = try await bench.create("hub")
    let ids = try await queue("hub", 3)
    for code in ["SCAN_TIMEOUT", "NOT_FOUND", "NOT_FOUND"] {
      let lease = try await lease()
      try await bench.store.write { [queue = bench.queue] transaction in
        try queue.fail(lease, JobQueue.Failure(code: code, message: "m", hint: "h"), in: transaction)
      }
    }
    let stats = try await bench.jobs.getQueueStats(GetQueueStatsRequest(), bench.context)
    #expect(stats.failures.map(\.code) == ["NOT_FOUND", "SCAN_TIMEOUT"])
    #expect(stats.failures.map(\.jobs) == [2, 1])
    #expect(stats.failures.map(\.retry) == ["permanent", "retryable"])
    #expect(stats.failures.allSatisfy { !$0.hint.isEmpty })
    // The newest end first.
    #expect(try await list([.error], pageSize: 2) == ids.reversed())
    #expect(try await retry { $0.errorCodes = ["NOT_FOUND"] }.queued == 2)
    #expect(try await list([.pending]) == Array(ids[1...]))
    #expect(try await job(ids[0]).error?.hint == "h")
  }

  // MARK: - The line

  @Test func `Pending jobs are listed as they will run, and a priority moves them`() async throws {
    _ = try await bench.create("hub")
    _ = try await bench.create("other")
    let rescans = try await queue("hub", 3, repository: "old", priority: .rescan)
    let new = try await queue("other", 4)
    let wished = try await queue("hub", 2, priority: .person)
    #expect(try await list([.pending], pageSize: 2) == wished + new + rescans)
    #expect(try await list([.pending], pageSize: 2, integration: "hub") == wished + rescans)
    let last = try await job(rescans[2])
    #expect((last.position, last.waitReason, last.priority) == (9, "in_line", 2))
    var request = PrioritizeJobsRequest()
    request.jobs = selector { $0.jobIds = [rescans[2]] }
    request.priority = .person
    let outcome = try await bench.jobs.prioritizeJobs(request, bench.context)
    #expect((outcome.changed, outcome.jobs.map(\.changed)) == (1, [true]))
    // In order of receipt among those of its priority.
    #expect(try await list([.pending]) == [rescans[2]] + wished + new + rescans[..<2])
    #expect(try await job(rescans[2]).position == 1)
    #expect(try await lease().job.id == rescans[2])
    request.jobs = selector { $0.repository = "app" }
    request.priority = .rescan
    #expect(try await bench.jobs.prioritizeJobs(request, bench.context).changed == 6)
    request.priority = .unspecified
    #expect(
      try await refusal { try await bench.jobs.prioritizeJobs(request, bench.context) }.message.hasPrefix("priority: "))
  }

  @Test func `What backs off stands behind what may run, the soonest first`() async throws {
    _ = try await bench.create("hub")
    let ids = try await queue("hub", 5)
    for (index, delay) in [3600, 60, 600].enumerated() {
      let lease = try await lease()
      #expect(lease.job.id == ids[index])
      _ = try await bench.store.write { [queue = bench.queue] transaction in
        try queue.giveBack(
          lease, after: .seconds(delay), JobQueue.Failure(code: "RATE_LIMITED", message: "m", hint: "h"),
          in: transaction)
      }
    }
    for size in 1...6 {
      #expect(
        try await list([.pending], pageSize: UInt32(size)) == [ids[3], ids[4], ids[1], ids[2], ids[0]], "\(size)")
    }
    let waiting = try await job(ids[1])
    #expect((waiting.position, waiting.waitReason) == (0, "backing_off"))
    #expect(waiting.waitDetail.hasSuffix("after RATE_LIMITED"))
    #expect(waiting.attempts.map(\.outcome) == [.retried])
    #expect(waiting.error?.code == "RATE_LIMITED")
  }

  @Test func `Ended jobs of several states are one list, the newest end first, in pages that join to all`() async throws
  {
    _ = try await bench.create("hub")
    let ids = try await queue("hub", 9)
    for id in ids.reversed() where id % 2 == 0 { _ = try await cancel { $0.jobIds = [id] } }
    for _ in 0..<ids.count {
      guard let lease = try await bench.queue.lease(gate: { _ in .open }) else { break }
      try await bench.store.write { [queue = bench.queue] transaction in
        try queue.fail(lease, JobQueue.Failure(code: "X", message: "m", hint: "h"), in: transaction)
      }
    }
    let expected = ids.filter { $0 % 2 == 1 }.reversed() + ids.filter { $0 % 2 == 0 }
    for size in 1...10 {
      #expect(try await list([.cancelled, .error], pageSize: UInt32(size)) == expected, "\(size)")
    }
  }

  @Test(arguments: [
    "line", "line 0", "line 300 1", "line 0 18446744073709551615", "ended x 1", "delayed -1 1", "number 1", "",
  ])
  func `A place in a list that nobody gave is refused, or an empty page`(position: String) async throws {
    var request = ListJobsRequest()
    request.pageToken = Paging.token(position)
    if position == "line" || position.isEmpty {
      #expect(try await bench.jobs.listJobs(request, bench.context).jobs.isEmpty)
    } else {
      #expect(try await refusal { try await bench.jobs.listJobs(request, bench.context) }.code == .invalidArgument)
    }
  }

  // MARK: - Rest

  @Test func `A pause is told by everybody who is asked, and ends`() async throws {
    _ = try await bench.create("hub")
    let ids = try await queue("hub", 1)
    var pause = PauseQueueRequest()
    pause.integration = "hub"
    pause.reason = "moves"
    let pauses = try await bench.jobs.pauseQueue(pause, bench.context).pauses
    #expect(pauses.map(\.integration) == ["hub"])
    #expect((pauses.first?.actor, pauses.first?.reason) == ("uid:7", "moves"))
    #expect(try await bench.queue.lease { _ in .open } == nil)
    let waiting = try await job(ids[0])
    #expect(waiting.waitReason == "integration_paused")
    #expect(waiting.waitDetail.hasSuffix("by uid:7: moves"))
    pause.integration = ""
    pause.reason = ""
    #expect(try await bench.jobs.pauseQueue(pause, bench.context).pauses.map(\.integration) == ["", "hub"])
    #expect(try await job(ids[0]).waitReason == "queue_paused")
    let status = try await bench.system.getStatus(GetStatusRequest(), bench.context)
    #expect(status.pauses.map(\.integration) == ["", "hub"])
    #expect(status.problems.contains { $0.message == "the queue of hub is paused by uid:7: moves" })
    #expect(status.problems.contains { $0.hint == "go on with: tidewaiter queue resume" })
    #expect(try await bench.jobs.getQueueStats(GetQueueStatsRequest(), bench.context).pauses.count == 2)
    var resume = ResumeQueueRequest()
    #expect(try await bench.jobs.resumeQueue(resume, bench.context).pauses.map(\.integration) == ["hub"])
    resume.integration = "hub"
    #expect(try await bench.jobs.resumeQueue(resume, bench.context).pauses.isEmpty)
    #expect(try await lease().job.id == ids[0])
    pause.reason = String(repeating: "x", count: 201)
    #expect(try await refusal { try await bench.jobs.pauseQueue(pause, bench.context) }.message.hasPrefix("reason: "))
  }

  // MARK: - Numbers

  @Test func `Jobs are counted by state and integration`() async throws {
    _ = try await bench.create("hub")
    _ = try await bench.create("idle")
    _ = try await bench.create("other")
    let ids = try await queue("hub", 3)
    _ = try await queue("other", 2)
    _ = try await lease()
    _ = try await cancel { $0.jobIds = [ids[2]] }
    let stats = try await bench.jobs.getQueueStats(GetQueueStatsRequest(), bench.context)
    func count(_ states: [StateCount], _ state: API.JobState) -> UInt64? { states.first { $0.state == state }?.count }
    #expect(count(stats.states, .pending) == 3)
    #expect(count(stats.states, .inProgress) == 1)
    #expect(stats.integrations.map(\.integration) == ["hub", "other"])
    #expect(stats.integrations.map { count($0.states, .pending) } == [1, 2])
    #expect(stats.integrations.map { count($0.states, .cancelled) } == [1, 0])
    #expect(stats.oldestPendingAt != nil && stats.scannerSlots == 1)
    var one = GetQueueStatsRequest()
    one.integration = "other"
    var pause = PauseQueueRequest()
    pause.integration = "hub"
    _ = try await bench.jobs.pauseQueue(pause, bench.context)
    #expect(try await bench.jobs.getQueueStats(one, bench.context).pauses.isEmpty)
    #expect(try await bench.jobs.getQueueStats(one, bench.context).integrations.map(\.integration) == ["other"])
  }

  @Test func `What is being cancelled is counted as it is shown`() async throws {
    _ = try await bench.create("hub")
    _ = try await bench.create("other")
    let ids = try await queue("hub", 3)
    _ = try await queue("other", 2)
    // Nothing carries it out here.
    _ = try await cancel { $0.integration = "hub" }
    #expect(try await job(ids[0]).state == .cancelled)
    func told(_ states: [StateCount]) -> [UInt64] {
      let counts = [API.JobState.pending, .cancelled].map { state in states.first { $0.state == state }?.count ?? 0 }
      return counts + [states.map(\.cancellingMaximum).reduce(0, +)]
    }
    var stats = try await bench.jobs.getQueueStats(GetQueueStatsRequest(), bench.context)
    #expect(told(stats.states) == [2, 3, 0])
    #expect(stats.integrations.map { told($0.states) } == [[0, 3, 0], [2, 0, 0]])
    #expect(stats.integrations.map { $0.oldestPendingAt != nil } == [false, true])
    #expect(told(try await bench.system.getStatus(GetStatusRequest(), bench.context).jobs) == [2, 3, 0])
    // Of this nobody knows how many jobs it is about before each was looked at.
    _ = try await cancel { $0.repository = "app*" }
    stats = try await bench.jobs.getQueueStats(GetQueueStatsRequest(), bench.context)
    #expect(told(stats.states) == [2, 3, 2] && stats.oldestPendingAt == nil)
    #expect(told(try await bench.system.getStatus(GetStatusRequest(), bench.context).jobs) == [2, 3, 2])
    while try await bench.queue.carryOutCancellations() {}
    stats = try await bench.jobs.getQueueStats(GetQueueStatsRequest(), bench.context)
    #expect(told(stats.states) == [0, 5, 0])
  }

  @Test func `Jobs of an integration that is being removed are shown by its name`() async throws {
    _ = try await bench.create("hub")
    let ids = try await queue("hub", 1)
    _ = try await bench.store.beginRemoval(named: "hub", now: 1) { [queue = bench.queue] id, transaction in
      try queue.cancelAll(ofRemoved: id, in: transaction)
    }
    #expect(try await job(ids[0]).state == .cancelled)
    #expect(try await job(ids[0]).reference.hasPrefix("hub/app:t@sha256:"))
  }

  @Test(.timeLimit(.minutes(1)))
  func `What a removal cancels is carried out to its end without another cancellation`() async throws {
    _ = try await bench.create("hub")
    _ = try await queue("hub", 2)
    bench.control.start()
    try await bench.removals.begin("hub")
    await bench.removals.end()
    while try bench.queue.openCancellationCount() > 0 { await Task.yield() }
    await bench.control.stop()
  }

  @Test func `Only what has ended is cleared, of the states that are named`() async throws {
    _ = try await bench.create("hub")
    let ids = try await queue("hub", 3)
    _ = try await cancel { $0.jobIds = [ids[0], ids[1]] }
    func clear(_ change: (inout JobSelector) -> Void) async throws -> ClearJobsResponse {
      var request = ClearJobsRequest()
      request.jobs = selector(change)
      return try await bench.jobs.clearJobs(request, bench.context)
    }
    #expect(try await clear { $0.states = [.finished] }.cleared == 0)
    let named = try await clear { $0.jobIds = [ids[0], ids[2]] }
    #expect((named.cleared, named.jobs.map(\.changed)) == (1, [true, false]))
    #expect(try await clear { $0.all = true }.cleared == 1)
    #expect(try await list([]) == [ids[2]])
    #expect(try await refusal { try await job(ids[0]) }.reason == "UNKNOWN_JOB")
  }
}
