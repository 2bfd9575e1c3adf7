import Model
import Posix
import Queue
import Selection
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

/// The ledger as it is read from a store, in steps.
@Suite(.timeLimit(.minutes(1)))
final class LedgerReaderTests {
  private let directory: TemporaryDirectory
  private let store: StateStore
  private let queue: JobQueue
  private let reader = SerialThread(named: "test")
  private let ledger: Ledger
  private let clock = TestClock()

  init() async throws {
    directory = try TemporaryDirectory()
    var options = Environment.Options()
    options.isSynchronous = false
    options.mapSizeBytes = 1 << 28
    store = try await StateStore(
      directory: try StateDirectory(opening: directory.path + "/state"), tables: QueueTables.all,
      migrations: QueueTables.migrations, options: options)
    queue = JobQueue(store: store, clock: clock.wall)
    ledger = Ledger(store: store, queue: JobQueue(store: store), reader: reader)
  }

  deinit {
    reader.close()
    store.close()
  }

  private func integration(_ name: String) async throws -> UInt64 {
    var record = IntegrationRecord()
    record.name = name
    return try await store.createIntegration(record, now: 1).id
  }

  private func poll(_ integration: UInt64, _ state: PollState) async throws -> PollRecord {
    var wanted = PollRecord()
    wanted.integrationId = integration
    var poll = try await store.createPoll(wanted)
    poll.state = state
    poll.finishedAt = 5
    try await store.putPoll(poll, now: 5)
    return poll
  }

  /// Tags `t0`, `t1`, … in each of `repositories`, decided as `decide` says; every selected one has an image.
  private func fill(
    _ integration: UInt64, repositories: [String], tags: Int,
    _ decide: @escaping @Sendable (String, Int) -> (TagDecision, ImageStatus?)
  ) async throws {
    try await store.write { transaction in
      for repository in repositories {
        var listed = RepositoryRecord()
        listed.state = .listed
        try transaction.put(
          StateStore.repositories, RepositoryKey(integration: integration, repository: repository), listed)
        for index in 0..<tags {
          let (decision, status) = decide(repository, index)
          var tag = LedgerStateTests.tag(decision, decision == .rejected ? "never_pull" : "no_criteria")
          tag.digest = decision == .rejected ? "" : "sha256:\(index)"
          try transaction.put(
            StateStore.tags, TagKey(integration: integration, repository: repository, tag: "t\(index)"), tag)
          guard let status else { continue }
          var image = LedgerStateTests.image(status, scannedAt: status == .scanned ? 9 : 0)
          image.integrationId = integration
          image.repository = repository
          image.digest = tag.digest
          let key = ImageKey(integration: integration, repository: repository, digest: tag.digest)
          try transaction.put(StateStore.images, key, image)
        }
      }
    }
  }

  @Test func `Coverage counts every tag once, over many steps, and no other integration's`() async throws {
    let hub = try await integration("hub")
    let other = try await integration("other")
    try await fill(other, repositories: ["app"], tags: 10) { _, _ in (.rejected, nil) }
    try await fill(hub, repositories: (0..<60).map { "team/app\($0)" }, tags: 200) { _, index in
      switch index % 4 {
      case 0: (.rejected, nil)
      case 1: (.selected, .queued)
      default: (.selected, .scanned)
      }
    }
    let coverage = try await ledger.coverage(of: hub)
    #expect(coverage.tags.tags == 12_000)
    #expect(coverage.tags.states.map(\.tags) == [6000, 3000, 3000])
    #expect(coverage.tags.states.map(\.status.name) == ["scanned", "queued", "rejected"])
    #expect(coverage.repositories.repositories == 60)
    #expect(coverage.poll == nil)
  }

  @Test func `Coverage is as of the newest poll that has ended`() async throws {
    let hub = try await integration("hub")
    let first = try await poll(hub, .finished)
    _ = try await poll(hub, .running)
    _ = try await poll(try await integration("other"), .finished)
    #expect(try await ledger.coverage(of: hub).poll?.id == first.id)
    let polls = try await ledger.polls(of: hub, before: .max, limit: 10)
    #expect(polls.map(\.id) == [first.id + 1, first.id])
    #expect(try await ledger.polls(of: hub, before: first.id + 1, limit: 10).map(\.id) == [first.id])
    #expect(try await ledger.polls(of: hub, before: .max, limit: 1).map(\.id) == [first.id + 1])
  }

