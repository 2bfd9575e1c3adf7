import Inventory
import Queue
import StorageMessages
import Store

/// The rules of one collection.
///
/// What a job that has not ended or an image that is kept needs stays: an image that a tag points to, or whose job has not
/// ended, keeps its reports; a layer that a report names, its analysis; a layer that an attempt may go on with, too.
struct RetentionRules: Sendable {
  let settings: RetentionSettings
  let store: StateStore
  let queue: JobQueue
  let sweeper: Sweeper
  let now: Int64

  func apply(to outcome: inout RetentionOutcome) async throws {
    try await collectConfirmations(&outcome)
    try await collectEvents(&outcome)
    try await collectJobs(&outcome)
    try await collectPolls(&outcome)
    try await collectRepositories(&outcome)
    outcome.add(
      .imageFacts, try await FactsSweep(sweeper: sweeper, before: limit(days: settings.tagsDays)).run(),
      "read \(days(settings.tagsDays)) ago or earlier of a digest that no tag points to")
    try await collectTags(&outcome)
    try await collectImages(&outcome)
    try await collectLayers(&outcome)
  }

  private func limit(days: Int) -> Int64 { now - Int64(days) * 86_400 * 1_000_000_000 }
  private func days(_ count: Int) -> String { count == 1 ? "a day" : "\(count) days" }

  // MARK: - Rows that go by their age

  private func collectEvents(_ outcome: inout RetentionOutcome) async throws {
    let limit = limit(days: settings.eventsDays)
    // The newest one stays, so that positions in the log stay good.
    let newest = try store.read { try StateStore.eventRange(in: $0).newest }
    let count = try await sweeper.sweep(StateStore.events) { sequence, event, _ in
      sequence < newest && event.time < limit ? .remove : .end
    }
    outcome.add(.events, count, "older than \(days(settings.eventsDays))")
  }

  private func collectJobs(_ outcome: inout RetentionOutcome) async throws {
    let limit = limit(days: settings.jobsDays)
    var count: UInt64 = 0
    for state in JobState.all where state.isFinal {
      count += try await sweeper.sweep(QueueTables.ended, prefix: { $0.append(UInt8(clamping: state.rawValue)) }) {
        [queue] key, _, transaction in
        guard key.endedAt < UInt64(max(0, limit)) else { return .end }
        return try queue.hasEnded(key, in: transaction) ? .remove : .keep
      } remove: { [queue] key, _, transaction in
        try queue.forget(key, in: transaction)
      }
    }
    outcome.add(.jobs, count, "ended \(days(settings.jobsDays)) ago, with their attempts")
  }

  private func collectPolls(_ outcome: inout RetentionOutcome) async throws {
    let limit = limit(days: settings.pollsDays)
    let kept = try oldestKeptPolls()
    let count = try await sweeper.sweep(StateStore.polls) { key, poll, _ in
      guard let oldest = kept[key.integration], key.poll < oldest, poll.isEnded, poll.finishedAt < limit else {
        return .keep
      }
      return .remove
    }
    outcome.add(
      .polls, count,
      "older than \(days(settings.pollsDays)), and not among the last \(settings.pollsMinimum) of their integration")
  }

  /// By integration, the oldest of those polls that are kept whatever their age; none where all are.
  private func oldestKeptPolls() throws -> [UInt64: UInt64] {
    var kept: [UInt64: UInt64] = [:]
    for integration in try integrations().keys {
      let newest = try store.polls(of: integration, limit: settings.pollsMinimum)
      if newest.count == settings.pollsMinimum { kept[integration] = newest.last?.id }
    }
    return kept
  }

  /// Integrations by id. Those that are being removed look after their rows themselves.
  private func integrations() throws -> [UInt64: IntegrationRecord] {
    try store.read { transaction in
      var found: [UInt64: IntegrationRecord] = [:]
      try transaction.scan(StateStore.integrations) { id, record in
        if !record.deleting { found[id] = record }
        return true
      }
      return found
    }
  }

  private func collectRepositories(_ outcome: inout RetentionOutcome) async throws {
    let limit = limit(days: settings.tagsDays)
    let count = try await sweeper.sweep(StateStore.repositories) { key, repository, transaction in
      guard repository.state == .gone, repository.since < limit else { return .keep }
      var hasTags = false
      try transaction.scan(StateStore.tags.keysOnly, prefix: key.beginKey) { _, _ in
        hasTags = true
        return false
      }
      return hasTags ? .keep : .remove
    }
    outcome.add(.repositories, count, "gone for \(days(settings.tagsDays)), with all their tags")
  }

  private func collectTags(_ outcome: inout RetentionOutcome) async throws {
    let limit = limit(days: settings.tagsDays)
    let history = try await sweeper.sweep(StateStore.tagHistory) { _, entry, _ in
      entry.until < limit ? .remove : .keep
    }
    outcome.add(.tagHistory, history, "ended \(days(settings.tagsDays)) ago")
    let tags = try await sweeper.sweep(StateStore.tags) { _, tag, _ in
      tag.isGone && tag.goneAt < limit ? .remove : .keep
    }
    outcome.add(.tags, tags, "gone for \(days(settings.tagsDays))")
  }

