import Queue
import StorageMessages
import Store
import Testing

/// Every transition of a job is in the event log, with the job as it then stood.
struct QueueEventTests {
  private let fixture: QueueFixture

  init() async throws { fixture = try await QueueFixture() }

  private func events(after position: UInt64 = 0) throws -> [EventRecord] {
    try fixture.store.events(after: position, limit: 10_000).map(\.event)
  }

  @Test func `A job's life is told state by state`() async throws {
    let id = try await fixture.enqueue(QueueFixture.image(1)).job.id
    _ = try await fixture.enqueue(QueueFixture.image(1))
    var lease = try #require(try await fixture.lease())
    _ = try await fixture.giveBack(lease, after: .zero)
    lease = try #require(try await fixture.lease())
    try await fixture.queue.interrupt(lease)
    lease = try #require(try await fixture.lease())
    try await fixture.queue.describe(lease, bytesTotal: 5, layersTotal: 1)
    try await fixture.finish(lease)
    let told = try events()
    #expect(
      told.map(\.state) == [
        "pending", "in_progress", "pending", "in_progress", "pending", "in_progress", "parsing_results", "finished",
      ])
    #expect(told.map(\.kind) == ["job.queued"] + Array(repeating: "job.changed", count: 7))
    #expect(told.allSatisfy { $0.jobId == id && $0.job?.id == id && $0.job?.state.name == $0.state })
    #expect(told.map { $0.job?.attempt ?? 9 } == [0, 1, 1, 2, 1, 2, 2, 2])
    #expect(told[2].detail.hasPrefix("REGISTRY_UNAVAILABLE: "))
    #expect(told.last?.job == (try fixture.queue.job(id)))
    #expect(told[0].repository == "team/app1" && told[0].digest == "sha256:1" && told[0].tag == "latest")
  }

  @Test func `Who takes jobs off the list is told, once for all of them`() async throws {
    var integration = IntegrationRecord()
    integration.name = "hub"
    _ = try await fixture.store.createIntegration(integration, secrets: [:], now: 1)
    // More than one transaction takes.
    for number in 1...700 {
      let job = try await fixture.enqueue(QueueFixture.image(number)).job
      #expect(try await fixture.cancel(job.id))
    }
    let waiting = try await fixture.enqueue(QueueFixture.image(701)).job.id
    func cleared(_ change: () async throws -> Void) async throws -> [EventRecord] {
      let before = try fixture.store.read { try StateStore.eventRange(in: $0).newest }
      try await change()
      return try events(after: before)
    }
    let queue = fixture.queue
    var told = try await cleared { _ = try await queue.clear([1, 2, waiting], actor: "uid:7") }
    #expect(told.map(\.kind) == ["queue.cleared"] && told.map(\.actor) == ["uid:7"])
    #expect(told.map(\.detail) == ["2 jobs"])
    told = try await cleared { _ = try await queue.clear([waiting], actor: "uid:7") }
    #expect(told.isEmpty)
    var selection = JobQueue.Selection(integration: 1, repository: "team/")
    told = try await cleared { [selection] in
      let count = try await queue.clear(selection, actor: "uid:8")
      #expect(count == 698)
    }
    #expect(told.map(\.kind) == ["queue.cleared"] && told.map(\.actor) == ["uid:8"])
    #expect(told.map(\.integration) == ["hub"] && told.map(\.repository) == ["team/"])
    #expect(told.map(\.detail) == ["at most 698 jobs"])
    selection.states = [.error]
    told = try await cleared { [selection] in _ = try await queue.clear(selection, actor: "uid:8") }
    #expect(told.isEmpty)
  }

  @Test(arguments: 0..<8) func `Replayed, the events give the queue as it stands`(seed: UInt64) async throws {
    var random = Generator(seed: seed)
    var leases: [JobQueue.Lease] = []
    for step in 0..<120 {
      switch Int.random(in: 0..<8, using: &random) {
      case 0, 1, 2: try await fixture.enqueue(QueueFixture.image(Int.random(in: 0..<12, using: &random)))
      case 3, 4: if let lease = try await fixture.lease() { leases.append(lease) }
      case 5: _ = try await fixture.cancel(UInt64.random(in: 1...20, using: &random))
      default:
        guard !leases.isEmpty else { continue }
        let lease = leases.remove(at: Int.random(in: 0..<leases.count, using: &random))
        do {
          switch step % 4 {
          case 0: try await fixture.finish(lease)
          case 1: try await fixture.fail(lease)
          case 2: _ = try await fixture.giveBack(lease, after: .seconds(1))
          default: try await fixture.queue.interrupt(lease)
          }
        } catch is JobQueue.StaleLease {}
      }
      fixture.clock.advance(by: .seconds(1))
    }
    var replayed: [UInt64: JobRecord] = [:]
    for event in try events() {
      let job = try #require(event.job)
      let isNew = event.kind == EventKind.jobQueued.rawValue
      #expect(isNew == (replayed[job.id] == nil))
      #expect(event.previousState == replayed[job.id]?.state ?? .unspecified)
      replayed[job.id] = job
    }
    #expect(replayed == (try fixture.audit()))
  }
}

/// A reproducible source of numbers (SplitMix64).
private struct Generator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed &* 0x9e37_79b9 &+ 1 }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
