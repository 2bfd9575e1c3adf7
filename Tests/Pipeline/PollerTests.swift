import Model
import Posix
import Queue
import Registry
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

/// Polls over a registry in memory.
@Suite(.timeLimit(.minutes(1)))
struct PollerTests {
  private let registry: FakeRegistry
  private let plant: Plant

  init() async throws {
    registry = try FakeRegistry()
    plant = try await Plant()
  }

  /// What is queued, as "repository:tag", in order.
  private func queued() throws -> [String] { try plant.pendingJobs().map { "\($0.repository):\($0.tag)" }.sorted() }

  @Test func `A poll queues every image once, counts, and leaves a record`() async throws {
    let hub = try await plant.integration("hub", registry)
    let twice = FakeImage("twice")
    registry.put(FakeImage("a"), "library/app", tag: "1")
    registry.put(twice, "library/app", tag: "2")
    registry.put(twice, "library/app", tag: "latest")
    registry.put(FakeImage("b"), "tools", tag: "v1")
    registry.put(manifest: FakeImage.artifact, type: FakeImage.manifestType, "charts", tag: "0.1")
    registry.addRepository("empty")
    let record = try await plant.poll(hub)
    #expect(record.state == .finished)
    #expect((record.repositories, record.repositoriesDone) == (4, 4))
    #expect(record.tags == 5)
    #expect(record.selected == 4)
    #expect(record.queued == 3)
    #expect(record.alreadyKnown == 1)
    #expect(record.skipped == 1)
    #expect(record.rejected == 0)
    #expect(record.errorCount == 0)
    #expect(try queued() == ["library/app:1", "library/app:2", "tools:v1"])
    let jobs = try plant.pendingJobs()
    #expect(jobs.allSatisfy { $0.pollId == record.id && $0.priority == 1 })
    #expect((record.firstJobId, record.lastJobId) == (jobs.first?.id, jobs.last?.id))
    let tag = TagKey(integration: hub.id, repository: "library/app", tag: "latest")
    #expect(try plant.store.tag(tag)?.digest == twice.digest.description)
  }

