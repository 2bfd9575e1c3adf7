import Queue
import StorageMessages
import Store
import Testing

/// No way is known for a job to lose its owner, so these make one by hand.
@Suite("Jobs without an owner") struct QueueSweepTests {
  private let fixture: QueueFixture
  private var queue: JobQueue { fixture.queue }
  init() async throws { fixture = try await QueueFixture() }

  private func ready(_ job: JobRecord) -> ReadyKey {
    ReadyKey(integration: job.integrationId, priority: UInt8(clamping: job.priority), sequence: job.sequence)
  }

  @Test("a job that is nowhere, in two places, or leased under another number is found and put back into line")
  func orphans() async throws {
    var jobs: [JobRecord] = []
    for number in 0..<5 { jobs.append(try await fixture.enqueue(QueueFixture.image(number)).job) }
    let held = try #require(try await fixture.lease())
    let other = try #require(try await fixture.lease())
    try await fixture.store.write { [jobs] transaction in
      // Nowhere; in two places; under another lease.
      try transaction.delete(QueueTables.ready, ready(jobs[2]))
      try transaction.put(QueueTables.running, jobs[3].id, 77)
      try transaction.put(QueueTables.running, other.job.id, other.number + 100)
    }
    let looked = try queue.orphans(after: nil, limit: 100)
    #expect(Set(looked.found.map(\.job)) == [jobs[2].id, jobs[3].id, other.job.id] && looked.next == nil)
    #expect(looked.found.first { $0.job == jobs[2].id }?.problem == "it is pending, and nowhere")
    #expect(looked.found.first { $0.job == jobs[3].id }?.problem == "it is pending, and in line and leased (77)")
    #expect(try await queue.adopt(looked.found).count == 3)
    #expect(try await queue.adopt(looked.found).isEmpty, "in order by now")
    #expect(try queue.orphans(after: nil, limit: 100).found.isEmpty)
    // The one that was in order kept its lease; all others can be had.
    try await fixture.finish(held)
    var leased: Set<UInt64> = []
    while let lease = try await fixture.lease() { leased.insert(lease.job.id) }
    #expect(leased == Set(jobs.map(\.id)).subtracting([held.job.id]))
  }

  @Test("one that was in progress while all was cancelled is counted right, and its attempt ends")
  func cancelledMeanwhile() async throws {
    let job = try await fixture.enqueue(QueueFixture.image(1)).job
    try await fixture.enqueue(QueueFixture.image(2))
    _ = try #require(try await fixture.lease())
    _ = try await fixture.store.write { try $0.delete(QueueTables.running, job.id) }
    _ = try await queue.cancel(JobQueue.Selection(), actor: "uid:7")
    #expect(try await queue.adopt(try queue.orphans(after: nil, limit: 9).found).count == 1)
    #expect(try queue.attempts(of: job.id).map(\.record.outcome) == [.interrupted])
    try fixture.audit()
    while try await queue.carryOutCancellations() {}
    try fixture.audit()
    #expect(try queue.counts()[.pending] == 1)
  }

  @Test("it goes through all jobs in steps") func steps() async throws {
    for number in 0..<10 { try await fixture.enqueue(QueueFixture.image(number)) }
    let last = try #require(try queue.job(10))
    _ = try await fixture.store.write { try $0.delete(QueueTables.ready, ready(last)) }
    var (position, found, steps): (ImageKey?, [UInt64], Int) = (nil, [], 0)
    repeat {
      let looked = try queue.orphans(after: position, limit: 3)
      found += looked.found.map(\.job)
      position = looked.next
      steps += 1
    } while position != nil
    #expect(found == [10] && steps == 4)
  }

  @Test("an entry of a job that is not there, or has ended, goes") func strayEntries() async throws {
    let job = try await fixture.enqueue(QueueFixture.image(1)).job
    let lease = try #require(try await fixture.lease())
    try await fixture.finish(lease)
    try await fixture.store.write { transaction in
      try transaction.put(QueueTables.active, QueueFixture.image(1), job.id)
      try transaction.put(QueueTables.active, QueueFixture.image(2), 99)
    }
    let looked = try queue.orphans(after: nil, limit: 100)
    #expect(looked.found.map(\.problem) == ["it has ended as finished", "it is not in table jobs"])
    #expect(try await queue.adopt(looked.found).count == 2)
    try fixture.audit()
    #expect(try queue.job(job.id)?.state == .finished)
  }

  @Test("a lease that nobody holds goes back as that of a dead process does; one that is not it stays")
  func lostLeases() async throws {
    for number in 0..<2 { try await fixture.enqueue(QueueFixture.image(number)) }
    let lost = try #require(try await fixture.lease())
    let held = try #require(try await fixture.lease())
    let returned = try await queue.returnLost([lost.job.id: lost.number, held.job.id: held.number + 1])
    #expect(returned == [lost.job.id])
    let job = try #require(try queue.job(lost.job.id))
    #expect(job.state == .pending && job.interruptions == 1 && job.attempt == 0)
    #expect(try queue.attempts(of: job.id).map(\.record.outcome) == [.interrupted])
    try fixture.audit()
    try await fixture.finish(held)
  }
}
