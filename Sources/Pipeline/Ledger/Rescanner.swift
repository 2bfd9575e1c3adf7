import Queue
import StorageMessages
import Store

/// Queues images that are known once more. What was decided on their tags stays as it is.
package struct Rescanner: Sendable {
  /// Images queued, and looked at, in one transaction: some tens of milliseconds of work, so that other writers have their
  /// turn in between, and not so little that its sync is most of it.
  private static let batch = 2_000
  private static let lookedAtMaximum = 5_000

  /// What became of the images of one or of all integrations.
  package struct Summary: Sendable, Equatable {
    package var queued: UInt64 = 0
    /// Were pending or in progress already.
    package var existed: UInt64 = 0
    /// The jobs that were made lie between these two; 0: none.
    package var firstJob: UInt64 = 0
    package var lastJob: UInt64 = 0

    package init() {}

    package mutating func count(_ outcome: Intake.Outcome) {
      if outcome.existed {
        existed += 1
      } else {
        queued += 1
        if firstJob == 0 { firstJob = outcome.job.id }
        lastJob = outcome.job.id
      }
    }
  }

  private let store: StateStore
  private let intake: Intake

  package init(store: StateStore, intake: Intake) {
    self.store = store
    self.intake = intake
  }

  /// Queues `images` as a person's request: all, or none when one is not known any more or its integration is being
  /// removed. Each keeps the tag that it was asked for by.
  package func queue(
    _ images: [(key: ImageKey, tag: String)], actor: String
  ) async throws -> [Intake.Outcome] {
    let outcomes = try await store.write { [intake] transaction in
      for integration in Set(images.map(\.key.integration)) {
        try StateStore.requireIntegration(integration, in: transaction)
      }
      return try images.map { image in
        try intake.queue(image.key, tag: image.tag, priority: .person, actor: actor, in: transaction)
      }
    }
    intake.announceQueued()
    return outcomes
  }

  /// Queues every image that is not gone, of one integration or of all, behind what is new.
  package func queueAll(of integration: UInt64?, actor: String) async throws -> Summary {
    var summary = Summary()
    var position: ImageKey?
    repeat {
      try Task.checkCancellation()
      (summary, position) = try await store.write { [self, summary, position] transaction in
        var summary = summary
        let (images, next) = try batch(of: integration, after: position, in: transaction)
        for image in images {
          summary.count(
            try intake.queue(image.key, tag: image.tag, priority: .rescan, actor: actor, in: transaction))
        }
        return (summary, next)
      }
      intake.announceQueued()
    } while position != nil
    return summary
  }

  /// The next images, with the tags they were last queued by.
  private func batch(
    of integration: UInt64?, after: ImageKey?, in transaction: ReadTransaction
  ) throws -> ([(key: ImageKey, tag: String)], ImageKey?) {
    if let integration { try StateStore.requireIntegration(integration, in: transaction) }
    var present: [UInt64: Bool] = [:]
    var found: [(ImageKey, String)] = []
    let next = try transaction.step(
      StateStore.images, prefix: { if let integration { $0.append(integration) } }, after: after,
      limit: Self.lookedAtMaximum
    ) { key, image in
      let isPresent =
        try present[key.integration]
        ?? (transaction.get(StateStore.integrations, key.integration).map { !$0.deleting } ?? false)
      present[key.integration] = isPresent
      guard isPresent, image.status != .gone else { return true }
      found.append((key, try Ledger.job(of: image, in: transaction)?.tag ?? ""))
      return found.count < Self.batch
    }
    return (found, next)
  }
}
