import Posix
import StorageMessages
import Store

/// The scan queue: durable jobs and the leases on them. Every change is one transaction of the state store, with the
/// job's record, its attempt's, its places in the indexes and the event that tells of it, so that it is on disk before
/// anybody hears of it.
package struct JobQueue: Sendable {
  /// Attempts of one job before a timeout or a transient failure becomes final (D13).
  package static let attemptsMaximum: UInt32 = 3
  /// Interruptions in a row before an image is given up, so that none can take the daemon down for ever (D13).
  package static let interruptionsMaximum: UInt32 = 5
  /// Attempt records kept of one job, whatever a person retries.
  package static let attemptsKept: UInt64 = 20

  package enum Priority: UInt8, Sendable, CaseIterable {
    case person = 0
    case newImage = 1
    case rescan = 2
  }

  /// What an integration may start now, as its scanner and its settings see it.
  package enum Gate: Sendable {
    case closed
    /// Only what a person asked for.
    case peopleOnly
    case open

    func admits(_ key: ReadyKey) -> Bool {
      switch self {
      case .closed: false
      case .peopleOnly: key.priority == Priority.person.rawValue
      case .open: true
      }
    }
  }

  /// A claim on a job by one scanner slot of this process. Every write proves its number.
  package struct Lease: Sendable, Equatable {
    package let job: JobRecord
    package var number: UInt64 { job.lease }
  }

  /// The lease was returned or its job was cancelled meanwhile: the result is not wanted any more.
  package struct StaleLease: Error, Equatable {
    package let job: UInt64
  }

  package struct Failure: Sendable, Equatable {
    package let code: String
    package let message: String
    package let hint: String
    /// It may mend itself: a later request may succeed.
    package let isTransient: Bool
    /// There is something else than an image.
    package let isNoImage: Bool

    package init(code: String, message: String, hint: String, isTransient: Bool = false, isNoImage: Bool = false) {
      self.code = code
      self.message = message
      self.hint = hint
      self.isTransient = isTransient
      self.isNoImage = isNoImage
    }

    static func cancelled(by actor: String) -> Failure {
      Failure(
        code: "CANCELLED", message: actor.isEmpty ? "cancelled" : "cancelled by \(actor)",
        hint: "queue it again with: tidewaiter queue retry")
    }

    package static let integrationRemoved = Failure(
      code: "INTEGRATION_REMOVED", message: "its integration was removed", hint: "")

    init(_ cancellation: CancellationRecord) {
      self = cancellation.isRemoval ? .integrationRemoved : .cancelled(by: cancellation.actor)
    }
  }

  /// How far an attempt came, for its record.
  package struct Progress: Sendable, Equatable {
    package var bytesFetched: UInt64
    package var layersDone: UInt32
    package init(bytesFetched: UInt64 = 0, layersDone: UInt32 = 0) {
      self.bytesFetched = bytesFetched
      self.layersDone = layersDone
    }
  }

  /// Told of a job that ended in error or was cancelled, with why, and of one that a person queued again (nil), in the
  /// transaction that does it: the job's image goes with it.
  package typealias Observer = @Sendable (JobRecord, Failure?, WriteTransaction) throws -> Void
  /// Reads a pattern for repositories: what it gives says which it matches.
  package typealias PatternReader = @Sendable (_ pattern: String) throws -> @Sendable (_ repository: String) -> Bool

  package let store: StateStore
  let clock: WallClock
  let observer: Observer
  let readPattern: PatternReader

  package init(
    store: StateStore, clock: WallClock = .system,
    readPattern: @escaping PatternReader = { pattern in { $0 == pattern } },
    observer: @escaping Observer = { _, _, _ in }
  ) {
    self.store = store
    self.clock = clock
    self.readPattern = readPattern
    self.observer = observer
  }

  /// Queues an image inside a transaction; an image already pending or in progress keeps its job, which is returned. A
  /// pending one comes forward where this asker's priority is higher.
  /// `actor` is who wants it, for the event log.
  package func enqueue(
    _ image: ImageKey, tag: String, priority: Priority, poll: UInt64 = 0, actor: String = "",
    in transaction: WriteTransaction
  ) throws -> (job: JobRecord, existed: Bool) {
    if let existing = try activeJob(of: image, in: transaction) {
      guard existing.state == .pending, UInt32(priority.rawValue) < existing.priority else { return (existing, true) }
      return (try move(existing, to: priority, actor: actor, in: transaction), true)
    }
    var job = JobRecord()
    job.id = try transaction.take("next_job")
    job.sequence = try transaction.take("next_sequence")
    job.integrationId = image.integration
    job.repository = image.repository
    job.digest = image.digest
    job.tag = tag
    job.state = .pending
    job.priority = UInt32(priority.rawValue)
    job.enqueuedAt = clock.now
    job.pollId = poll
    job.actor = actor
    try put(job, .jobQueued, actor: actor, in: transaction)
    try transaction.put(QueueTables.active, image, job.id)
    try transaction.put(QueueTables.ready, job.readyKey, job.id)
    try Self.count(job, by: 1, in: transaction)
    return (job, false)
  }

  /// The job of an image that has not ended. One that an open cancellation covers is cancelled first, so that the image
  /// can be queued anew at once.
  func activeJob(of image: ImageKey, in transaction: WriteTransaction) throws -> JobRecord? {
    guard let id = try transaction.get(QueueTables.active, image),
      let job = try transaction.get(QueueTables.jobs, id)
    else { return nil }
    guard let cancellation = try openCancellations(in: transaction).covering(job) else { return job }
    _ = try cancel(job, Failure(cancellation), actor: cancellation.actor, in: transaction)
    return nil
  }
}

extension JobRecord {
  package var imageKey: ImageKey { ImageKey(integration: integrationId, repository: repository, digest: digest) }
  var readyKey: ReadyKey {
    ReadyKey(integration: integrationId, priority: UInt8(clamping: priority), sequence: sequence)
  }
  var endedKey: EndedKey { EndedKey(state: state, endedAt: finishedAt, job: id) }
}
