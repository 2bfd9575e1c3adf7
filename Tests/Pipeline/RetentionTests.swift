import Inventory
import Posix
import Queue
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

struct RetentionTests {
  @Test func `A new store has nothing to give up`() async throws {
    let house = try await Warehouse()
    let outcome = try await house.collect()
    #expect(outcome.removed.isEmpty && outcome.summary.isEmpty)
    #expect(outcome.before.usedBytes > 0 && outcome.before.usedBytes <= outcome.before.fileBytes)
    #expect(outcome.before.limitBytes == 1 << 30)
    #expect(!outcome.before.isNearlyFull)
  }

  @Test func `Events go after ninety days, but for the newest, so that positions stay good`() async throws {
    let house = try await Warehouse()
    for _ in 0..<700 { try await house.append(.jobChanged) }
    house.advance(days: 60)
    try await house.append(.jobChanged)
    house.advance(days: 31)
    let newest = try house.store.read { try StateStore.eventRange(in: $0).newest }
    let outcome = try await house.collect()
    // The integration's own, and those of the first day.
    #expect(outcome.removed.map(\.kind) == [.events] && outcome.count == 701)
    #expect(try house.store.read { try StateStore.eventRange(in: $0).oldest } == newest)
    #expect(try house.store.events(after: newest, limit: 9).map(\.event.kind) == ["store.collected"])
    house.advance(days: 400)
    #expect(try await house.collect().count(.events) == 1)
    #expect(throws: StateStore.EventsGone.self) { try house.store.events(after: 0, limit: 9) }
  }

  @Test func `An image goes with its reports ninety days after its last tag, and a tagged one never`() async throws {
    let house = try await Warehouse()
    let (kept, gone) = (house.image("sha256:kept"), house.image("sha256:gone"))
    for (image, tag) in [(kept, "a"), (gone, "b")] {
      try await house.scan(image, layers: [["sha256:shared", image.digest + "1"], ["sha256:shared"]])
      try await house.point(house.tag(tag), to: image)
    }
    house.advance(days: 400)
    #expect(try await house.collect().count(.images) == 0)
    try await house.drop(house.tag("b"))
    house.advance(days: 89)
    #expect(try await house.collect().count(.images) == 0)
    house.advance(days: 2)
    let outcome = try await house.collect()
    #expect(outcome.count(.images) == 1 && outcome.count(.reports) == 2 && outcome.count(.layers) == 0)
    #expect(try !house.has(StateStore.images, gone) && house.plant.reports(gone).isEmpty)
    #expect(try house.plant.reports(kept).count == 2)
    // The layer that nothing names is there until its own time is over; the shared one stays.
    #expect(try house.has(StateStore.layers, house.layer("sha256:gone1")))
    for digest in ["sha256:gone1", "sha256:shared"] {
      let layer = house.layer(digest)
      try await house.store.write { try $0.put(StateStore.malware, layer, LayerMalware()) }
    }
    house.advance(days: 8)
    #expect(try await house.collect().count(.layers) == 1)
    #expect(try !house.has(StateStore.layers, house.layer("sha256:gone1")))
    #expect(try house.has(StateStore.layers, house.layer("sha256:shared")))
    // What is known of malware in it goes with it.
    #expect(try !house.has(StateStore.malware, house.layer("sha256:gone1")))
    #expect(try house.has(StateStore.malware, house.layer("sha256:shared")))
    #expect(try house.has(StateStore.layers, house.layer("sha256:kept1")))
  }

  @Test func `A tag that comes back keeps the image, and its time begins anew`() async throws {
    let house = try await Warehouse()
    let image = house.image("sha256:a")
    try await house.scan(image, layers: [["sha256:1"]])
    try await house.point(house.tag("a"), to: image)
    try await house.drop(house.tag("a"))
    house.advance(days: 80)
    try await house.point(house.tag("a"), to: image)
    house.advance(days: 20)
    #expect(try await house.collect().count(.images) == 0)
    try await house.drop(house.tag("a"))
    house.advance(days: 80)
    #expect(try await house.collect().count(.images) == 0)
    house.advance(days: 20)
    #expect(try await house.collect().count(.images) == 1)
  }

