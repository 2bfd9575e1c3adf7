import Posix
import StorageMessages

/// The event log: what happened, in order, written in the transactions that made it so. Who follows it reads from a
/// position of its own, and is told by `StateStore.feed` that there is more.
extension StateStore {
  /// Events that are kept at least, once there were so many; with a batch more at times.
  package static let eventsKept = 200_000
  /// Events that one transaction takes away when there are too many, so that writers never wait long for it.
  static let eventsTrimmed = 1_000

  /// An event with its place in the log.
  package typealias NumberedEvent = (sequence: UInt64, event: EventRecord)

  /// Where the log begins and ends; both are 0 for an empty one.
  package struct EventRange: Sendable, Equatable {
    package var oldest: UInt64 = 0
    package var newest: UInt64 = 0
    package init() {}

    /// Whether everything after `sequence` is still there.
    package func reaches(back sequence: UInt64) -> Bool { newest == 0 || sequence >= oldest - 1 }
  }

  /// Events that are not there any more were asked for: the log begins at `oldest`.
  package struct EventsGone: Error, Equatable {
    package let oldest: UInt64
  }

  // MARK: - Writing

  /// An event that is about a job or its image, without what came of them.
  package func event(
    _ kind: EventKind, of job: JobRecord, time: Int64, in transaction: ReadTransaction
  ) throws -> EventRecord {
    var event = EventRecord(kind, time: time)
    event.integration = try integrationName(job.integrationId, in: transaction)
    event.integrationId = job.integrationId
    event.repository = job.repository
    event.tag = job.tag
    event.digest = job.digest
    event.jobId = job.id
    event.pollId = job.pollId
    return event
  }

  /// Adds to the log.
  package func append(_ event: EventRecord, in transaction: WriteTransaction) throws {
    let sequence = try transaction.take("next_event")
    try transaction.put(Self.events, sequence, event)
    transaction.announce(sequence)
    let count = try transaction.count(Self.events)
    if count > eventsMaximum + Self.eventsTrimmed {
      _ = try transaction.deleteAll(Self.events, prefix: { _ in }, limit: count - eventsMaximum)
    }
  }

  // MARK: - Reading

  package static func eventRange(in transaction: ReadTransaction) throws -> EventRange {
    var range = EventRange()
    try transaction.scan(events) { sequence, _ in
      range.oldest = sequence
      return false
    }
    try transaction.scanBackwards(events) { sequence, _ in
      range.newest = sequence
      return false
    }
    return range
  }

  /// The next events after `sequence`, at most `limit`. Throws `EventsGone` where some of them are gone.
  package func events(after sequence: UInt64, limit: Int) throws -> [NumberedEvent] {
    try read { transaction in
      var found: [NumberedEvent] = []
      guard sequence < .max else { return found }
      try transaction.scan(Self.events, from: sequence + 1) { sequence, event in
        found.append((sequence, event))
        return found.count < limit
      }
      // Numbers have no gaps: another first one means that those before it went.
      if let first = found.first, first.sequence != sequence + 1 { throw EventsGone(oldest: first.sequence) }
      return found
    }
  }
}

extension EventRecord {
  package init(_ kind: EventKind, time: Int64) {
    self.init()
    self.kind = kind.rawValue
    self.time = time
  }

  /// An event of an integration.
  package init(_ kind: EventKind, _ integration: IntegrationRecord, time: Int64, actor: String = "") {
    self.init(kind, time: time)
    self.integration = integration.name
    integrationId = integration.id
    self.actor = actor
  }
}