  @Test func `A filter takes what it says, page by page`() async throws {
    let hub = try await integration("hub")
    try await fill(hub, repositories: ["a/app", "b/app", "b/tool"], tags: 4000) { repository, index in
      index == 3999 ? (.rejected, nil) : (.selected, .queued)
    }
    var filter = Ledger.Filter()
    filter.integration = hub
    filter.status = .rejected
    // Twelve thousand rows are looked at for three.
    let all = try await ledger.tags(filter, after: nil, limit: 100)
    #expect(all.map(\.key.repository) == ["a/app", "b/app", "b/tool"])
    #expect(try await ledger.tags(filter, after: all[0].key, limit: 1).map(\.key) == [all[1].key])
    filter.repository = try Pattern(parsing: "b/app")
    #expect(try await ledger.tags(filter, after: nil, limit: 100).map(\.key) == [all[1].key])
    filter.repository = try Pattern(parsing: "app")
    #expect(try await ledger.tags(filter, after: nil, limit: 100).count == 2)
    filter.reasonCode = "no_criteria_match"
    #expect(try await ledger.tags(filter, after: nil, limit: 100).isEmpty)
    filter = Ledger.Filter()
    filter.status = .rejected
    #expect(try await ledger.tags(filter, after: nil, limit: 100).count == 3)
  }

  @Test func `A tag's history is told from the newest, in pages, and ends with its going`() async throws {
    let hub = try await integration("hub")
    let key = TagKey(integration: hub, repository: "app", tag: "latest")
    func put(_ digest: String, at now: Int64, gone: Int64 = 0) async throws {
      try await store.write { [store] transaction in
        var tag = try transaction.get(StateStore.tags, key) ?? TagRecord()
        if tag.digest != digest || tag.isGone { tag.since = now }
        tag.digest = digest
        tag.decision = .selected
        tag.goneAt = gone
        try store.put(tag, key, now: now, in: transaction)
      }
    }
    #expect(try await ledger.history(of: key, before: nil, limit: 10) == nil)
    try await put("sha256:a", at: 10)
    try await put("sha256:b", at: 20)
    try await put("sha256:c", at: 30)
    let whole = try #require(try await ledger.history(of: key, before: nil, limit: 10))
    #expect(whole.entries.map(\.digest) == ["sha256:c", "sha256:b", "sha256:a"])
    #expect(whole.entries.map(\.since) == [30, 20, 10])
    #expect(whole.entries.map(\.until) == [0, 30, 20])
    #expect(whole.entries.map(\.end) == [nil, .moved, .moved])
    #expect(whole.next == nil)
    for limit in 1...3 {
      var joined: [TagHistory.Entry] = []
      var before: UInt64?
      repeat {
        let page = try #require(try await ledger.history(of: key, before: before, limit: limit))
        #expect(page.entries.count <= limit)
        joined += page.entries
        before = page.next
      } while before != nil
      #expect(joined == whole.entries)
    }
    try await put("sha256:c", at: 30, gone: 40)
    let gone = try #require(try await ledger.history(of: key, before: nil, limit: 10))
    #expect(gone.entries.map(\.end) == [.gone, .moved, .moved])
    #expect(gone.entries.first?.digest == "sha256:c")
  }

