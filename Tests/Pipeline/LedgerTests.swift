import Model
import Pipeline
import Posix
import Registry
import StorageMessages
import Store
import TestSupport
import Testing

/// What polls write into the ledger of tags and repositories.
@Suite struct LedgerTests {
  private let registry: FakeRegistry
  private let plant: Plant

  init() async throws {
    registry = try FakeRegistry()
    plant = try await Plant()
  }

  private func tag(_ name: String, _ integration: IntegrationRecord, _ repository: String = "app") throws -> TagRecord?
  {
    try plant.store.tag(TagKey(integration: integration.id, repository: repository, tag: name))
  }

  private func image(_ image: FakeImage, _ integration: IntegrationRecord) throws -> ImageRecord? {
    try plant.store.image(plant.key(image, integration))
  }

  private func repository(_ name: String, _ integration: IntegrationRecord) throws -> RepositoryRecord? {
    try plant.store.read {
      try $0.get(StateStore.repositories, RepositoryKey(integration: integration.id, repository: name))
    }
  }

  private func history(_ name: String, _ integration: IntegrationRecord) throws -> [TagHistoryRecord] {
    try plant.store.read { [store = plant.store] in
      try store.history(
        of: TagKey(integration: integration.id, repository: "app", tag: name), limit: 10, in: $0
      ).map(\.record)
    }
  }

  @Test func `An unchanged registry costs a list a repository and no write of a tag`() async throws {
    let hub = try await plant.integration("hub", registry)
    for index in 0..<5 { registry.put(FakeImage("\(index)"), "app", tag: "t\(index)") }
    let first = try await plant.poll(hub)
    #expect((first.tagsNew, first.queued, first.requests) == (5, 5, 1 + 1 + 1 + 5 + 5))
    // The version page comes before the first.
    let before = try tag("t1", hub)
    let second = try await plant.poll(hub)
    #expect((second.tagsNew, second.tagsMoved, second.tagsGone, second.queued) == (0, 0, 0, 0))
    // Catalog, list, and one HEAD a tag, since this listing has no digests.
    #expect(second.requests == 1 + 1 + 5)
    #expect(try tag("t1", hub) == before)
    #expect(second.outcomes.map(\.count) == [5])
    #expect(second.outcomes.first?.reasonCode == "no_criteria")
  }

  @Test func `A tag that moves keeps its history, and the image it has left is gone`() async throws {
    let hub = try await plant.integration("hub", registry)
    let (old, new) = (FakeImage(layers: [Layers.plain("a")]), FakeImage(layers: [Layers.plain("b")]))
    registry.put(old, "app", tag: "1")
    _ = try await plant.poll(hub)
    try await plant.scan([("scan finished", 1)])
    registry.put(new, "app", tag: "1")
    let record = try await plant.poll(hub)
    #expect((record.tagsMoved, record.tagsNew, record.queued) == (1, 0, 1))
    #expect(try tag("1", hub)?.digest == new.digest.description)
    let past = try history("1", hub)
    #expect(past.map(\.digest) == [old.digest.description])
    #expect((past.first?.gone, past.first?.nextDigest) == (false, new.digest.description))
    #expect(try image(old, hub)?.status == .gone)
    // It keeps its report, and comes back without a scan.
    registry.put(old, "app", tag: "2")
    #expect(try await plant.poll(hub).queued == 0)
    #expect(try image(old, hub)?.status == .scanned)
  }

  @Test func `A tag that is gone is marked so, its image too, and it may return`() async throws {
    let hub = try await plant.integration("hub", registry)
    let (kept, shared) = (FakeImage(layers: [Layers.plain("a")]), FakeImage(layers: [Layers.plain("b")]))
    registry.put(kept, "app", tag: "kept")
    registry.put(shared, "app", tag: "one")
    registry.put(shared, "app", tag: "two")
    _ = try await plant.poll(hub)
    try await plant.scan([("scan finished", 2)])
    registry.removeTag("one", of: "app")
    #expect(try await plant.poll(hub).tagsGone == 1)
    #expect(try tag("one", hub)?.isGone == true)
    // Another tag points there.
    #expect(try image(shared, hub)?.status == .scanned)
    registry.removeTag("two", of: "app")
    _ = try await plant.poll(hub)
    #expect(try image(shared, hub)?.status == .gone)
    #expect(try image(kept, hub)?.status == .scanned)
    #expect(try await plant.poll(hub).tagsGone == 0)
    registry.put(shared, "app", tag: "two")
    let returned = try await plant.poll(hub)
    #expect((returned.tagsNew, returned.queued) == (1, 0))
    #expect(try tag("two", hub)?.isGone == false)
    #expect(try history("two", hub).map(\.gone) == [true])
    #expect(try image(shared, hub)?.status == .scanned)
  }