  @Test func `With too many reports, those go early whose images were gone first, and no tagged image's`() async throws
  {
    let house = try await Warehouse { $0.reportsMaximum = 4 }
    for number in 0..<6 {
      let image = house.image("sha256:\(number)")
      try await house.scan(image, layers: [["sha256:l\(number)"]])
      try await house.point(house.tag("t\(number)"), to: image)
    }
    #expect(try await house.collect().removed.isEmpty)
    for number in [4, 1, 3] {
      try await house.drop(house.tag("t\(number)"))
      house.advance(days: 1)
    }
    let outcome = try await house.collect()
    #expect(outcome.count(.images) == 2 && outcome.count(.reports) == 2)
    let left = try (0..<6).filter { try house.has(StateStore.images, house.image("sha256:\($0)")) }
    #expect(left == [0, 2, 3, 5])
  }

  @Test func `An image whose scan is on its way stays, whatever its age`() async throws {
    let house = try await Warehouse()
    let image = house.image("sha256:a")
    try await house.scan(image, layers: [["sha256:1"]])
    try await house.point(house.tag("a"), to: image)
    _ = try await house.queue(image, isBegun: false)
    try await house.drop(house.tag("a"))
    house.advance(days: 200)
    #expect(try await house.collect().count(.images) == 0)
    try await house.store.write { _ = try $0.delete(QueueTables.active, image) }
    #expect(try await house.collect().count(.images) == 1)
  }

  @Test func `Jobs go with their attempts ninety days after their end, others never`() async throws {
    let house = try await Warehouse()
    let queue = house.plant.queue
    let ended = try await house.queue(house.image("sha256:a"), isBegun: false)
    let lease = try #require(try await queue.lease { _ in .open })
    #expect(lease.job.id == ended)
    let pending = try await house.queue(house.image("sha256:b"), isBegun: false)
    _ = try await queue.cancel([ended], actor: "uid:1")
    house.advance(days: 89)
    #expect(try await house.collect().count(.jobs) == 0)
    house.advance(days: 2)
    // A row that no job bears out is none of the jobs, whether they go or not. The warehouse compares with a dry run.
    try await house.store.write { transaction in
      try transaction.put(QueueTables.ended, EndedKey(state: .finished, endedAt: 1, job: ended), NoValue())
    }
    let outcome = try await house.collect()
    #expect(outcome.count(.jobs) == 1 && outcome.summary.contains("jobs: 1"))
    #expect(try queue.job(ended) == nil && queue.attempts(of: ended).isEmpty)
    #expect(try queue.job(pending)?.state == .pending)
  }

  @Test func `A layer stays for an attempt that may go on with it, however long that takes`() async throws {
    let house = try await Warehouse()
    try await house.analyse("sha256:before")
    house.advance(days: 1)
    let image = house.image("sha256:a")
    _ = try await house.queue(image, isBegun: true)
    try await house.analyse("sha256:since")
    house.advance(days: 100)
    #expect(try await house.collect().count(.layers) == 1)
    #expect(try house.has(StateStore.layers, house.layer("sha256:since")))
    // Who waits and has not begun needs nothing.
    try await house.store.write { _ = try $0.delete(QueueTables.active, image) }
    _ = try await house.queue(image, isBegun: false)
    #expect(try await house.collect().count(.layers) == 1)
    #expect(try !house.has(StateStore.layers, house.layer("sha256:since")))
    #expect(try !house.has(StateStore.layerUses, "sha256:since"))
  }

  @Test func `A layer that a scan uses again has its time begin anew`() async throws {
    let house = try await Warehouse()
    try await house.analyse("sha256:1")
    house.advance(days: 6)
    #expect(try await house.store.useLayer(house.layer("sha256:1"), now: house.now))
    house.advance(days: 6)
    #expect(try await house.collect().count(.layers) == 0)
    house.advance(days: 2)
    #expect(try await house.collect().count(.layers) == 1)
    #expect(try await !house.store.useLayer(house.layer("sha256:1"), now: house.now))
  }

  @Test func `Analyses of an earlier version go at once`() async throws {
    let house = try await Warehouse()
    let old = LayerKey(analyserVersion: UInt64(analyserVersion) - 1, digest: "sha256:1")
    try await house.store.putLayerAnalysis(
      LayerAnalysis(), old, malware: LayerMalware(), confirmed: house.confirmation("sha256:1"), now: house.now)
    try await house.analyse("sha256:1")
    #expect(try await house.collect().count(.layers) == 1)
    #expect(try !house.has(StateStore.layers, old) && house.has(StateStore.layers, house.layer("sha256:1")))
    #expect(try !house.has(StateStore.malware, old))
  }

