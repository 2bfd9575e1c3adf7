import Posix
import StorageMessages
import Store

/// Cancelling a selection, however large, costs its caller one record. From its commit on nothing that it covers starts,
/// and every reader is shown it as cancelled; a batch at a time, whoever has the time carries it out.
///
/// Counts go along where that costs no look at jobs: what a selection covers that takes all of an integration, or of the
/// queue, is all that is pending, and is counted as cancelled from the same commit on (`isCounted`). Of one that chooses by
/// poll or repository nobody knows how much it covers until each job was looked at; that is counted as pending until it is
/// carried out, with the most that it can be beside it (`cancelling`).
extension JobQueue {
  /// Selections that may be open at a time: each is looked at for every job that is read.
  package static let openCancellationsMaximum = 32
  /// Jobs that one transaction of carrying it out looks at.
  private static let carriedOutBatch = 500

  /// Which jobs a change is for. What is empty matches everything.
  package struct Selection: Sendable, Equatable {
    package var integration: UInt64?
    package var poll: UInt64?
    /// A pattern.
    package var repository: String
    package var states: Set<JobState>
    package var errorCodes: Set<String>

    package init(
      integration: UInt64? = nil, poll: UInt64? = nil, repository: String = "", states: Set<JobState> = [],
      errorCodes: Set<String> = []
    ) {
      self.integration = integration
      self.poll = poll
      self.repository = repository
      self.states = states
      self.errorCodes = errorCodes
    }
  }

  /// Too many selections are being cancelled at once.
  package struct TooManyCancellations: Error, Equatable {}

  /// What a cancellation is about, its pattern read.
  fileprivate struct Extent: Sendable {
    let record: CancellationRecord
    let matchesRepository: (@Sendable (String) -> Bool)?

    init(_ record: CancellationRecord, _ readPattern: PatternReader) throws {
      self.record = record
      matchesRepository = record.repository.isEmpty ? nil : try readPattern(record.repository)
    }

    /// Every job of an integration, or of all.
    var isWhole: Bool { record.pollId == 0 && matchesRepository == nil }

    func concerns(integration: UInt64) -> Bool { record.integrationId == 0 || record.integrationId == integration }

    func concerns(_ job: JobRecord) -> Bool {
      concerns(integration: job.integrationId) && (record.pollId == 0 || record.pollId == job.pollId)
        && (matchesRepository?(job.repository) ?? true)
    }
  }

  /// The selections that are not carried out yet, as one transaction sees them.
  package struct OpenCancellations: Sendable {
    fileprivate let extents: [(number: UInt64, extent: Extent)]

    package var isEmpty: Bool { extents.isEmpty }

    /// The one that makes a pending job a cancelled one; nil for a job that none covers.
    func covering(_ job: JobRecord) -> CancellationRecord? {
      guard !extents.isEmpty, job.state == .pending else { return nil }
      return extents.first { job.sequence <= $0.extent.record.throughSequence && $0.extent.concerns(job) }?
        .extent.record
    }

    /// Whatever of an integration was received up to here is cancelled; 0 where that cannot be said of all of it.
    func wholeThrough(of integration: UInt64) -> UInt64 {
      extents.filter { $0.extent.isWhole && $0.extent.concerns(integration: integration) }
        .map(\.extent.record.throughSequence).max() ?? 0
    }

    /// The job as it is shown: what is covered is cancelled since it was asked for.
    package func view(_ job: JobRecord) -> JobRecord {
      guard let record = covering(job) else { return job }
      var job = job
      job.state = .cancelled
      job.take(JobQueue.Failure(record))
      job.notBefore = 0
      job.finishedAt = record.requestedAt
      return job
    }
  }

  package func openCancellations(in transaction: ReadTransaction) throws -> OpenCancellations {
    var extents: [(number: UInt64, extent: Extent)] = []
    try transaction.scan(QueueTables.cancellations) { number, record in
      extents.append((number, try Extent(record, readPattern)))
      return true
    }
    return OpenCancellations(extents: extents)
  }

  /// What cancelling a selection did at once.
  package struct SelectionCancelled: Sendable, Equatable {
    /// At most so many jobs are covered.
    package let matchedMaximum: UInt64
    /// Leases that were ended: their attempts are to be stopped.
    package let leases: [UInt64]
  }

  /// Cancels every job of `selection` that has not ended. Those that run end now, their attempts as far as `progress` says; pending ones are covered from now on.
  package func cancel(
    _ selection: Selection, actor: String,
    progress: @escaping @Sendable (_ job: UInt64) -> Progress = { _ in Progress() }
  ) async throws -> SelectionCancelled {
    try await store.write { transaction in
      var record = CancellationRecord()
      record.integrationId = selection.integration ?? 0
      record.pollId = selection.poll ?? 0
      record.repository = selection.repository
      record.actor = actor
      let opens = selection.states.isEmpty || selection.states.contains(.pending)
      if opens, try transaction.count(QueueTables.cancellations) >= Self.openCancellationsMaximum {
        throw TooManyCancellations()
      }
      let outcome = try cancel(record, selection.states, progress, in: transaction)
      try tell(.queueCancelled, selection, matchedMaximum: outcome.matchedMaximum, actor: actor, in: transaction)
      return outcome
    }
  }

