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

    package init(image: ImageKey, tag: String) {
      self.image = image
      self.tag = tag
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

  /// Queues images that a person added by name. Those of an integration that is being removed meanwhile are refused as a
  /// whole. `actor` is who wants them, for the event log.
  package func queue(_ items: [Item], priority: JobQueue.Priority, actor: String = "") async throws -> [Outcome] {
    if items.isEmpty { return [] }
    let outcomes = try await store.write { [self] transaction in
      let now = clock.now
      for integration in Set(items.map(\.image.integration)) {
        try StateStore.requireIntegration(integration, in: transaction)
      }
      return try items.map { item in
        if !item.tag.isEmpty { try note(item, addedBy: actor, now: now, in: transaction) }
        return try queue(item.image, tag: item.tag, priority: priority, actor: actor, in: transaction)
      }
    }
    announce()
    return outcomes
  }

  /// Queues one image inside a transaction. `createdAt` is its config's date, nanoseconds since 1970, 0 for none. Whoever makes it calls `announceQueued` when it is on disk.
  func queue(
    _ image: ImageKey, tag: String, createdAt: Int64 = 0, priority: JobQueue.Priority, poll: UInt64 = 0,
    actor: String = "", in transaction: WriteTransaction
  ) throws -> Outcome {
    let (job, existed) = try queue.enqueue(
      image, tag: tag, priority: priority, poll: poll, actor: actor, in: transaction)
    // After it: an enqueue may cancel the job that the image had, which changes its record.
    var (record, _) = try store.recall(image, now: clock.now, in: transaction)
    if createdAt != 0 { record.createdAt = createdAt }
    record.lastJobId = job.id
    if poll != 0 { record.lastPollId = poll }
    record.status = .queued
    record.statusReason = ""
    record.isRetried = false
    record.untagged = false
    record.untaggedAt = 0
    try transaction.put(StateStore.images, image, record)
    return Outcome(job: job, existed: existed)
  }

  /// Tells the scanner that there is something to do.
  func announceQueued() { announce() }

  /// A tag by which a person added an image.
  private func note(_ item: Item, addedBy actor: String, now: Int64, in transaction: WriteTransaction) throws {
    let key = TagKey(integration: item.image.integration, repository: item.image.repository, tag: item.tag)
    let previous = try transaction.get(StateStore.tags, key)
    var record = previous ?? TagRecord()
    if record.digest != item.image.digest || record.isGone {
      record.digest = item.image.digest
      record.since = now
    }
    record.goneAt = 0
    record.decision = .selected
    record.taken = true
    record.reasonCode = TagReason.addedByHand.rawValue
    record.reason = "added by hand" + (actor.isEmpty ? "" : ", by \(actor)")
    record.decidedAt = now
    record.pollId = 0
    if record.firstSeenAt == 0 { record.firstSeenAt = previous?.since ?? now }
    try store.put(record, key, now: now, in: transaction)
    guard let previous, !previous.isGone, !previous.digest.isEmpty, previous.digest != record.digest else { return }
    let repository = RepositoryKey(integration: key.integration, repository: key.repository)
    try store.setGone([previous.digest], of: repository, now: now, in: transaction)
  }
}

/// Why a tag is in its state, beside the reasons of selection (`Selection.Reason.Code`) and the codes of `RegistryError`.
package enum TagReason: String, Sendable, CaseIterable {
  case addedByHand = "added_by_hand"
  /// A chart, a signature, a manifest of another kind.
  case notAnImage = "not_an_image"
  /// An image of a form that cannot be scanned, such as schema 1.
  case unsupported
  /// None of the selected platforms is in the index.
  case noPlatform = "no_platform"
  /// The date of another tag of the repository could not be read, so the newest are not known.
  case datesUnknown = "dates_unknown"
  /// The repository is there, but the registry's listing does not name it any more.
  case notListed = "not_listed"
  /// A tag is listed, but its manifest is not there.
  case notFound = "not_found"
  case gone
}
