import Inventory
import Posix
import Queue
import Registry
import StorageMessages
import Store
import TestSupport
import Testing

@testable import Pipeline

/// A store that a test fills as polls and scans would, with a clock that it moves, and what is to be kept of it.
final class Warehouse: Sendable {
  static let day = Duration.seconds(86_400)

  let plant: Plant
  let integration: UInt64
  let retention: Retention
  private let reader = SerialThread(named: "reader")
  /// That nobody listens at.
  private let registry: FakeRegistry

  var store: StateStore { plant.store }
  var now: Int64 { plant.clock.wall.now }

  init(_ change: (inout RetentionSettings) -> Void = { _ in }) async throws {
    plant = try await Plant()
    registry = try FakeRegistry()
    integration = try await plant.integration("hub", registry).id
    var settings = RetentionSettings()
    change(&settings)
    retention = Retention(
      settings, store: plant.store, queue: plant.queue, reader: reader, clock: plant.clock.wall,
      log: plant.events.logger)
  }

  deinit { reader.close() }

  func advance(days: Int) { plant.clock.advance(Self.day * days) }

  /// A dry run and a real one, which must agree.
  @discardableResult
  func collect() async throws -> RetentionOutcome {
    let told = try await retention.collect(dryRun: true)
    let done = try await retention.collect(dryRun: false)
    #expect(told.removed == done.removed)
    #expect(told.before == told.after && told.isDryRun && !done.isDryRun)
    return done
  }

  func image(_ digest: String, _ repository: String = "app") -> ImageKey {
    ImageKey(integration: integration, repository: repository, digest: digest)
  }

  func repository(_ name: String = "app") -> RepositoryKey { RepositoryKey(integration: integration, repository: name) }

  func tag(_ name: String, _ repository: String = "app") -> TagKey {
    TagKey(integration: integration, repository: repository, tag: name)
  }

  func layer(_ digest: String) -> LayerKey { LayerKey(analyserVersion: UInt64(analyserVersion), digest: digest) }

  func has<Key, Value>(_ table: Table<Key, Value>, _ key: Key) throws -> Bool {
    try store.read { try $0.has(table, key) }
  }

  // MARK: - What polls and scans do

  func analyse(_ digest: String) async throws {
    var analysis = LayerAnalysis()
    analysis.analyserVersion = analyserVersion
    try await store.putLayerAnalysis(analysis, layer(digest), confirmed: confirmation(digest), now: now)
  }

  func confirmation(_ digest: String, generation: UInt64 = 1) -> ConfirmationKey {
    ConfirmationKey(integration: integration, generation: generation, repository: "app", digest: digest)
  }

  /// Stores reports of these layers, all of which are analysed before.
  func scan(_ image: ImageKey, layers: [[String]]) async throws {
    for digest in Set(layers.joined()) where try await !store.useLayer(layer(digest), now: now) {
      try await analyse(digest)
    }
    let now = now
    try await store.write { [store] transaction in
      _ = try store.remember(image, now: now, in: transaction)
      let reports = layers.enumerated().map { number, digests in
        var report = ReportRecord()
        report.platform = "linux/\(number)"
        report.layers = digests.map { digest in
          var layer = ReportLayer()
          layer.digest = digest
          return layer
        }
        return report
      }
      try store.putReports(reports, of: image, now: now, in: transaction)
      try store.changeImage(image, in: transaction) { record in
        record.status = record.untagged ? .gone : .scanned
        record.scannedAt = now
      }
    }
  }

  /// The tag points there from now on; what it pointed to is gone where nothing else does.
  func point(_ tag: TagKey, to image: ImageKey) async throws {
    let now = now
    try await store.write { [store] transaction in
      let previous = try transaction.get(StateStore.tags, tag)
      var record = previous ?? TagRecord()
      record.digest = image.digest
      record.since = now
      record.goneAt = 0
      try store.put(record, tag, now: now, in: transaction)
      if try transaction.get(StateStore.images, image)?.untagged ?? false { try store.restore(image, in: transaction) }
      guard let previous, previous.digest != image.digest else { return }
      let repository = RepositoryKey(integration: tag.integration, repository: tag.repository)
      try store.setGone([previous.digest], of: repository, now: now, in: transaction)
    }
  }

  func drop(_ tag: TagKey) async throws {
    let now = now
    try await store.write { [store] transaction in
      guard var record = try transaction.get(StateStore.tags, tag), !record.isGone else { return }
      record.goneAt = now
      try store.put(record, tag, now: now, in: transaction)
      let repository = RepositoryKey(integration: tag.integration, repository: tag.repository)
      try store.setGone([record.digest], of: repository, now: now, in: transaction)
    }
  }

  /// Queues a scan of the image; `isBegun`: an attempt was made and cut short.
  func queue(_ image: ImageKey, isBegun: Bool) async throws -> UInt64 {
    let now = now
    return try await store.write { [store, queue = plant.queue] transaction in
      _ = try store.remember(image, now: now, in: transaction)
      var job = try queue.enqueue(image, tag: "", priority: .newImage, in: transaction).job
      if isBegun {
        job.startedAt = now
        job.interruptions = 1
        try transaction.put(QueueTables.jobs, job.id, job)
      }
      return job.id
    }
  }

  func append(_ kind: EventKind) async throws {
    let event = EventRecord(kind, time: now)
    try await store.write { [store] in try store.append(event, in: $0) }
  }

  func poll(_ state: PollState) async throws {
    var poll = PollRecord()
    poll.integrationId = integration
    poll.startedAt = now
    var started = try await store.createPoll(poll)
    started.state = state
    if state != .running && state != .suspended { started.finishedAt = now }
    try await store.putPoll(started, now: now)
  }
}

extension RetentionOutcome {
  func count(_ kind: Kind) -> UInt64 { removed.filter { $0.kind == kind }.reduce(0) { $0 + $1.count } }
}
