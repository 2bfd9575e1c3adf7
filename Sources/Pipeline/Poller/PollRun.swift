import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store

/// One run over a registry that chooses images, queues them, and keeps the ledger of repositories and tags.
struct PollRun: RegistryWalk.Visitor {
  let integration: IntegrationRecord
  let client: RegistryClient
  let criteria: Criteria
  let store: StateStore
  let intake: Intake
  let clock: WallClock
  let poll: UInt64
  /// The moment that decisions are made for.
  let now: Timestamp
  let rows: RepositoryRows
  /// The run before was cut off: it may have left things half done.
  let followsCutOff: Bool
  /// Changes the poll's record, which clients see at once.
  let report: @Sendable ((inout PollRecord) -> Void) -> Void

  func run() async throws {
    let notes = integration.exposures
    report { $0.notes = notes }
    do {
      let walk = try await RegistryWalk(client: client, criteria: criteria).run(self)
      note(walk)
      try await passOver(walk.summary.passedOverNames)
      if walk.isComplete { try await lookForMissing(walk) }
    } catch {
      // What was done is known for the next run, whatever ended this one.
      try await rows.flush()
      throw RegistryWalk.Suspended(error, client) ?? error
    }
    try await rows.flush()
  }

  private var examination: RepositoryExamination {
    RepositoryExamination(integration: integration, client: client, criteria: criteria, store: store, now: now)
  }

  func key(_ listed: ListedRepository) -> RepositoryKey {
    RepositoryKey(integration: integration.id, repository: listed.repository.path)
  }

  // MARK: - Repositories

  func found(_ repository: ListedRepository) { report { $0.repositories.add(1) } }

  func visit(_ listed: ListedRepository) async throws {
    let key = key(listed)
    let row = try rows.row(key)
    // A suspended poll goes on where it was.
    if row?.pollId == poll { return }
    if let reason = try examination.rejection(of: listed.repository) {
      // Tags that were listed before the criteria passed over their repository whole.
      if let row, row.state != .rejected || row.reason != reason.text {
        try await decide(onTagsOf: key, .rejected, reason.code.rawValue, reason.text)
      }
      return try await rows.put(key, kind: listed.kind, .rejected, reason.code.rawValue, reason.text, poll: poll)
    }
    let writer = RepositoryWriter(RepositoryPoll(run: self, repository: key))
    let outcome = try await examination.examine(listed) { try await writer.poll.take($0) }
    let absentees = try await examination.missing(from: outcome, of: listed.repository)
    try await writer.poll.end(gone: absentees.gone)
    let counted = writer.poll.counted
    report { record in
      record.add(counted)
      for note in outcome.notes { record.note(note) }
      // Some registries go on listing what they have no more.
      if let absent = outcome.absent, row == nil { record.note("\(listed.repository): \(absent.message)") }
      record.errorCount.add(outcome.unreadable)
      guard let why = outcome.incomplete ?? absentees.whyIncomplete else { return }
      record.isPartial = true
      record.note("\(listed.repository): partial: the list of tags: \(why)")
    }
    try await rows.put(
      key, kind: listed.kind, .listed, poll: poll, tags: outcome.tags,
      isComplete: outcome.incomplete == nil && absentees.there == 0)
  }

  /// The one who writes while a repository is examined: one part after the other.
  private final class RepositoryWriter {
    var poll: RepositoryPoll
    init(_ poll: RepositoryPoll) { self.poll = poll }
  }

  func left(_ listed: ListedRepository, _ failure: RegistryError?) async throws {
    report { record in
      record.repositoriesDone.add(1)
      guard let failure else { return }
      record.isPartial = true
      record.note("\(listed.repository): \(failure.message)")
    }
    guard let failure else { return }
    try await rows.put(
      key(listed), kind: listed.kind, .failed, failure.reasonCode, failure.message, poll: poll)
  }

