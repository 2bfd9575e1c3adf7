import Posix
import StorageMessages
import Store

/// Cancelling a selection, however large, costs its caller one record. From its commit on nothing that it covers starts,
/// and every reader is shown it as cancelled; a batch at a time, whoever has the time carries it out.
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

  /// The selections that are not carried out yet, as one transaction sees them.
  struct OpenCancellations {
    let records: [(number: UInt64, record: CancellationRecord)]
    let matchesPattern: PatternMatch

    var isEmpty: Bool { records.isEmpty }

    /// The one that makes a pending job a cancelled one; nil for a job that none covers.
    func covering(_ job: JobRecord) -> CancellationRecord? {
      guard !records.isEmpty, job.state == .pending else { return nil }
      return records.first { number, record in
        job.sequence <= record.throughSequence && job.spared < number
          && JobQueue.concerns(record, job, matchesPattern)
      }?
      .record
    }

    /// The job as it is shown: what is covered is cancelled since it was asked for.
    func view(_ job: JobRecord) -> JobRecord {
      guard let record = covering(job) else { return job }
      var job = job
      job.state = .cancelled
      job.take(JobQueue.Failure(record))
      job.notBefore = 0
      job.finishedAt = record.requestedAt
      return job
    }
  }

  func openCancellations(in transaction: ReadTransaction) throws -> OpenCancellations {
    var records: [(number: UInt64, record: CancellationRecord)] = []
    try transaction.scan(QueueTables.cancellations) { number, record in
      records.append((number, record))
      return true
    }
    return OpenCancellations(records: records, matchesPattern: matchesPattern)
  }

  /// What cancelling a selection did at once.
  package struct SelectionCancelled: Sendable, Equatable {
    /// At most so many jobs are covered.
    package let matchedMaximum: UInt64
    /// Leases that were ended: their attempts are to be stopped.
    package let leases: [UInt64]
  }

  /// Cancels every job of `selection` that has not ended. Those that run end now; pending ones are covered from now on.
  package func cancel(_ selection: Selection, actor: String) async throws -> SelectionCancelled {
    try await store.write { transaction in
      guard try transaction.count(QueueTables.cancellations) < Self.openCancellationsMaximum else {
        throw TooManyCancellations()
      }
      var record = CancellationRecord()
      record.integrationId = selection.integration ?? 0
      record.pollId = selection.poll ?? 0
      record.repository = selection.repository
      record.actor = actor
      let outcome = try cancel(record, selection.states, in: transaction)
      var event = EventRecord(.queueCancelled, time: clock.now)
      if let integration = selection.integration {
        event.integrationId = integration
        event.integration = try store.integrationName(integration, in: transaction)
      }
      event.repository = selection.repository
      event.pollId = selection.poll ?? 0
      event.actor = actor
      event.detail = "at most \(outcome.matchedMaximum) jobs"
      try store.append(event, in: transaction)
      return outcome
    }
  }

  /// Cancels whatever there is of an integration, inside the transaction that begins its removal, and ends its pause.
  package func cancelAll(ofRemoved integration: UInt64, in transaction: WriteTransaction) throws {
    var record = CancellationRecord()
    record.integrationId = integration
    record.isRemoval = true
    _ = try cancel(record, [], in: transaction)
    try transaction.delete(QueueTables.pauses, integration)
  }

  private func cancel(
    _ wanted: CancellationRecord, _ states: Set<JobState>, in transaction: WriteTransaction
  ) throws -> SelectionCancelled {
    var record = wanted
    record.requestedAt = clock.now
    record.throughSequence = (try transaction.get(StateStore.meta, "next_sequence") ?? 1) - 1
    record.throughId = (try transaction.get(StateStore.meta, "next_job") ?? 1) - 1
    let number = try Self.take("next_cancellation", in: transaction)
    let wantsPending = states.isEmpty || states.contains(.pending)
    var leases: [UInt64] = []
    for id in try self.leases(in: transaction).keys.sorted() {
      guard var job = try transaction.get(QueueTables.jobs, id), concerns(record, job) else { continue }
      if states.isEmpty || states.contains(job.state) {
        leases.append(job.lease)
        _ = try cancel(job, Failure(record), actor: record.actor, in: transaction)
      } else if wantsPending {
        job.spared = number
        try transaction.put(QueueTables.jobs, id, job)
      }
    }
    var matched = UInt64(leases.count)
    if wantsPending {
      try transaction.put(QueueTables.cancellations, number, record)
      let integration = record.integrationId == 0 ? nil : record.integrationId
      matched += try counts(of: integration, in: transaction)[.pending] ?? 0
    }
    return SelectionCancelled(matchedMaximum: matched, leases: leases)
  }

  private func concerns(_ record: CancellationRecord, _ job: JobRecord) -> Bool {
    Self.concerns(record, job, matchesPattern)
  }

  fileprivate static func concerns(
    _ record: CancellationRecord, _ job: JobRecord, _ matchesPattern: PatternMatch
  ) -> Bool {
    (record.integrationId == 0 || record.integrationId == job.integrationId)
      && (record.pollId == 0 || record.pollId == job.pollId)
      && (record.repository.isEmpty || matchesPattern(record.repository, job.repository))
  }

  /// Selections that are not carried out to their end.
  package func openCancellationCount() throws -> Int { try store.read { try $0.count(QueueTables.cancellations) } }

  /// Carries out a batch of the oldest open selection; false when there was none.
  package func carryOutCancellations() async throws -> Bool {
    if try openCancellationCount() == 0 { return false }
    return try await store.write { transaction in
      let open = try openCancellations(in: transaction)
      guard let (number, first) = open.records.first else { return false }
      let one = OpenCancellations(records: [(number, first)], matchesPattern: matchesPattern)
      var record = first
      var covered: [JobRecord] = []
      var lookedAt = 0
      record.position = record.throughId
      if first.position < first.throughId {
        try transaction.scan(QueueTables.jobs, from: first.position + 1) { id, job in
          guard id <= first.throughId else { return false }
          lookedAt += 1
          if one.covering(job) != nil { covered.append(job) }
          guard lookedAt < Self.carriedOutBatch * 10, covered.count < Self.carriedOutBatch else {
            record.position = id
            return false
          }
          return true
        }
      }
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

  /// Whether a job, as it is shown, is one of a selection.
  func matches(_ job: JobRecord, _ selection: Selection) -> Bool {
    (selection.integration.map { job.integrationId == $0 } ?? true)
      && (selection.poll.map { job.pollId == $0 } ?? true)
      && (selection.states.isEmpty || selection.states.contains(job.state))
      && (selection.errorCodes.isEmpty || selection.errorCodes.contains(job.errorCode))
      && (selection.repository.isEmpty || matchesPattern(selection.repository, job.repository))
  }
}

extension JobQueue.Selection {
  /// The same with other states.
  init(of selection: JobQueue.Selection, states: Set<JobState>) {
    self = selection
    self.states = states
  }
}
