import Posix
import Queue
import StorageMessages
import Store
import Testing

/// A generator whose failures can be run again.
private struct Seeded: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1 }
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

/// The queue as its rules tell it, without tables.
private struct Model {
  struct Job {
    let id: UInt64
    let image: ImageKey
    let priority: JobQueue.Priority
    var state = JobState.pending
    var attempt: UInt32 = 0
    var interruptions: UInt32 = 0
    var notBefore: Int64 = 0
  }
  var jobs: [UInt64: Job] = [:]

  func active(_ image: ImageKey) -> UInt64? { jobs.values.first { $0.image == image && !$0.state.isFinal }?.id }

  func next(at now: Int64, mayRun: (UInt64) -> Bool) -> UInt64? {
    jobs.values.filter { $0.state == .pending && $0.notBefore <= now && mayRun($0.image.integration) }
      .min { ($0.priority.rawValue, $0.id) < ($1.priority.rawValue, $1.id) }?.id
  }

  mutating func interrupt(_ id: UInt64) {
    jobs[id]?.interruptions += 1
    if let job = jobs[id], job.interruptions == 5 {
      jobs[id]?.state = .error
    } else {
      jobs[id]?.attempt -= 1
      jobs[id]?.state = .pending
      jobs[id]?.notBefore = 0
    }
  }

  mutating func giveBack(_ id: UInt64, notBefore: Int64) {
    jobs[id]?.interruptions = 0
    if let job = jobs[id], job.attempt == 3 {
      jobs[id]?.state = .error
    } else {
      jobs[id]?.state = .pending
      jobs[id]?.notBefore = notBefore
    }
  }
}

@Suite("The queue against a model") struct QueuePropertyTests {
  @Test("any sequence of operations leaves every job in exactly one place, and counts right", arguments: 1...12)
  func sequences(seed: Int) async throws {
    var generator = Seeded(UInt64(seed))
    let fixture = try await QueueFixture()
    let queue = fixture.queue
    var model = Model()
    var leases: [UInt64: JobQueue.Lease] = [:]
    var stale: [JobQueue.Lease] = []
    func drop(_ id: UInt64) { if let lease = leases.removeValue(forKey: id) { stale.append(lease) } }

    for step in 0..<300 {
      let held = leases.values.sorted { $0.job.id < $1.job.id }.randomElement(using: &generator)
      switch Int.random(in: 0..<12, using: &generator) {
      case 0...2:
        let image = QueueFixture.image(
          Int.random(in: 0..<8, using: &generator), integration: UInt64.random(in: 1...3, using: &generator))
        let priority = [JobQueue.Priority.person, .newImage, .rescan].randomElement(using: &generator) ?? .person
        let (job, existed) = try await fixture.enqueue(image, priority)
        #expect(existed == (model.active(image) != nil))
        if existed {
          #expect(job.id == model.active(image))
        } else {
          model.jobs[job.id] = Model.Job(id: job.id, image: image, priority: priority)
        }
      case 3...5:
        let blocked = UInt64.random(in: 0...3, using: &generator)
        let expected = model.next(at: fixture.clock.now) { $0 != blocked }
        let lease = try await fixture.lease { $0 != blocked }
        #expect(lease?.job.id == expected, "seed \(seed), step \(step)")
        if let lease {
          leases[lease.job.id] = lease
          model.jobs[lease.job.id]?.state = .inProgress
          model.jobs[lease.job.id]?.attempt += 1
          model.jobs[lease.job.id]?.notBefore = 0
        }
      case 6:
        guard let held, model.jobs[held.job.id]?.state == .inProgress else { continue }
        try await fixture.finish(held)
        drop(held.job.id)
        model.jobs[held.job.id]?.state = .finished
        model.jobs[held.job.id]?.interruptions = 0
      case 7:
        guard let held else { continue }
        let delay = Int64.random(in: 0...20, using: &generator)
        _ = try await fixture.giveBack(held, after: .seconds(delay))
        drop(held.job.id)
        model.giveBack(held.job.id, notBefore: delay == 0 ? 0 : fixture.clock.now + delay * 1_000_000_000)
      case 8:
        guard let held else { continue }
        if Bool.random(using: &generator) {
          try await fixture.fail(held)
          model.jobs[held.job.id]?.state = .error
        } else {
          try await queue.interrupt(held)
          model.interrupt(held.job.id)
        }
        drop(held.job.id)
      case 9:
        guard let id = model.jobs.keys.sorted().randomElement(using: &generator) else { continue }
        let wasFinal = model.jobs[id]?.state.isFinal == true
        #expect(try await fixture.cancel(id) == !wasFinal)
        if !wasFinal {
          model.jobs[id]?.state = .cancelled
          drop(id)
        }
      case 10:
        if Int.random(in: 0..<4, using: &generator) == 0 {
          #expect(try await queue.recover() == leases.count)
          for id in leases.keys.sorted() {
            model.interrupt(id)
            drop(id)
          }
        } else if let held, model.jobs[held.job.id]?.state == .inProgress {
          try await queue.beginParsing(held)
          model.jobs[held.job.id]?.state = .parsingResults
        } else if let old = stale.randomElement(using: &generator) {
          await #expect(throws: JobQueue.StaleLease.self) { try await fixture.fail(old) }
        }
      default:
        fixture.clock.advance(by: .seconds(Int64.random(in: 0...10, using: &generator)))
      }
      let jobs = try fixture.audit()
      #expect(jobs.count == model.jobs.count)
      for (id, expected) in model.jobs {
        let job = jobs[id]
        #expect(
          job?.state == expected.state && job?.attempt == expected.attempt
            && job?.interruptions == expected.interruptions,
          "seed \(seed), step \(step), job \(id)")
      }
    }
    #expect(Set(model.jobs.values.map(\.state.rawValue)).count >= 4)
  }
}