  /// Decides on every tag of a repository that is there, without looking at it.
  private func decide(
    onTagsOf key: RepositoryKey, _ decision: TagDecision, _ code: String, _ reason: String
  ) async throws {
    var last: String?
    while true {
      let from = last
      last = try await store.write { [store, integration, clock, poll] transaction -> String? in
        try StateStore.requireIntegration(integration.id, in: transaction)
        var part: [(TagKey, TagRecord)] = []
        try store.tags(of: key, after: from, in: transaction) { key, record in
          part.append((key, record))
          return part.count < 1000
        }
        for (key, record) in part where !record.isGone {
          var changed = record
          changed.taken = record.isTaken
          changed.decision = decision
          changed.reasonCode = code
          changed.reason = reason
          guard changed != record else { continue }
          changed.decidedAt = clock.now
          changed.pollId = poll
          try transaction.put(StateStore.tags, key, changed)
        }
        return part.last?.0.tag
      }
      if last == nil { return }
    }
  }

  // MARK: - What the listing itself tells

  private func note(_ walk: RegistryWalk.Outcome) {
    let summary = walk.summary
    report { record in
      for rejected in summary.rejectedExamples {
        record.note("repository \"\(rejected.name)\": \(rejected.reason)")
      }
      // The examples are noted one by one; the count tells of all.
      record.errorCount.add(summary.rejected - summary.rejectedExamples.count)
      if summary.notImages > 0 {
        record.repositoriesSkipped.add(summary.notImages)
        record.notes.append("not polled: \(summary.notImages) repositories of something else than images")
      }
      if let why = summary.incomplete {
        record.isPartial = true
        record.note("partial: the list of repositories: \(why)")
      }
      record.noteSkipped(summary)
      guard let closed = walk.closed else { return }
      record.isPartial = true
      record.note("partial: only repositories that the criteria name in full were looked at: \(closed.message)")
    }
  }

  private func passOver(_ names: [ListingSummary.PassedOver]) async throws {
    for passed in names {
      let key = RepositoryKey(integration: integration.id, repository: passed.name)
      let (code, reason) = (passed.kind.rawValue, passed.kind.whyPassedOver)
      if let row = try rows.row(key), row.state != .skipped {
        // It was polled as long as such repositories were included.
        try await decide(onTagsOf: key, .skipped, code, reason)
      }
      try await rows.put(key, kind: passed.kind, .skipped, code, reason, poll: poll, count: passed.count)
    }
  }

  private func lookForMissing(_ walk: RegistryWalk.Outcome) async throws {
    try await rows.flush()
    let missing = MissingRepositories(integration: integration, client: client, store: store, now: now)
    let found = try await missing.found(
      names: walk.names, areas: walk.summary.passedOverNames, except: poll)
    for (key, record, finding) in found {
      try Task.checkCancellation()
      switch finding {
      case .passedOver(let kind):
        try await decide(onTagsOf: key, .skipped, kind.rawValue, kind.whyPassedOver)
        try await rows.forget(key)
      case .gone where record.state == .skipped: try await rows.forget(key)
      case .gone: try await end(key, record)
      case .unlisted:
        let reason = "it is there, but the registry's listing does not name it any more: see the scopes and rights"
        try await decide(onTagsOf: key, .rejected, TagReason.notListed.rawValue, reason)
        try await rows.put(
          key, kind: record.repositoryKind, .unlisted, TagReason.notListed.rawValue, reason, poll: poll)
      case .unreadable(let error):
        report { $0.note("\(key.repository): \(error.message)") }
        try await rows.put(
          key, kind: record.repositoryKind, .failed, error.reasonCode, error.message, poll: poll)
      }
    }
  }

  /// A repository is gone, with all its tags.
  private func end(_ key: RepositoryKey, _ record: RepositoryRecord) async throws {
    var writer = RepositoryPoll(run: self, repository: key)
    try await writer.end(gone: try store.presentTags(of: key))
    let counted = writer.counted
    report { record in
      record.add(counted)
      record.repositoriesGone.add(1)
    }
    try await rows.put(
      key, kind: record.repositoryKind, .gone, TagReason.gone.rawValue, "the registry does not have it any more",
      poll: poll)
  }
}

extension RepositoryRecord {
  fileprivate var repositoryKind: RepositoryKind { RepositoryKind(rawValue: kind) ?? .local }
}