  @Test func `What was pulled is not queued again, and a tag that moved is a new image`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage(layers: [Layers.plain("a")]), "app", tag: "1")
    registry.put(FakeImage(layers: [Layers.plain("b")]), "app", tag: "2")
    #expect(try await plant.poll(hub).queued == 2)
    // Still queued, then scanned: known either way.
    #expect(try await plant.poll(hub).alreadyKnown == 2)
    try await plant.scan([("scan finished", 2)])
    let unchanged = try await plant.poll(hub)
    #expect((unchanged.queued, unchanged.alreadyKnown, unchanged.selected) == (0, 2, 2))
    let moved = FakeImage(layers: [Layers.plain("c")])
    registry.put(moved, "app", tag: "2")
    let third = try await plant.poll(hub)
    #expect((third.queued, third.alreadyKnown) == (1, 1))
    #expect(try plant.pendingJobs().map(\.digest) == [moved.digest.description])
  }

  @Test func `Never, always and criteria choose, and what they reject costs no request`() async throws {
    let hub = try await plant.integration("hub", registry) { record in
      record.criteria = ["app", ":v*"]
      record.neverPull = [":*-rc*"]
      record.alwaysPull = ["app:v2-rc1"]
    }
    for tag in ["1", "v1", "v2-rc1", "v2-rc2"] { registry.put(FakeImage("app \(tag)"), "app", tag: tag) }
    for tag in ["1", "v9"] { registry.put(FakeImage("tool \(tag)"), "tool", tag: tag) }
    let record = try await plant.poll(hub)
    #expect(try queued() == ["app:1", "app:v1", "app:v2-rc1", "tool:v9"])
    #expect((record.tags, record.selected, record.rejected) == (6, 4, 2))
    #expect(registry.requests("HEAD /v2/tool/manifests/1") == 0)
  }

  @Test func `Latest takes the newest by date, and an always pull beside them`() async throws {
    let hub = try await plant.integration("hub", registry) { record in
      record.alwaysPull = [":keep"]
      record.condition = ConditionRecord()
      record.condition?.kind = .latest(2)
    }
    registry.put(FakeImage("keep", created: "2020-01-01T00:00:00Z"), "app", tag: "keep")
    for (tag, date) in [("a", "2026-01-03"), ("b", "2026-01-01"), ("c", "2026-01-04"), ("d", "2026-01-02")] {
      registry.put(FakeImage(tag, created: date + "T00:00:00Z"), "app", tag: tag)
    }
    let record = try await plant.poll(hub)
    #expect(try queued() == ["app:a", "app:c", "app:keep"])
    #expect((record.selected, record.rejected, record.queued) == (3, 2, 3))
  }

  @Test func `Created within rejects what is older, and takes a placeholder date for the day it was seen`() async throws
  {
    let hub = try await plant.integration("hub", registry) { record in
      record.condition = ConditionRecord()
      var period = CreatedWithinRecord()
      period.days = 60
      record.condition?.kind = .createdWithin(period)
    }
    for (tag, created) in [
      ("old", "2025-12-01T00:00:00Z"), ("new", "2026-02-01T00:00:00Z"), ("zero", "0001-01-01T00:00:00Z"),
      ("odd", "yesterday"), ("far", "9999-12-31T23:59:59Z"),
    ] { registry.put(FakeImage(tag, created: created), "app", tag: tag) }
    registry.put(FakeImage("none", created: nil), "app", tag: "none")
    let record = try await plant.poll(hub)
    #expect(try queued() == ["app:far", "app:new", "app:none", "app:odd", "app:zero"])
    #expect(record.rejected == 1)
  }

  @Test func `The dates of known images cost no further config`() async throws {
    let hub = try await plant.integration("hub", registry) { record in
      record.condition = ConditionRecord()
      record.condition?.kind = .latest(2)
    }
    let image = FakeImage(layers: [Layers.plain("a")])
    registry.put(image, "app", tag: "1")
    _ = try await plant.poll(hub)
    try await plant.scan([("scan finished", 1)])
    let config = "GET /v2/app/blobs/\(image.configDigest)"
    let before = registry.requests(config)
    #expect(try await plant.poll(hub).alreadyKnown == 1)
    #expect(registry.requests(config) == before)
    #expect(registry.requests("HEAD /v2/app/manifests/1") == 2)
  }

  // MARK: - What fails

  @Test func `A repository that fails is recorded, and the others are polled`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "bad", tag: "1")
    registry.put(FakeImage("b"), "good", tag: "1")
    registry.put(FakeImage("c"), "null", tag: "1")
    registry.intercept { request in
      switch request.path {
      case "/v2/bad/tags/list": .reply(500)
      case "/v2/null/tags/list": .json("{\"name\":\"null\",\"tags\":null}")
      default: nil
      }
    }
    let record = try await plant.poll(hub)
    #expect(record.state == .finished)
    #expect((record.repositories, record.repositoriesDone, record.queued) == (3, 3, 1))
    #expect(record.errorCount == 1)
    #expect(record.errors.count == 1 && record.errors[0].hasPrefix("bad: "))
  }

  @Test func `A listing that fails ends the poll with its reason`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.intercept { $0.path == "/v2/_catalog" ? .reply(403) : nil }
    let record = try await plant.poll(hub)
    #expect(record.state == .failed)
    #expect(record.errorCode == "FORBIDDEN")
    #expect(!record.errorHint.isEmpty)
  }

  @Test(arguments: [nil, 1] as [UInt32?])
  func `A tag that goes between the list and the look is noted, and the rest is chosen`(latest: UInt32?) async throws {
    let hub = try await plant.integration("hub", registry) { record in
      guard let latest else { return }
      record.condition = ConditionRecord()
      record.condition?.kind = .latest(latest)
    }
    registry.put(FakeImage("a"), "app", tag: "gone")
    registry.put(FakeImage("b"), "app", tag: "here")
    registry.intercept { $0.path == "/v2/app/manifests/gone" ? .reply(404) : nil }
    let record = try await plant.poll(hub)
    #expect(try queued() == ["app:here"])
    #expect(record.errorCount == 1)
    #expect(record.errors[0].hasPrefix("app:gone: "))
  }

  @Test func `A date that cannot be read fails a repository of which the latest are wanted`() async throws {
    let hub = try await plant.integration("hub", registry) { record in
      record.condition = ConditionRecord()
      record.condition?.kind = .latest(1)
    }
    let broken = FakeImage("a")
    registry.put(broken, "app", tag: "1")
    registry.put(FakeImage("b"), "app", tag: "2")
    let config = "/v2/app/blobs/\(broken.configDigest)"
    registry.intercept { $0.path == config ? .reply(500) : nil }
    let record = try await plant.poll(hub)
    #expect(try queued() == [])
    // The tag, and what follows from it.
    #expect((record.errorCount, record.tagsFailed) == (2, 2))
    let other = TagKey(integration: hub.id, repository: "app", tag: "2")
    #expect(try plant.store.tag(other)?.reasonCode == "dates_unknown")
  }

  @Test func `A registry that asks us to wait for long suspends the poll, which goes on where it was`() async throws {
    let hub = try await plant.integration("hub", registry)
    for tag in 0..<20 { registry.put(FakeImage("\(tag)"), "app", tag: "t\(tag)") }
    registry.put(FakeImage("first"), "aaa", tag: "1")
    let refusals = Events()
    registry.intercept { request in
      guard request.method == "HEAD", request.path.hasPrefix("/v2/app/"), refusals.count("over") == 0 else {
        return nil
      }
      refusals.record("HEAD")
      return .reply(429, [("Retry-After", "60")])
    }
    let started = try await plant.poller.start(hub)
    await plant.events.wait(for: "poll suspended", count: 1)
    #expect(refusals.count("HEAD") <= 8)
    let waiting = try #require(try plant.poller.poll(PollKey(integration: hub.id, poll: started.id)))
    #expect((waiting.state, waiting.errorCode, waiting.suspensions) == (.suspended, "RATE_LIMITED", 1))
    #expect(waiting.resumesAt > plant.clock.wall.now)
    #expect(plant.poller.suspended.map(\.integration) == [hub.id])
    // Whoever asks for a poll is shown this one.
    #expect(try await plant.poller.start(hub).id == started.id)

    refusals.record("over")
    let lists = registry.requests("GET /v2/aaa/tags/list")
    let row = try plant.store.read {
      try $0.get(StateStore.repositories, RepositoryKey(integration: hub.id, repository: "aaa"))
    }
    plant.clock.advance(.seconds(61))
    try await plant.poller.resume(hub.id)
    await plant.events.wait(for: "poll ended", count: 1)
    let record = try #require(try plant.store.poll(PollKey(integration: hub.id, poll: started.id)))
    #expect((record.state, record.queued, record.repositories) == (.finished, 21, 2))
    // It may have been on its way as well; what was done is not done again.
    #expect(registry.requests("GET /v2/aaa/tags/list") == lists + (row?.pollId == started.id ? 0 : 1))
    #expect(plant.poller.suspended.isEmpty)
  }

  @Test func `What a rescan has queued it does not queue again when it goes on, though the jobs were cleared`()
    async throws
  {
    let hub = try await plant.integration("hub", registry) { $0.rescan = true }
    for tag in 0..<20 { registry.put(FakeImage("\(tag)"), "app", tag: "t\(tag)") }
    func clear() async throws -> Int {
      let ids = try plant.pendingJobs().map(\.id)
      _ = try await plant.queue.cancel(ids, actor: "")
      return try await plant.queue.clear(ids, actor: "").count(where: \.isChanged)
    }
    #expect(try await plant.poll(hub).queued == 20)
    #expect(try await clear() == 20)
    let asked = Events()
    registry.intercept { request in
      guard request.method == "HEAD", asked.count("over") == 0 else { return nil }
      asked.record("HEAD")
      return asked.count("HEAD") > 6 ? .reply(429, [("Retry-After", "60")]) : nil
    }
    let started = try await plant.poller.start(hub)
    await plant.events.wait(for: "poll suspended", count: 1)
    let queued = try await clear()
    #expect((1..<20).contains(queued))
    asked.record("over")
    plant.clock.advance(.seconds(61))
    try await plant.poller.resume(hub.id)
    await plant.events.wait(for: "poll ended", count: 2)
    let record = try #require(try plant.store.poll(PollKey(integration: hub.id, poll: started.id)))
    #expect((record.state, record.queued) == (.finished, 20))
    #expect(try plant.pendingJobs().count == 20 - queued)
  }

  @Test func `Names that no reference can hold are counted with their reason, and no request is built of them`()
    async throws
  {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "good", tag: "1")
    let names = ["good"] + (0..<25).map { "../../v2/x\($0)" } + ["A/B", "a//b", "with space"]
    let list = names.map { "\"\($0)\"" }.joined(separator: ",")
    registry.intercept { request in
      switch request.path {
      case "/v2/_catalog": .json("{\"repositories\":[\(list)]}")
      case "/v2/good/tags/list": .json("{\"tags\":[\"1\",\"../x\",\"\",7,\"\(String(repeating: "t", count: 300))\"]}")
      default: nil
      }
    }
    let record = try await plant.poll(hub)
    #expect(record.queued == 1)
    #expect((record.repositories, record.tags) == (1, 1))
    #expect(record.errorCount == 28 + 4)
    // Ten examples of each list.
    #expect(record.errors.count == 10 + 4)
  }

  @Test func `The record keeps a hundred errors and counts all`() async throws {
    let hub = try await plant.integration("hub", registry)
    for tag in 0..<130 { registry.put(FakeImage("\(tag)"), "app", tag: "t\(tag)") }
    registry.intercept { $0.method == "HEAD" ? .reply(404) : nil }
    let record = try await plant.poll(hub)
    #expect(record.errorCount == 130)
    #expect(record.errors.count == 100)
  }

  @Test func `Counters stay at their end`() {
    var count = UInt32.max - 1
    count.add(0)
    #expect(count == UInt32.max - 1)
    count.add(Int.max)
    #expect(count == UInt32.max)
    count.add(1)
    #expect(count == UInt32.max)
  }

  // MARK: - Again

  @Test func `A rescan queues what was pulled once, however many tags it has, and what the criteria leave out as well`()
    async throws
  {
    let hub = try await plant.integration("hub", registry) { record in
      record.rescan = true
      record.neverPull = [":hand"]
    }
    let (image, byHand) = (FakeImage(layers: [Layers.plain("a")]), FakeImage(layers: [Layers.plain("b")]))
    registry.put(image, "app", tag: "1")
    registry.put(image, "app", tag: "2")
    registry.put(byHand, "app", tag: "hand")
    _ = try await plant.intake.queue(
      [Intake.Item(image: plant.key(byHand, hub), tag: "hand")], priority: .person)
    let first = try await plant.poll(hub)
    #expect(first.queued == 1)
    try await plant.scan([("scan finished", 2)])
    let second = try await plant.poll(hub)
    #expect(second.queued == 2)
    #expect(Set(try plant.pendingJobs().map(\.digest)) == [image.digest.description, byHand.digest.description])
    #expect(try plant.pendingJobs().allSatisfy { $0.priority == 2 })
  }

  // MARK: - Ends before its end

  @Test func `A poll that runs is shown to the second asker`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.intercept { $0.path == "/v2/_catalog" ? .silence() : nil }
    let first = try await plant.poller.start(hub)
    await registry.events.wait(for: "GET /v2/_catalog")
    #expect(try await plant.poller.start(hub).id == first.id)
    await plant.poller.stop()
    let record = try #require(try plant.store.poll(PollKey(integration: hub.id, poll: first.id)))
    #expect(record.state == .interrupted)
    #expect(record.errorCode == "INTERRUPTED")
    await #expect(throws: Poller.Stopping.self) { try await plant.poller.start(hub) }
  }

  @Test func `A removal ends the poll, and nothing comes after the last row`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "app", tag: "1")
    registry.put(FakeImage("b"), "slow", tag: "1")
    registry.intercept { $0.path == "/v2/slow/tags/list" ? .silence() : nil }
    _ = try await plant.poller.start(hub)
    await registry.events.wait(for: "GET /v2/slow/tags/list")
    _ = try await plant.store.beginRemoval(named: "hub", now: 0) { [queue = plant.queue] id, transaction in
      try queue.cancelAll(ofRemoved: id, in: transaction)
    }
    await plant.poller.abandon(hub.id)
    while try await plant.store.removeRemains(of: hub.id, now: plant.clock.wall.now) {}
    let left = try plant.store.read { transaction in
      [
        try transaction.count(StateStore.images), try transaction.count(StateStore.tags),
        try transaction.count(StateStore.polls), try transaction.count(StateStore.integrations),
      ]
    }
    #expect(left == [0, 0, 0, 0])
  }

  @Test func `Nothing is added to an integration that is going or gone`() async throws {
    let hub = try await plant.integration("hub", registry)
    let item = Intake.Item(image: plant.key(FakeImage("a"), hub), tag: "1")
    _ = try await plant.store.beginRemoval(named: "hub", now: 0) { _, _ in }
    await #expect(throws: IntegrationError.self) { try await plant.poller.start(hub) }
    await #expect(throws: IntegrationError.self) { try await plant.intake.queue([item], priority: .person) }
    while try await plant.store.removeRemains(of: hub.id, now: plant.clock.wall.now) {}
    await #expect(throws: IntegrationError.self) { try await plant.poller.start(hub) }
    var late = PollRecord()
    late.integrationId = hub.id
    late.id = 9
    try await plant.store.putPoll(late, now: 1)
    let key = ConfirmationKey(
      integration: hub.id, generation: 1, repository: "app", digest: FakeImage("a").digest.description)
    try await plant.store.confirm(key, now: 1)
    #expect(try plant.store.read { try $0.count(StateStore.polls) } == 0)
    #expect(try plant.store.read { try $0.count(StateStore.confirmations) } == 0)
  }

  @Test func `An image that is queued twice has one job, and the second asker is shown it`() async throws {
    let hub = try await plant.integration("hub", registry)
    let key = plant.key(FakeImage("a"), hub)
    let first = try await plant.intake.queue(
      [Intake.Item(image: key, tag: "1"), Intake.Item(image: key, tag: "2")], priority: .newImage)
    #expect(first.map(\.existed) == [false, true])
    #expect(first[0].job.id == first[1].job.id)
    let second = try await plant.intake.queue([Intake.Item(image: key, tag: "")], priority: .person)
    #expect(second.map(\.existed) == [true])
    #expect(second[0].job.id == first[0].job.id)
    #expect(try plant.pendingJobs().count == 1)
    let tags = try plant.store.read { try plant.store.tags(of: [key], limit: 10, in: $0) }
    #expect(tags == [key: ["1", "2"]])
    #expect(try await plant.intake.queue([], priority: .person).isEmpty)
  }
}
