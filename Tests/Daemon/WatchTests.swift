import API
import Glibc
import Logging
import Pipeline
import Posix
import Queue
import RPC
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Daemon

/// The streams, over a real socket.
@Suite(.timeLimit(.minutes(2)))
struct WatchTests {
  private static let wait = Duration.seconds(90)

  /// A bench that is served, and a client of it.
  private final class Served: Sendable {
    let bench: Bench
    let server: RPCServer
    let connection: RPCConnection
    let integration: UInt64

    init(eventsMaximum: Int = StateStore.eventsKept) async throws {
      bench = try await Bench(eventsMaximum: eventsMaximum)
      var configuration = try Configuration(flags: .init(), environment: [:])
      configuration.socket = bench.directory.path + "/socket"
      let listener = try Listener(configuration, Access(own: geteuid(), holders: [:]), log: bench.events.logger)
      server = try RPCServer(
        listener: listener.descriptor, methods: bench.methods,
        policy: RPCServer.Policy(
          rule: { _ in RPCServer.Policy.Rule(authorise: { _ in nil }, observe: { _, _, _ in }) },
          translate: ErrorTranslation.status))
      connection = try RPCConnection.connect(toSocket: configuration.socket, cancellation: .system)
      _ = try await bench.create("hub")
      integration = try bench.store.integration(named: "hub").id
    }

    deinit {
      connection.close()
      server.stop(drain: .zero)
    }

    var queue: JobQueue { bench.queue }

    @discardableResult
    func add(_ numbers: Range<Int>, poll: UInt64 = 0) async throws -> [UInt64] {
      let keys = try numbers.map { try bench.key("hub", "app", $0) }
      return try await bench.store.write { [queue, store = bench.store] transaction in
        try keys.map { key in
          _ = try store.remember(key, now: 1, in: transaction)
          return try queue.enqueue(key, tag: "", priority: .person, poll: poll, in: transaction).job.id
        }
      }
    }

    func lease() async throws -> JobQueue.Lease { try #require(try await queue.lease { _ in .open }) }

    func finish(_ lease: JobQueue.Lease) async throws {
      try await queue.beginParsing(lease)
      try await bench.store.write { [queue] in try queue.finish(lease, in: $0) }
    }

    func watchEvents(_ change: (inout WatchEventsRequest) -> Void) -> ResponseSequence<API.Event> {
      var request = WatchEventsRequest()
      change(&request)
      return SystemClient(connection).watchEvents(request, timeout: WatchTests.wait)
    }

    func watchJobs(_ change: (inout WatchJobsRequest) -> Void) -> ResponseSequence<WatchJobsResponse> {
      var request = WatchJobsRequest()
      change(&request)
      return QueueClient(connection).watchJobs(request, timeout: WatchTests.wait)
    }

    func events(_ change: (inout WatchEventsRequest) -> Void = { _ in }) async throws -> [API.Event] {
      var all: [API.Event] = []
      for try await event in watchEvents(change) { all.append(event) }
      return all
    }

    func refusal(_ change: (inout WatchEventsRequest) -> Void) async throws -> RPCError {
      try #require(await #expect(throws: RPCError.self) { _ = try await events(change) })
    }
  }

  // MARK: - Events

  @Test func `From any cursor a watcher gets what follows it, once and in order`() async throws {
    let served = try await Served()
    try await served.add(0..<300)
    let all = try await served.events()
    #expect(all.count == 301)
    #expect(all.first?.kind == "integration.created" && all.first?.actor == "uid:7")
    #expect(all.last?.kind == "job.queued" && all.last?.state == "pending")
    #expect(all[1].reference.hasPrefix("hub/app@sha256:"))
    for index in [0, 1, 99, 100, 250, 299, 300] {
      let rest = try await served.events { $0.cursor = all[index].cursor }
      #expect(rest == Array(all[(index + 1)...]))
    }
    #expect(try await served.events { $0.cursor = "latest" }.isEmpty)
    #expect(try await served.events { $0.integration = "other" }.isEmpty)
    #expect(try await served.events { $0.integration = "hub" } == all)
  }

