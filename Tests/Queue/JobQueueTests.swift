import Posix
import Queue
import StorageMessages
import Store
import Testing

@Suite("The queue on a real store") struct JobQueueTests {
  private let fixture: QueueFixture
  private var queue: JobQueue { fixture.queue }
  init() async throws { fixture = try await QueueFixture() }

  private func image(_ number: Int, integration: UInt64 = 1) -> ImageKey {
    QueueFixture.image(number, integration: integration)
  }

  private func take() async throws -> JobQueue.Lease {
    try #require(try await fixture.lease())
  }

  private func isStale(_ body: () async throws -> Void) async -> Bool {
    do {
      try await body()
      return false
    } catch {
      return error is JobQueue.StaleLease
    }
  }

  // MARK: - Asking twice

  @Test("an image that waits or runs is not queued twice; the second asker gets the job that is there") func dedupe()
    async throws
  {
    let first = try await fixture.enqueue(image(1))
    #expect(!first.existed && first.job.state == .pending && first.job.enqueuedAt == fixture.clock.now)
    let second = try await fixture.enqueue(image(1), .rescan)
    #expect(second.existed && second.job == first.job)
    let lease = try await take()
    let third = try await fixture.enqueue(image(1))
    #expect(third.existed && third.job.id == first.job.id && third.job.state == .inProgress)
    try await queue.beginParsing(lease)
    #expect(try await fixture.enqueue(image(1)).existed)
    try await fixture.store.write { [queue] in try queue.finish(lease, in: $0) }
    let again = try await fixture.enqueue(image(1))
    #expect(!again.existed && again.job.id != first.job.id)
    // Another integration, repository or digest is another image.
    #expect(try await !fixture.enqueue(image(1, integration: 2)).existed)
    #expect(try await !fixture.enqueue(ImageKey(integration: 1, repository: "team/app1", digest: "sha256:9")).existed)
    #expect(try await !fixture.enqueue(ImageKey(integration: 1, repository: "team/app", digest: "sha256:1")).existed)
    try fixture.audit()
  }

  @Test("the same image twice in one transaction, and from many askers at once") func dedupeConcurrent() async throws {
    let image = image(1)
    let both = try await fixture.store.write { [queue] transaction in
      [
        try queue.enqueue(image, tag: "a", priority: .person, in: transaction).job.id,
        try queue.enqueue(image, tag: "b", priority: .person, in: transaction).job.id,
      ]
    }
    #expect(both[0] == both[1])
    let ids = try await withThrowingTaskGroup(of: UInt64.self) { group in
      for _ in 0..<50 { group.addTask { [fixture] in try await fixture.enqueue(image).job.id } }
      return try await group.reduce(into: Set<UInt64>()) { $0.insert($1) }
    }
    #expect(ids == Set(both))
    #expect(try fixture.audit().count == 1)
  }

  // MARK: - Order

  @Test("leases go by priority, then by receipt, over all integrations") func order() async throws {
    var expected: [(UInt8, UInt64)] = []
    for (number, priority) in [
      JobQueue.Priority.rescan, .newImage, .person, .newImage, .person, .rescan, .person,
    ].enumerated() {
      let job = try await fixture.enqueue(image(number, integration: UInt64(number % 3)), priority).job
      expected.append((priority.rawValue, job.id))
    }
    var leased: [UInt64] = []
    while let lease = try await fixture.lease() { leased.append(lease.job.id) }
    #expect(leased == expected.sorted { $0 < $1 }.map { $0.1 })
    try fixture.audit()
  }

  @Test("an integration that may not run blocks no other, and keeps its place") func skipping() async throws {
    for number in 0..<6 { try await fixture.enqueue(image(number, integration: number < 4 ? 1 : 2)) }
    try await fixture.enqueue(image(9, integration: .max), .rescan)
    #expect(try await fixture.lease { $0 == 2 }?.job.repository == "team/app4")
    #expect(try await fixture.lease { $0 == .max }?.job.repository == "team/app9")
    #expect(try await fixture.lease { _ in false } == nil)
    #expect(try await fixture.lease { $0 == 3 } == nil)
    #expect(try await fixture.lease()?.job.repository == "team/app0")
    try fixture.audit()
  }