  @Test func `Confirmations go with their credential, and with the layer's analysis`() async throws {
    let house = try await Warehouse()
    try await house.analyse("sha256:1")
    #expect(try await house.collect().count(.confirmations) == 0)
    try await house.store.confirm(house.confirmation("sha256:none"), now: house.now)
    #expect(try await house.collect().count(.confirmations) == 1)
    _ = try await house.store.updateIntegration(
      named: "hub", revision: 0, secrets: [.main: .replace(Secret(Array("s".utf8)))], now: house.now
    ) { _ in }
    try await house.store.confirm(house.confirmation("sha256:1", generation: 2), now: house.now)
    #expect(try await house.collect().count(.confirmations) == 1)
    #expect(try house.store.isConfirmed(house.confirmation("sha256:1", generation: 2)))
  }

  @Test func `Polls go by age, but for the last ones and those that have not ended`() async throws {
    let house = try await Warehouse { $0.pollsMinimum = 3 }
    try await house.poll(.suspended)
    for _ in 0..<6 { try await house.poll(.finished) }
    #expect(try await house.collect().count(.polls) == 0)
    house.advance(days: 91)
    try await house.poll(.failed)
    #expect(try await house.collect().count(.polls) == 4)
    #expect(try house.store.polls(of: house.integration, limit: 99).map(\.id) == [8, 7, 6, 1])
  }

  @Test func `Tags, history and repositories go ninety days after their end, what was read of digests with them`()
    async throws
  {
    let house = try await Warehouse()
    let (first, second) = (house.image("sha256:a"), house.image("sha256:b"))
    try await house.store.write { [house] transaction in
      for image in [first, second] {
        var facts = ImageFactsRecord()
        facts.firstSeenAt = house.now
        try transaction.put(StateStore.imageFacts, image, facts)
      }
    }
    try await house.point(house.tag("kept"), to: second)
    try await house.point(house.tag("gone"), to: first)
    house.advance(days: 1)
    try await house.point(house.tag("gone"), to: second)
    house.advance(days: 1)
    try await house.drop(house.tag("gone"))
    house.advance(days: 89)
    var outcome = try await house.collect()
    #expect(outcome.count(.tagHistory) == 1 && outcome.count(.imageFacts) == 1 && outcome.count(.tags) == 0)
    #expect(try !house.has(StateStore.imageFacts, first) && house.has(StateStore.imageFacts, second))
    house.advance(days: 2)
    outcome = try await house.collect()
    #expect(outcome.count(.tagHistory) == 1 && outcome.count(.tags) == 1)
    // A repository that is gone waits for its tags.
    var gone = RepositoryRecord()
    gone.state = .gone
    gone.since = house.now
    try await house.store.write { [house, gone] transaction in
      try transaction.put(StateStore.repositories, house.repository(), gone)
      try transaction.put(StateStore.repositories, house.repository("other"), gone)
    }
    house.advance(days: 91)
    outcome = try await house.collect()
    #expect(outcome.count(.repositories) == 1)
    #expect(try house.has(StateStore.repositories, house.repository()))
    #expect(try house.has(StateStore.tags, house.tag("kept")))
  }

  @Test func `A removed integration leaves its layers to the sweep`() async throws {
    let house = try await Warehouse()
    try await house.scan(house.image("sha256:a"), layers: [["sha256:1"]])
    let id = try await house.store.beginRemoval(named: "hub", now: house.now) { _, _ in }
    try await house.collect()
    while try await house.store.removeRemains(of: id, now: house.now) {}
    house.advance(days: 8)
    #expect(try await house.collect().count(.layers) == 1)
    #expect(try house.store.read { try $0.count(StateStore.layerUses) } == 0)
    #expect(try house.store.read { try $0.count(StateStore.layersUnused) } == 0)
  }

  @Test func `A collection is due once a day, or early in a store that is nearly full`() async throws {
    let house = try await Warehouse()
    #expect(try await house.retention.isDue())
    try await house.collect()
    #expect(try await !house.retention.isDue())
    house.plant.clock.advance(.seconds(86_300))
    #expect(try await !house.retention.isDue())
    house.plant.clock.advance(.seconds(200))
    #expect(try await house.retention.isDue())
    house.plant.clock.advance(.seconds(-7 * 86_400))
    #expect(try await house.retention.isDue())
  }

  @Test func `After a stop nothing more is removed`() async throws {
    let house = try await Warehouse()
    await house.retention.stop()
    await #expect(throws: CancellationError.self) { try await house.retention.collect(dryRun: false) }
  }
}