  @Test func `A repository that is gone takes its tags along; one that is only not listed does not`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "app", tag: "1")
    registry.put(FakeImage("b"), "other", tag: "1")
    registry.put(FakeImage("c"), "third", tag: "1")
    _ = try await plant.poll(hub)
    registry.removeRepository("app")
    registry.intercept { $0.path == "/v2/_catalog" ? .json("{\"repositories\":[\"third\"]}") : nil }
    let record = try await plant.poll(hub)
    #expect((record.tagsGone, record.repositoriesGone) == (1, 1))
    #expect(try repository("app", hub)?.state == .gone)
    #expect(try repository("other", hub)?.state == .unlisted)
    #expect(try tag("1", hub, "other")?.isGone == false)
    #expect(try tag("1", hub, "other")?.reasonCode == "not_listed")
  }

  @Test(arguments: ["/v2/app/tags/list", "/v2/_catalog"])
  func `What could not be listed is not gone`(path: String) async throws {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "app", tag: "1")
    registry.put(FakeImage("b"), "app", tag: "2")
    registry.put(FakeImage("c"), "other", tag: "1")
    _ = try await plant.poll(hub)
    // A page with half of it that says where the next one is, which fails.
    let half = path == "/v2/_catalog" ? "{\"repositories\":[\"app\"]}" : "{\"tags\":[\"1\"]}"
    let pages = Events()
    registry.intercept { request in
      guard request.path == path else { return nil }
      defer { pages.record("page") }
      return pages.count("page") == 0
        ? .reply(200, [("Link", "<\(path)?last=x>; rel=\"next\"")], [UInt8](half.utf8)) : .reply(500)
    }
    let record = try await plant.poll(hub)
    #expect(record.tagsGone == 0)
    #expect(record.isPartial || record.state == .failed)
    #expect(try tag("2", hub)?.isGone == false)
    #expect(try tag("1", hub, "other")?.isGone == false)
  }

  @Test func `A tag that a listing passes by is asked for before it is called gone`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "app", tag: "1")
    registry.put(FakeImage("b"), "app", tag: "2")
    _ = try await plant.poll(hub)
    registry.intercept { $0.path == "/v2/app/tags/list" ? .json("{\"tags\":[\"1\"]}") : nil }
    #expect(try await plant.poll(hub).tagsGone == 0)
    #expect(try tag("2", hub)?.isGone == false)
  }

  @Test func `Criteria that change are told in the ledger, and what they reject by name costs no request`()
    async throws
  {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "app", tag: "1")
    registry.put(FakeImage("b"), "team/app", tag: "2")
    _ = try await plant.poll(hub)
    let narrower = try await plant.store.updateIntegration(named: "hub", revision: 0, now: 1) {
      $0.criteria = ["team/*"]
    }
    let lists = registry.requests("GET /v2/app/tags/list")
    let record = try await plant.poll(narrower)
    #expect(registry.requests("GET /v2/app/tags/list") == lists)
    #expect((record.selected, record.queued) == (1, 0))
    #expect(try repository("app", hub)?.state == .rejected)
    #expect(try tag("1", hub)?.decision == .rejected)
  }

  @Test func `An artifact is skipped with its reason, is not looked at again, and takes no place among the newest`()
    async throws
  {
    let hub = try await plant.integration("hub", registry) { record in
      record.condition = ConditionRecord()
      record.condition?.kind = .latest(1)
    }
    registry.put(FakeImage("a", created: "2026-01-01T00:00:00Z"), "app", tag: "1")
    registry.put(manifest: FakeImage.artifact, type: FakeImage.manifestType, "app", tag: "chart")
    let first = try await plant.poll(hub)
    #expect((first.selected, first.skipped) == (1, 1))
    #expect(try tag("chart", hub)?.decision == .skipped)
    #expect(try tag("chart", hub)?.reasonCode == "not_an_image")
    let manifest = "GET /v2/app/manifests/\(FakeRegistry.digest(FakeImage.artifact))"
    let before = registry.requests(manifest)
    _ = try await plant.poll(hub)
    #expect(registry.requests(manifest) == before)
  }

  @Test func `An image that can never be read does not keep the newest of the others from being chosen`() async throws {
    let hub = try await plant.integration("hub", registry) { record in
      record.condition = ConditionRecord()
      record.condition?.kind = .latest(1)
    }
    let broken = FakeImage("broken", created: "2026-02-02T00:00:00Z")
    registry.put(broken, "app", tag: "broken")
    registry.put(FakeImage("good", created: "2026-01-01T00:00:00Z"), "app", tag: "good")
    let config = "/v2/app/blobs/\(broken.configDigest)"
    registry.intercept { $0.path == config ? .reply(200, [], [UInt8]("garbage".utf8)) : nil }
    let record = try await plant.poll(hub)
    #expect((record.selected, record.tagsFailed) == (1, 1))
    #expect(try tag("good", hub)?.decision == .selected)
    #expect(try tag("broken", hub)?.decision == .failed)
  }

  @Test func `The day a digest was first seen stays what it was`() async throws {
    let hub = try await plant.integration("hub", registry) { record in
      record.condition = ConditionRecord()
      var period = CreatedWithinRecord()
      period.days = 10
      record.condition?.kind = .createdWithin(period)
    }
    registry.put(FakeImage("none", created: nil), "app", tag: "1")
    #expect(try await plant.poll(hub).selected == 1)
    plant.clock.advance(.seconds(11 * 86_400))
    let later = try await plant.poll(hub)
    #expect((later.selected, later.rejected) == (0, 1))
    #expect(try tag("1", hub)?.reason.contains("2026-03-01") == true)
  }

  @Test func `A person cancels a poll, running or suspended`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "app", tag: "1")
    registry.intercept { $0.path == "/v2/app/tags/list" ? .reply(429, [("Retry-After", "600")]) : nil }
    let started = try await plant.poller.start(hub)
    await plant.events.wait(for: "poll suspended", count: 1)
    #expect(try await plant.poller.cancel(hub.id, poll: started.id + 1, by: "uid:7") == nil)
    let ended = try #require(try await plant.poller.cancel(hub.id, by: "uid:7"))
    #expect((ended.state, ended.errorMessage) == (.cancelled, "the poll was cancelled by uid:7"))
    #expect(try await plant.poller.cancel(hub.id, by: "uid:7") == nil)
    #expect(plant.poller.suspended.isEmpty)
  }

  @Test func `A suspended poll is found again by the next process`() async throws {
    let hub = try await plant.integration("hub", registry)
    registry.put(FakeImage("a"), "app", tag: "1")
    registry.intercept { $0.path == "/v2/app/tags/list" ? .reply(429, [("Retry-After", "600")]) : nil }
    let started = try await plant.poller.start(hub)
    await plant.events.wait(for: "poll suspended", count: 1)
    await plant.poller.stop()
    try await plant.store.interruptRunningPolls(now: 1)
    let next = try Poller(
      store: plant.store, registries: plant.registries, intake: plant.intake, clock: plant.clock.wall,
      log: plant.events.logger)
    #expect(next.suspended.map(\.integration) == [hub.id])
    registry.intercept(nil)
    plant.clock.advance(.seconds(601))
    try await next.resume(hub.id)
    await plant.events.wait(for: "poll ended", count: 1)
    let record = try #require(try plant.store.poll(PollKey(integration: hub.id, poll: started.id)))
    #expect((record.state, record.queued, record.suspensions) == (.finished, 1, 1))
  }
}