  @Test func `A follower gets what happens while it looks, and misses nothing between`() async throws {
    let served = try await Served()
    let adding = Task { for number in 0..<200 { try await served.add(number..<number + 1) } }
    var ids: [UInt64] = []
    for try await event in served.watchEvents({ $0.follow = true }) where event.kind == "job.queued" {
      ids.append(event.jobId)
      if ids.count == 200 { break }
    }
    try await adding.value
    #expect(ids == Array(1...200))
  }

  @Test(arguments: ["0000000000000009", "ffffffffffffffff", "1", "x", "000000000000000A", "00000000000000001"])
  func `A cursor that no event had is refused`(cursor: String) async throws {
    let served = try await Served()
    let error = try await served.refusal { $0.cursor = cursor }
    #expect(error.code == .invalidArgument)
    #expect(error.fieldViolations.map(\.field) == ["cursor"])
  }

  @Test func `A cursor older than the log is told where the log begins`() async throws {
    let served = try await Served(eventsMaximum: 50)
    let first = try #require(try await served.events().first)
    try await served.add(0..<1_200)
    let error = try await served.refusal { $0.cursor = first.cursor }
    #expect((error.code, error.reason) == (.outOfRange, "CURSOR_EXPIRED"))
    let oldest = try #require(error.cursor)
    let rest = try await served.events { $0.cursor = oldest }
    #expect(rest == (try await served.events()))
    #expect(rest.last?.jobId == 1_200)
  }

  @Test func `A stop ends followers with the cursor to go on from`() async throws {
    let served = try await Served()
    var stream = served.watchEvents { $0.follow = true }.makeAsyncIterator()
    let seen = try #require(try await stream.next())
    served.bench.store.feed.close()
    let error = await #expect(throws: RPCError.self) { _ = try await stream.next() }
    #expect((error?.code, error?.reason) == (.unavailable, "STOPPING"))
    #expect(error?.cursor == seen.cursor)
  }

  // MARK: - Jobs