  @Test func `A rescan of all queues every image that is not gone, once, and leaves the decisions`() async throws {
    let hub = try await integration("hub")
    let other = try await integration("other")
    try await fill(other, repositories: ["app"], tags: 3) { _, _ in (.selected, .scanned) }
    try await fill(hub, repositories: ["app"], tags: 1203) { _, index in
      (.selected, index < 3 ? .gone : .scanned)
    }
    let rescanner = Rescanner(store: store, intake: Intake(store: store, queue: queue, clock: clock.wall) {})
    let summary = try await rescanner.queueAll(of: hub, actor: "uid:7")
    #expect((summary.queued, summary.existed) == (1200, 0))
    #expect(summary.lastJob - summary.firstJob == 1199)
    let again = try await rescanner.queueAll(of: nil, actor: "uid:7")
    #expect((again.queued, again.existed) == (3, 1200))
    let coverage = try await ledger.coverage(of: hub)
    #expect(coverage.tags.tags == 1203)
    #expect(coverage.tags.states.first?.status == .queued)
    #expect(try queue.job(summary.firstJob)?.priority == UInt32(JobQueue.Priority.rescan.rawValue))
    let tag = try store.tag(TagKey(integration: hub, repository: "app", tag: "t5"))
    #expect(tag?.decision == .selected)
    #expect(tag?.pollId == 0)
  }

  @Test func `A rescan of named images is a person's, and all or nothing`() async throws {
    let hub = try await integration("hub")
    try await fill(hub, repositories: ["app"], tags: 3) { _, _ in (.selected, .scanned) }
    let rescanner = Rescanner(store: store, intake: Intake(store: store, queue: queue, clock: clock.wall) {})
    let image = ImageKey(integration: hub, repository: "app", digest: "sha256:1")
    let outcome = try #require(try await rescanner.queue([(image, "t1")], actor: "uid:7").first)
    #expect(outcome.job.priority == UInt32(JobQueue.Priority.person.rawValue))
    #expect(outcome.job.tag == "t1")
    let foreign = ImageKey(integration: 99, repository: "app", digest: "sha256:2")
    await #expect(throws: IntegrationError.self) {
      try await rescanner.queue(
        [(ImageKey(integration: hub, repository: "app", digest: "sha256:2"), ""), (foreign, "")],
        actor: "uid:7")
    }
    #expect(try store.image(ImageKey(integration: hub, repository: "app", digest: "sha256:2"))?.status == .scanned)
  }

  @Test func `An explanation is gathered from the store`() async throws {
    let hub = try await integration("hub")
    try await fill(hub, repositories: ["team/app"], tags: 2) { _, index in
      index == 0 ? (.rejected, nil) : (.selected, .scanned)
    }
    var area = RepositoryRecord()
    area.state = .skipped
    area.reasonCode = "remote"
    area.count = 3
    let key = RepositoryKey(integration: hub, repository: "proxy/hub")
    try await store.write { [area] in try $0.put(StateStore.repositories, key, area) }
    _ = try await poll(hub, .finished)
    let record = try store.integration(named: "hub")
    func explain(_ text: String) async throws -> Explanation {
      try await ledger.explain(try ImageReference(parsing: text), of: record, now: clock.wall.now)
    }
    #expect(try await explain("hub/team/app:t0").state == "rejected")
    let scanned = try await explain("hub/team/app:t1")
    #expect(scanned.createdAt == nil)
    #expect((scanned.state, scanned.digest) == ("scanned", "sha256:1"))
    #expect(try await explain("hub/team/app:t9").reasonCode == "tag_not_listed")
    #expect(try await explain("hub/proxy/hub/library/alpine:3").reasonCode == "remote")
    #expect(try await explain("hub/nobody:1").reasonCode == "repository_not_listed")
    // Of its config's dates the newest that is none of a reproducible build.
    let image = ImageKey(integration: hub, repository: "team/app", digest: "sha256:1")
    let real = try #require(Timestamp(rfc3339: "2025-01-05T00:00:00Z"))
    try await store.write { transaction in
      var facts = ImageFactsRecord()
      facts.isDated = true
      facts.dates = [Int64.min, 0, real.nanosecondsSince1970, 1].map { created in
        var date = PlatformDate()
        date.createdAt = created
        return date
      }
      try transaction.put(StateStore.imageFacts, image, facts)
    }
    #expect(try await explain("hub/team/app:t1").createdAt == real)
    let digest = "sha256:" + String(repeating: "0", count: 64)
    #expect(try await explain("hub/team/app@\(digest)").reasonCode == "digest_not_known")
  }
}