  /// Nothing asks for those of a credential that was replaced; those of a layer without an analysis are made anew with it.
  private func collectConfirmations(_ outcome: inout RetentionOutcome) async throws {
    let generations = try integrations().mapValues(\.credentialGeneration)
    let old = try await sweeper.sweep(StateStore.confirmations.keysOnly) { key, _, _ in
      generations[key.integration].map { key.generation < $0 } ?? false ? .remove : .keep
    }
    outcome.add(.confirmations, old, "made with a credential that was replaced")
    let idle = try await sweeper.sweep(StateStore.confirmations.keysOnly) { key, _, transaction in
      guard let generation = generations[key.integration], key.generation >= generation else { return .keep }
      let layer = LayerKey(analyserVersion: UInt64(analyserVersion), digest: key.digest)
      return try transaction.has(StateStore.layers, layer) ? .keep : .remove
    }
    outcome.add(.confirmations, idle, "of a layer whose analysis is gone")
  }

  // MARK: - Images, reports, layers

  private func collectImages(_ outcome: inout RetentionOutcome) async throws {
    let found = try await ImagesSweep(
      sweeper: sweeper, before: limit(days: settings.reportsDays), reportsMaximum: settings.reportsMaximum, now: now
    ).run()
    let age = "of images that no tag has pointed to for \(days(settings.reportsDays))"
    let count = "of images without a tag, the longest so first, while there are over \(settings.reportsMaximum) reports"
    outcome.add(.images, found.aged.images, age)
    outcome.add(.images, found.surplus.images, count)
    outcome.add(.reports, found.aged.reports, age)
    outcome.add(.reports, found.surplus.reports, count)
  }

  private func collectLayers(_ outcome: inout RetentionOutcome) async throws {
    let version = UInt64(analyserVersion)
    let limit = try await unusedLayersLimit()
    // A row that is not borne out goes too, and does not count.
    let isBorneOut = { @Sendable (key: UnusedLayerKey, transaction: ReadTransaction) throws -> Bool in
      guard let use = try transaction.get(StateStore.layerUses, key.digest) else { return false }
      return use.reports == 0 && use.unusedSince == key.since
    }
    let layers = try await sweeper.sweep(StateStore.layersUnused) { key, _, transaction in
      guard key.since < UInt64(max(0, limit)) else { return .end }
      guard try isBorneOut(key, transaction) else { return .keep }
      return try transaction.has(StateStore.layers, LayerKey(analyserVersion: version, digest: key.digest))
        ? .remove : .keep
    } remove: { key, _, transaction in
      let layer = LayerKey(analyserVersion: version, digest: key.digest)
      try transaction.delete(StateStore.layers, layer)
      try transaction.delete(StateStore.malware, layer)
    }
    outcome.add(.layers, layers, "named by no report for \(days(settings.layersDays))")
    let former = try await sweeper.sweep(StateStore.layers.keysOnly) { key, _, _ in
      key.analyserVersion < version ? .remove : .end
    } remove: { key, _, transaction in
      try transaction.delete(StateStore.layers, key)
      try transaction.delete(StateStore.malware, key)
    }
    outcome.add(.layers, former, "analysed by an earlier version")
    guard !sweeper.isDryRun else { return }
    _ = try await sweeper.sweep(StateStore.layersUnused) { key, _, _ in
      key.since < UInt64(max(0, limit)) ? .remove : .end
    } remove: { key, _, transaction in
      if try isBorneOut(key, transaction) { try transaction.delete(StateStore.layerUses, key.digest) }
      try transaction.delete(StateStore.layersUnused, key)
    }
  }

  /// Layers that no report has named since before then may go.
  private func unusedLayersLimit() async throws -> Int64 {
    let limit = limit(days: settings.layersDays)
    let hasOld = try await sweeper.look { transaction in
      var oldest: UInt64?
      try transaction.scan(StateStore.layersUnused) { key, _ in
        oldest = key.since
        return false
      }
      return oldest.map { $0 < UInt64(max(0, limit)) } ?? false
    }
    // Every job that has not ended is looked at: only where that can make a difference.
    return hasOld ? min(limit, try await beginOfOldestAttempts()) : limit
  }

  /// What is needed by an attempt that goes on where one before it was cut short was analysed, or asked for, after its job
  /// was queued: the earliest that a job was which is begun and has not ended; now where there is none. Jobs that begin
  /// meanwhile need nothing that was not asked for since `now`.
  private func beginOfOldestAttempts() async throws -> Int64 {
    var oldest = now
    var position: ImageKey?
    repeat {
      (oldest, position) = try await sweeper.look { [oldest, position] transaction in
        var oldest = oldest
        let next = try transaction.step(
          QueueTables.active, prefix: { _ in }, after: position, limit: Sweeper.step
        ) { _, id in
          if let job = try transaction.get(QueueTables.jobs, id), job.hasBegun { oldest = min(oldest, job.enqueuedAt) }
          return true
        }
        return (oldest, next)
      }
    } while position != nil
    return oldest
  }

}

extension JobRecord {
  /// An attempt was made since it was queued.
  fileprivate var hasBegun: Bool { startedAt != 0 || attempt > 0 || interruptions > 0 || attemptsRecorded > 0 }
}