  @Test func `A watch tells what stands, then every state, and ends when all have ended`() async throws {
    let served = try await Served()
    let ids = try await served.add(0..<3)
    let other = try await served.add(10..<11)
    try await served.finish(try await served.lease())
    var stream = served.watchJobs {
      $0.jobIds = ids
      $0.untilEnded = true
    }.makeAsyncIterator()
    var snapshot: [API.Job] = []
    while let message = try await stream.next(), !message.snapshotComplete {
      snapshot.append(try #require(message.job))
    }
    #expect(snapshot.map(\.id) == ids)
    #expect(snapshot.map(\.state) == [.finished, .pending, .pending])
    try await served.finish(try await served.lease())
    let lease = try await served.lease()
    try await served.bench.store.write { [queue = served.queue] in
      try queue.fail(lease, JobQueue.Failure(code: "BROKEN", message: "it is", hint: "mend it"), in: $0)
    }
    try await served.finish(try await served.lease())
    var told: [UInt64: [API.JobState]] = [:]
    var last: API.Job?
    while let message = try await stream.next() {
      let job = try #require(message.job)
      told[job.id, default: []].append(job.state)
      last = job
    }
    #expect(told == [ids[1]: [.inProgress, .parsingResults, .finished], ids[2]: [.inProgress, .error]])
    #expect(last?.error?.code == "BROKEN")
    #expect(told[other[0]] == nil)
  }

  /// The messages up to the end of the snapshot.
  private static func snapshot(
    _ stream: inout ResponseSequence<WatchJobsResponse>.AsyncIterator
  ) async throws -> [API.Job] {
    var jobs: [API.Job] = []
    while let message = try await stream.next(), !message.snapshotComplete { jobs.append(try #require(message.job)) }
    return jobs
  }

  @Test func `Jobs that a cancellation covers are told once, and a watch to the end waits for the others`() async throws
  {
    let served = try await Served()
    let covered = try await served.add(0..<2)
    _ = try await served.queue.cancel(JobQueue.Selection(), actor: "uid:7")
    let others = try await served.add(10..<12)
    var stream = served.watchJobs { $0.untilEnded = true }.makeAsyncIterator()
    let standing = try await Self.snapshot(&stream)
    #expect(standing.map(\.id) == covered + others)
    #expect(standing.map(\.state) == [.cancelled, .cancelled, .pending, .pending])
    while try await served.queue.carryOutCancellations() {}
    var told: [UInt64: [API.JobState]] = [:]
    for other in others {
      try await served.finish(try await served.lease())
      while told[other]?.last != .finished, let job = try await stream.next()?.job {
        told[job.id, default: []].append(job.state)
      }
    }
    #expect(try await stream.next() == nil)
    let ways: [API.JobState] = [.inProgress, .parsingResults, .finished]
    #expect(told == [others[0]: ways, others[1]: ways])
  }

  @Test func `A watch to the end waits for a job that was queued again while it watched`() async throws {
    let served = try await Served()
    let ids = try await served.add(0..<2)
    try await served.finish(try await served.lease())
    let second = try await served.lease()
    var stream = served.watchJobs { $0.untilEnded = true }.makeAsyncIterator()
    #expect(try await Self.snapshot(&stream).map(\.state) == [.finished, .inProgress])
    _ = try await served.queue.retry([ids[0]], actor: "uid:7")
    try await served.finish(try await served.lease())
    var told: [API.JobState] = []
    while told.last != .finished, let job = try await stream.next()?.job {
      #expect(job.id == ids[0])
      told.append(job.state)
    }
    #expect(told == [.pending, .inProgress, .parsingResults, .finished])
    try await served.finish(second)
    for state in [API.JobState.parsingResults, .finished] {
      #expect(try await stream.next()?.job?.state == state)
    }
    #expect(try await stream.next() == nil)
  }

  @Test func `A long snapshot under change tells each state once, and the last one last`() async throws {
    let served = try await Served()
    try await served.add(0..<900)
    let working = Task {
      for _ in 0..<900 { try await served.finish(try await served.lease()) }
    }
    var told: [UInt64: [API.JobState]] = [:]
    var isInSnapshot = true
    for try await message in served.watchJobs({ $0.untilEnded = true }) {
      if message.snapshotComplete {
        isInSnapshot = false
        continue
      }
      let job = try #require(message.job)
      if isInSnapshot { #expect(told[job.id] == nil) }
      told[job.id, default: []].append(job.state)
    }
    try await working.value
    let order: [API.JobState] = [.pending, .inProgress, .parsingResults, .finished]
    #expect(told.count == 900)
    #expect(told.values.allSatisfy { $0.elementsEqual(order.suffix($0.count)) })
  }

  @Test func `A job that leaves the states that were asked for is told once, as it then stands`() async throws {
    let served = try await Served()
    try await served.add(0..<2)
    var stream = served.watchJobs { $0.states = [.pending, .parsingResults] }.makeAsyncIterator()
    func next() async throws -> (UInt64, API.JobState)? { try await stream.next()?.job.map { ($0.id, $0.state) } }
    for id in UInt64(1)...2 { #expect(try #require(try await next()) == (id, .pending)) }
    #expect(try await stream.next()?.snapshotComplete == true)
    let (first, second) = (try await served.lease(), try await served.lease())
    for id in UInt64(1)...2 { #expect(try #require(try await next()) == (id, .inProgress)) }
    try await served.finish(first)
    #expect(try #require(try await next()) == (1, .parsingResults))
    #expect(try #require(try await next()) == (1, .finished))
    // It was not in these states: its end is not told.
    try await served.bench.store.write { [queue = served.queue] in
      try queue.fail(second, JobQueue.Failure(code: "BROKEN", message: "it is", hint: "mend it"), in: $0)
    }
    try await served.add(5..<6)
    #expect(try #require(try await next()) == (3, .pending))
  }

  @Test func `Of what runs, each job is told from where it stands to its end, whatever began meanwhile`() async throws {
    let served = try await Served()
    let ids = try await served.add(0..<400)
    let working = Task {
      for _ in 1..<400 { try await served.finish(try await served.lease()) }
    }
    var last: Task<Void, any Error>?
    var told: [UInt64: [API.JobState]] = [:]
    var isInSnapshot = true
    for try await message in served.watchJobs({ $0.states = [.inProgress, .parsingResults] }) {
      if message.snapshotComplete {
        isInSnapshot = false
        // However slowly the watch began, there is one more.
        last = Task {
          try await working.value
          try await served.finish(try await served.lease())
        }
      } else {
        let job = try #require(message.job)
        if isInSnapshot { #expect(job.state != .finished && told[job.id] == nil) }
        told[job.id, default: []].append(job.state)
      }
      if told[ids[399]]?.last == .finished { break }
    }
    try await last?.value
    // One job runs at a time: all but those that had ended before the watch began.
    let first = try #require(told.keys.min())
    #expect(told.keys.sorted() == ids.filter { $0 >= first })
    let order: [API.JobState] = [.inProgress, .parsingResults, .finished]
    #expect(told.values.allSatisfy { $0.elementsEqual(order.suffix($0.count)) && $0.count > 1 })
  }

  @Test func `A filter by state shows only these states; one by poll ends with the poll`() async throws {
    let served = try await Served()
    var wanted = PollRecord()
    wanted.integrationId = served.integration
    let poll = try await served.bench.store.createPoll(wanted)
    try await served.add(0..<2, poll: poll.id)
    try await served.add(5..<6)
    var stream = served.watchJobs {
      $0.integration = "hub"
      $0.pollId = poll.id
      $0.states = [.finished]
      $0.untilEnded = true
    }.makeAsyncIterator()
    #expect(try await stream.next()?.snapshotComplete == true)
    for _ in 0..<2 { try await served.finish(try await served.lease()) }
    #expect(try await stream.next()?.job?.id == 1)
    #expect(try await stream.next()?.job?.id == 2)
    // The poll still runs and may queue more.
    try await served.add(7..<8, poll: poll.id)
    try await served.bench.store.interruptRunningPolls(now: 2)
    for _ in 0..<2 { try await served.finish(try await served.lease()) }
    #expect(try await stream.next()?.job?.id == 4)
    #expect(try await stream.next() == nil)
  }

  @Test func `What cannot be watched is refused by name`() async throws {
    let served = try await Served()
    func refusal(_ change: (inout WatchJobsRequest) -> Void) async throws -> RPCError {
      let stream = served.watchJobs(change)
      return try #require(await #expect(throws: RPCError.self) { for try await _ in stream {} })
    }
    #expect(try await refusal { $0.jobIds = [77] }.reason == "UNKNOWN_JOB")
    #expect(try await refusal { $0.jobIds = Array(repeating: 1, count: 10_001) }.code == .invalidArgument)
    #expect(try await refusal { $0.pollId = 3 }.fieldViolations.map(\.field) == ["poll_id"])
    #expect(try await refusal { $0.integration = "none" }.reason == "UNKNOWN_INTEGRATION")
    #expect(try await refusal { $0.states = [API.JobState(rawValue: 99)] }.fieldViolations.map(\.field) == ["states"])
  }

  // MARK: - Health

  @Test func `Health is that of the daemon and of each service, and a watcher hears of the stop`() async throws {
    let served = try await Served()
    let client = HealthClient(served.connection)
    var request = HealthCheckRequest()
    #expect(try await client.check(request, timeout: Self.wait).status == .serving)
    request.service = "tidewaiter.v1.System"
    #expect(try await client.check(request, timeout: Self.wait).status == .serving)
    var stream = client.watch(request, timeout: Self.wait).makeAsyncIterator()
    #expect(try await stream.next()?.status == .serving)
    request.service = "none"
    let error = await #expect(throws: RPCError.self) { _ = try await client.check(request, timeout: Self.wait) }
    #expect(error?.code == .notFound)
    var unknown = client.watch(request, timeout: Self.wait).makeAsyncIterator()
    #expect(try await unknown.next()?.status == .serviceUnknown)
    await served.bench.health.stop()
    #expect(try await stream.next()?.status == .notServing)
    served.bench.health.close()
    await #expect(throws: RPCError.self) { _ = try await stream.next() }
  }
}