  @Test("a job goes to one of many that ask at once") func oneLease() async throws {
    for number in 0..<20 { try await fixture.enqueue(image(number)) }
    let leases = try await withThrowingTaskGroup(of: JobQueue.Lease?.self) { group in
      for _ in 0..<40 { group.addTask { [fixture] in try await fixture.lease() } }
      return try await group.reduce(into: [JobQueue.Lease]()) { if let lease = $1 { $0.append(lease) } }
    }
    #expect(Set(leases.map(\.job.id)).count == 20 && leases.count == 20)
    #expect(Set(leases.map(\.number)).count == 20)
    try fixture.audit()
  }

  // MARK: - Ends

  @Test("from the lease to the report") func success() async throws {
    let job = try await fixture.enqueue(image(1)).job
    #expect(try queue.counts()[.pending] == 1)
    fixture.clock.advance(by: .seconds(5))
    let lease = try await take()
    #expect(lease.job.state == .inProgress && lease.job.attempt == 1 && lease.job.startedAt == fixture.clock.now)
    try await queue.describe(lease, bytesTotal: 1000, layersTotal: 3)
    try await queue.beginParsing(lease)
    fixture.clock.advance(by: .seconds(5))
    try await fixture.store.write { [queue] in try queue.finish(lease, in: $0) }
    let ended = try #require(try queue.job(job.id))
    #expect(ended.state == .finished && ended.finishedAt == fixture.clock.now)
    #expect(ended.bytesTotal == 1000 && ended.layersTotal == 3 && ended.lease == 0)
    #expect(
      try queue.counts() == [.pending: 0, .inProgress: 0, .parsingResults: 0, .finished: 1, .error: 0, .cancelled: 0])
    #expect(try await fixture.lease() == nil)
    try fixture.audit()
  }

  @Test("a permanent failure ends the job at its first attempt") func permanent() async throws {
    let job = try await fixture.enqueue(image(1)).job
    try await fixture.fail(try await take(), .init(code: "NOT_FOUND", message: "no such manifest", hint: "look"))
    let ended = try #require(try queue.job(job.id))
    #expect(ended.state == .error && ended.attempt == 1)
    #expect([ended.errorCode, ended.errorMessage, ended.errorHint] == ["NOT_FOUND", "no such manifest", "look"])
    try fixture.audit()
  }

  @Test("a transient failure waits its delay; the third is final") func threeAttempts() async throws {
    let job = try await fixture.enqueue(image(1)).job
    for attempt in 1...2 as ClosedRange<UInt32> {
      let lease = try await take()
      #expect(lease.job.attempt == attempt && lease.job.notBefore == 0)
      let waiting = try await fixture.giveBack(lease, after: .seconds(30))
      #expect(waiting.state == .pending && waiting.errorCode == "REGISTRY_UNAVAILABLE")
      #expect(waiting.notBefore == fixture.clock.now + 30_000_000_000)
      #expect(try queue.nextDelayed() == waiting.notBefore)
      #expect(try await fixture.lease() == nil)
      fixture.clock.advance(by: .nanoseconds(29_999_999_999))
      #expect(try await fixture.lease() == nil)
      try fixture.audit()
      fixture.clock.advance(by: .nanoseconds(1))
    }
    let last = try await fixture.giveBack(try await take(), after: .seconds(30))
    #expect(last.state == .error && last.attempt == 3 && last.errorCode == "REGISTRY_UNAVAILABLE")
    #expect(try queue.job(job.id) == last)
    #expect(try queue.nextDelayed() == nil)
    #expect(try await fixture.lease() == nil)
    try fixture.audit()
  }

  @Test("a timeout goes back at once, from either stage; what went wrong is gone once it went well") func timeout()
    async throws
  {
    let failure = JobQueue.Failure(code: "SCAN_TIMEOUT", message: "30 min", hint: "raise it")
    let job = try await fixture.enqueue(image(1)).job
    #expect(try await fixture.giveBack(try await take(), after: .zero, failure).notBefore == 0)
    let second = try await take()
    try await queue.beginParsing(second)
    #expect(try await fixture.giveBack(second, after: .zero, failure).errorCode == "SCAN_TIMEOUT")
    try await fixture.finish(try await take())
    let ended = try #require(try queue.job(job.id))
    #expect(ended.state == .finished && ended.attempt == 3 && ended.errorCode == "" && ended.errorMessage == "")
    try fixture.audit()
  }

  @Test(
    "a delay beyond the end of the clock does no harm",
    arguments: [
      Duration.seconds(Int64.max), .seconds(8_000_000_000), .nanoseconds(Int64.max), .seconds(-5), .nanoseconds(1),
    ])
  func delays(delay: Duration) async throws {
    let job = try await fixture.enqueue(image(1)).job
    let waiting = try await fixture.giveBack(try await take(), after: delay)
    #expect(delay > .zero ? waiting.notBefore > fixture.clock.now : waiting.notBefore == 0)
    try fixture.audit()
    #expect(try await fixture.cancel(job.id))
    try fixture.audit()
  }

  // MARK: - Interruptions

  @Test("an interrupted attempt does not count; five in a row end the job") func interruptions() async throws {
    let job = try await fixture.enqueue(image(1)).job
    for round in 1...4 as ClosedRange<UInt32> {
      let lease = try await take()
      #expect(lease.job.attempt == 1)
      if round % 2 == 0 { try await queue.beginParsing(lease) }
      try await queue.interrupt(lease)
      let waiting = try #require(try queue.job(job.id))
      #expect(waiting.state == .pending && waiting.attempt == 0 && waiting.interruptions == round)
      try fixture.audit()
    }
    try await queue.interrupt(try await take())
    let ended = try #require(try queue.job(job.id))
    #expect(ended.state == .error && ended.errorCode == "INTERRUPTED" && ended.interruptions == 5)
    #expect(!ended.errorHint.isEmpty)
    try fixture.audit()
  }

  @Test("an attempt that ran to its own end breaks the row of interruptions") func row() async throws {
    let job = try await fixture.enqueue(image(1)).job
    for _ in 0..<4 { try await queue.interrupt(try await take()) }
    #expect(try await fixture.giveBack(try await take(), after: .zero).interruptions == 0)
    for _ in 0..<4 { try await queue.interrupt(try await take()) }
    #expect(try queue.job(job.id)?.attempt == 1)
    try await fixture.finish(try await take())
    #expect(try queue.job(job.id)?.interruptions == 0)
    try fixture.audit()
  }

  @Test("at start the leases of the process that died go back, and its slots hold nothing any more") func recover()
    async throws
  {
    for number in 0..<4 { try await fixture.enqueue(image(number)) }
    let first = try await take()
    let second = try await take()
    try await queue.beginParsing(second)
    let third = try await take()
    _ = try await fixture.giveBack(third, after: .seconds(60))
    #expect(try await queue.recover() == 2)
    let jobs = try fixture.audit()
    #expect(jobs.values.allSatisfy { $0.state == .pending })
    #expect(jobs[first.job.id]?.interruptions == 1 && jobs[first.job.id]?.attempt == 0)
    #expect(jobs[third.job.id]?.attempt == 1 && jobs[third.job.id]?.notBefore != 0)
    #expect(await isStale { try await fixture.finish(first) })
    #expect(await isStale { try await fixture.fail(second) })
    #expect(try await queue.recover() == 0)
    // In their old order.
    #expect(try await take().job.id == first.job.id)
    #expect(try await take().job.id == second.job.id)
    try fixture.audit()
  }

  // MARK: - Cancelling and stale leases

  @Test("a clock that is set back holds up no back-off") func clockSetBack() async throws {
    for number in 0..<3 { try await fixture.enqueue(image(number)) }
    for _ in 0..<3 { _ = try await fixture.giveBack(try await take(), after: .seconds(10)) }
    fixture.clock.advance(by: .seconds(-3600))
    #expect(try await fixture.lease() == nil)
    #expect(try queue.nextDelayed() == fixture.clock.now + 10_000_000_000)
    try fixture.audit()
    fixture.clock.advance(by: .seconds(9))
    #expect(try await fixture.lease() == nil)
    fixture.clock.advance(by: .seconds(1))
    for number in 0..<3 { #expect(try await take().job.repository == "team/app\(number)") }
    try fixture.audit()
  }

  @Test("a scan that took too long goes behind what waits, one that failed keeps its place") func timeoutGoesBehind()
    async throws
  {
    for number in 0..<3 { try await fixture.enqueue(image(number)) }
    let (slow, failing) = (try await take(), try await take())
    for (lease, isTimeout) in [(slow, true), (failing, false)] {
      _ = try await fixture.store.write { [queue] in
        try queue.giveBack(lease, after: .zero, QueueFixture.failure, isTimeout: isTimeout, in: $0)
      }
    }
    for number in [1, 2, 0] { #expect(try await take().job.repository == "team/app\(number)") }
    #expect(try queue.attempts(of: slow.job.id).map(\.record.outcome) == [.timedOut, .running])
  }

  @Test("the last twenty attempts at a job are kept, whatever a person retries") func attemptsKept() async throws {
    var integration = IntegrationRecord()
    integration.name = "registry"
    _ = try await fixture.store.createIntegration(integration, secrets: [:], now: 1)
    let job = try await fixture.enqueue(image(1)).job
    for _ in 1...25 {
      try await fixture.fail(try await take())
      #expect(try await queue.retry([job.id], actor: "uid:1").map(\.isChanged) == [true])
    }
    #expect(try queue.attempts(of: job.id).map(\.number) == Array(6...25))
    #expect(try await fixture.cancel(job.id))
    #expect(try await queue.clear([job.id], actor: "uid:7").map(\.isChanged) == [true])
    #expect(try queue.attempts(of: job.id).isEmpty)
  }

  @Test("cancelled in any state but the final ones") func cancel() async throws {
    let waiting = try await fixture.enqueue(image(1)).job
    #expect(try await fixture.cancel(waiting.id))
    #expect(try queue.job(waiting.id)?.state == .cancelled)
    #expect(try queue.job(waiting.id)?.errorCode == "CANCELLED")
    #expect(try await !fixture.cancel(waiting.id))
    #expect(try await !fixture.cancel(999))
    #expect(try await fixture.lease() == nil)

    for parse in [false, true] {
      let job = try await fixture.enqueue(image(2)).job
      let lease = try await take()
      if parse { try await queue.beginParsing(lease) }
      #expect(try await fixture.cancel(job.id))
      #expect(await isStale { try await fixture.fail(lease) })
      #expect(try queue.job(job.id)?.state == .cancelled)
    }

    let backingOff = try await fixture.enqueue(image(3)).job
    _ = try await fixture.giveBack(try await take(), after: .seconds(60))
    #expect(try await fixture.cancel(backingOff.id))
    #expect(try queue.nextDelayed() == nil)

    // Promoted out of its delay, but not yet leased.
    let promoted = try await fixture.enqueue(image(4)).job
    _ = try await fixture.giveBack(try await take(), after: .seconds(60))
    fixture.clock.advance(by: .seconds(61))
    #expect(try await fixture.lease { _ in false } == nil)
    #expect(try await fixture.cancel(promoted.id))
    #expect(try await fixture.lease() == nil)
    try fixture.audit()
  }

  @Test("a lease that was given up holds nothing, even when its job is leased anew") func stale() async throws {
    try await fixture.enqueue(image(1))
    let old = try await take()
    _ = try await fixture.giveBack(old, after: .zero)
    let new = try await take()
    #expect(new.job.id == old.job.id && new.number != old.number)
    let before = try fixture.audit()
    #expect(await isStale { try await queue.describe(old, bytesTotal: 1, layersTotal: 1) })
    #expect(await isStale { try await queue.beginParsing(old) })
    #expect(await isStale { _ = try await fixture.giveBack(old, after: .zero) })
    #expect(await isStale { try await queue.interrupt(old) })
    #expect(await isStale { try await fixture.fail(old) })
    #expect(try fixture.audit() == before)
    try await fixture.finish(new)
    #expect(await isStale { try await fixture.fail(new) })
    try fixture.audit()
  }

  @Test("a report and the end of its job are stored together or not at all") func together() async throws {
    try await fixture.enqueue(image(1))
    let old = try await take()
    _ = try await fixture.giveBack(old, after: .zero)
    let key = ReportKey(image: image(1), platform: "linux/amd64")
    #expect(
      await isStale {
        try await fixture.store.write { [queue] transaction in
          try transaction.put(StateStore.reports, key, ReportRecord())
          try queue.finish(old, in: transaction)
        }
      })
    #expect(try fixture.store.read { try $0.get(StateStore.reports, key) } == nil)
  }

  // MARK: - Listing

  @Test("listed in order of receipt, from anywhere, filtered, at most so many") func listing() async throws {
    for number in 0..<10 { try await fixture.enqueue(image(number)) }
    for _ in 0..<3 { try await fixture.finish(try await take()) }
    #expect(try queue.jobs(after: 0, limit: 100) { _ in true }.jobs.map(\.id) == Array(1...10))
    #expect(try queue.jobs(after: 4, limit: 2) { _ in true }.jobs.map(\.id) == [5, 6])
    #expect(try queue.jobs(after: 0, limit: 2) { $0.state == .pending }.jobs.map(\.id) == [4, 5])
    #expect(try queue.jobs(after: 10, limit: 2) { _ in true }.jobs.isEmpty)
    #expect(try queue.jobs(after: .max, limit: 2) { _ in true }.jobs.isEmpty)
    #expect(try queue.jobs(after: 0, limit: 0) { _ in true }.jobs.isEmpty)
    #expect(try queue.jobs(after: 0, limit: 2) { _ in true }.next == 2)
    #expect(try queue.jobs(after: 0, limit: 100) { _ in true }.next == nil)
  }

  @Test("one call looks at some thousands of jobs, and tells where to go on") func boundedListing() async throws {
    try await fixture.store.write { transaction in
      for id in 1...5_001 as ClosedRange<UInt64> {
        var job = JobRecord()
        job.id = id
        job.state = .pending
        job.notBefore = Int64(id)
        try transaction.put(QueueTables.jobs, id, job)
        try transaction.put(QueueTables.delayed, DelayedKey(notBefore: Int64(id), job: id), NoValue())
      }
    }
    var (jobs, next) = try queue.jobs(after: 0, limit: 10) { $0.id > 5_000 }
    #expect(jobs.isEmpty && next == 5_000)
    (jobs, next) = try queue.jobs(after: 5_000, limit: 10) { $0.id > 5_000 }
    #expect(jobs.map(\.id) == [5_001] && next == nil)
    // None is of this integration.
    let first = try queue.delayed(of: 7, limit: 10)
    #expect(first.jobs.isEmpty && first.next == DelayedKey(notBefore: 5_000, job: 5_000))
    let second = try queue.delayed(after: first.next, of: 7, limit: 10)
    #expect(second.jobs.isEmpty && second.next == nil)
  }
}