  /// Cancels whatever there is of an integration, inside the transaction that begins its removal, and ends its pause.
  package func cancelAll(ofRemoved integration: UInt64, in transaction: WriteTransaction) throws {
    var record = CancellationRecord()
    record.integrationId = integration
    record.isRemoval = true
    _ = try cancel(record, [], { _ in Progress() }, in: transaction)
    try transaction.delete(QueueTables.pauses, integration)
  }

  private func cancel(
    _ wanted: CancellationRecord, _ states: Set<JobState>, _ progress: (UInt64) -> Progress,
    in transaction: WriteTransaction
  ) throws -> SelectionCancelled {
    var record = wanted
    record.requestedAt = clock.now
    record.throughSequence = try transaction.next("next_sequence") - 1
    record.throughId = try transaction.next("next_job") - 1
    let extent = try Extent(record, readPattern)
    let wantsPending = states.isEmpty || states.contains(.pending)
    var ended: [UInt64] = []
    for id in try leases(in: transaction).keys.sorted() {
      guard var job = try transaction.get(QueueTables.jobs, id), extent.concerns(job) else { continue }
      if states.isEmpty || states.contains(job.state) {
        ended.append(job.lease)
        _ = try cancel(job, Failure(record), progress(id), actor: record.actor, in: transaction)
      } else if wantsPending {
        // Should it come back to the queue, it is none of those that were pending.
        job.sequence = try transaction.take("next_sequence")
        try transaction.put(QueueTables.jobs, id, job)
      }
    }
    var matched = UInt64(ended.count)
    if wantsPending {
      let integration = record.integrationId == 0 ? nil : record.integrationId
      matched += try counts(of: integration, in: transaction)[.pending] ?? 0
      record.isCounted = extent.isWhole
      if record.isCounted { try countPendingAsCancelled(of: integration, in: transaction) }
      try transaction.put(QueueTables.cancellations, try transaction.take("next_cancellation"), record)
    }
    return SelectionCancelled(matchedMaximum: matched, leases: ended)
  }

  /// Whether the counts have a pending job as cancelled already.
  func isCountedAsCancelled(_ job: JobRecord, in transaction: ReadTransaction) throws -> Bool {
    var isCounted = false
    try transaction.scan(QueueTables.cancellations) { _, record in
      isCounted =
        record.isCounted && job.sequence <= record.throughSequence
        && (record.integrationId == 0 || record.integrationId == job.integrationId)
      return !isCounted
    }
    return isCounted
  }

  /// Pending jobs, by integration, of which it is not known how many are being cancelled: at most so many.
  package func cancelling() throws -> [UInt64: UInt64] {
    try store.read { transaction in
      var open: [CancellationRecord] = []
      try transaction.scan(QueueTables.cancellations) { _, record in
        if !record.isCounted { open.append(record) }
        return true
      }
      if open.isEmpty { return [:] }
      var found: [UInt64: UInt64] = [:]
      try scanCounts(of: nil, in: transaction) { integration, state, count in
        guard state == .pending else { return }
        let left = open.filter { $0.integrationId == 0 || $0.integrationId == integration }
          .reduce(0 as UInt64) { $0 + ($1.throughId - min($1.position, $1.throughId)) }
        if left > 0 { found[integration] = min(count, left) }
      }
      return found
    }
  }

  /// Selections that are not carried out to their end.
  package func openCancellationCount() throws -> Int { try store.read { try $0.count(QueueTables.cancellations) } }

  /// Carries out a batch of the oldest open selection; false when there was none.
  package func carryOutCancellations() async throws -> Bool {
    if try openCancellationCount() == 0 { return false }
    return try await store.write { transaction in
      guard let (number, extent) = try openCancellations(in: transaction).extents.first else { return false }
      let first = extent.record
      let one = OpenCancellations(extents: [(number, extent)])
      var record = first
      var covered: [JobRecord] = []
      let next = try step(
        after: first.position, through: first.throughId, limit: Self.carriedOutBatch * 10, in: transaction
      ) { job in
        if one.covering(job) != nil { covered.append(job) }
        return covered.count < Self.carriedOutBatch
      }
      record.position = next ?? record.throughId
      for job in covered {
        _ = try cancel(job, Failure(record), actor: record.actor, in: transaction)
      }
      record.cancelled += UInt64(covered.count)
      if record.position >= record.throughId {
        try transaction.delete(QueueTables.cancellations, number)
      } else {
        try transaction.put(QueueTables.cancellations, number, record)
      }
      return true
    }
  }

  /// A selection with its pattern read.
  struct Filter: Sendable {
    private let selection: Selection
    private let matchesRepository: (@Sendable (String) -> Bool)?

    init(_ selection: Selection, _ readPattern: PatternReader) throws {
      self.selection = selection
      matchesRepository = selection.repository.isEmpty ? nil : try readPattern(selection.repository)
    }

    /// Whether a job, as it is shown, is one of the selection.
    func matches(_ job: JobRecord) -> Bool {
      (selection.integration.map { job.integrationId == $0 } ?? true)
        && (selection.poll.map { job.pollId == $0 } ?? true)
        && (selection.states.isEmpty || selection.states.contains(job.state))
        && (selection.errorCodes.isEmpty || selection.errorCodes.contains(job.errorCode))
        && (matchesRepository?(job.repository) ?? true)
    }
  }
}

extension JobQueue.Selection {
  /// The same with other states.
  init(of selection: JobQueue.Selection, states: Set<JobState>) {
    self = selection
    self.states = states
  }
}
