import Posix
import Queue
import StorageMessages
import Store

/// Where images enter the queue: remembers them and their tags, and queues a job for each, in one transaction.
package struct Intake: Sendable {
  /// An image that was found at its registry.
  package struct Item: Sendable, Equatable {
    package let image: ImageKey
    /// The tag it was found by, "" if by digest.
    package let tag: String
    /// From its config; 0 unknown. Nanoseconds since 1970.
    package let createdAt: Int64

    package init(image: ImageKey, tag: String, createdAt: Int64 = 0) {
      self.image = image
      self.tag = tag
      self.createdAt = createdAt
    }
  }

  package struct Outcome: Sendable, Equatable {
    package let job: JobRecord
    /// The image was pending or in progress already: this is the job it had.
    package let existed: Bool
  }

  private let store: StateStore
  private let queue: JobQueue
  private let clock: WallClock
  /// Tells the scanner that there is something to do.
  private let announce: @Sendable () -> Void

  package init(
    store: StateStore, queue: JobQueue, clock: WallClock, announce: @escaping @Sendable () -> Void
  ) {
    self.store = store
    self.queue = queue
    self.clock = clock
    self.announce = announce
  }

  /// Queues `items`. Those of an integration that is being removed meanwhile are refused as a whole.
  /// `actor` is who wants them, for the event log.
  package func queue(
    _ items: [Item], priority: JobQueue.Priority, poll: UInt64 = 0, actor: String = ""
  ) async throws -> [Outcome] {
    if items.isEmpty { return [] }
    let outcomes = try await store.write { [store, queue, clock] transaction in
      let now = clock.now
      for integration in Set(items.map(\.image.integration)) {
        try StateStore.requireIntegration(integration, in: transaction)
      }
      return try items.map { item in
        try note(item, now: now, in: transaction)
        let (job, existed) = try queue.enqueue(
          item.image, tag: item.tag, priority: priority, poll: poll, actor: actor, in: transaction)
        try store.changeImage(item.image, in: transaction) { record in
          if item.createdAt != 0 { record.createdAt = item.createdAt }
          record.lastJobId = job.id
          record.status = .queued
          record.statusReason = ""
        }
        return Outcome(job: job, existed: existed)
      }
    }
    announce()
    return outcomes
  }

  /// Remembers tags of images that are known already and need no job. Refused as by `queue`.
  package func remember(_ items: [Item]) async throws {
    if items.isEmpty { return }
    try await store.write { [self] transaction in
      let now = clock.now
      for integration in Set(items.map(\.image.integration)) {
        try StateStore.requireIntegration(integration, in: transaction)
      }
      for item in items { try note(item, now: now, in: transaction) }
    }
  }

  /// Remembers an image and the tag that points to it.
  private func note(_ item: Item, now: Int64, in transaction: WriteTransaction) throws {
    _ = try store.remember(item.image, now: now, in: transaction)
    guard !item.tag.isEmpty else { return }
    let key = TagKey(integration: item.image.integration, repository: item.image.repository, tag: item.tag)
    var record = try transaction.get(StateStore.tags, key) ?? TagRecord()
    if record.digest != item.image.digest { record.since = now }
    record.digest = item.image.digest
    record.decision = .selected
    if record.firstSeenAt == 0 { record.firstSeenAt = now }
    try store.put(record, key, now: now, in: transaction)
  }
}
