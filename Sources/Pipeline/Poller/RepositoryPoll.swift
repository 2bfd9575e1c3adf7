import Model
import Posix
import Queue
import Registry
import Selection
import StorageMessages
import Store

/// What a poll decided on the tags of one repository, written down: the tags, what is to be queued, what is gone.
struct RepositoryPoll {
  /// Tags written in one transaction.
  private static let batch = 200

  let run: PollRun
  let repository: RepositoryKey
  /// Digests that this poll has queued: another tag of one is not another reason.
  private var queued: Set<String> = []
  /// What the poll's record is to have of this repository once it has been looked at whole: one that is cut off is looked at
  /// again.
  private(set) var counted = PollRecord()
  /// Digests that a tag pointed to until now.
  private var lost: Set<String> = []

  init(run: PollRun, repository: RepositoryKey) {
    self.run = run
    self.repository = repository
  }

  private var integration: IntegrationRecord { run.integration }

  mutating func take(_ verdicts: [TagVerdict]) async throws {
    try Task.checkCancellation()
    counted.count(verdicts)
    lost.formUnion(verdicts.compactMap(\.lostDigest))
    let open = verdicts.filter { !$0.isSettled(rescan: integration.rescan && !queued.contains($0.digest)) }
    var new = 0
    for start in stride(from: 0, to: open.count, by: Self.batch) {
      new += try await write(Array(open[start..<min(start + Self.batch, open.count)]))
    }
    let selected = verdicts.count { $0.decision == .selected }
    counted.alreadyKnown.add(selected - new)
  }

  /// Returns how many images were queued that were not known.
  private mutating func write(_ verdicts: [TagVerdict]) async throws -> Int {
    let written = try await run.store.write { [run, integration, queued] transaction -> [Intake.Outcome] in
      try StateStore.requireIntegration(integration.id, in: transaction)
      let now = run.clock.now
      var written: [Intake.Outcome] = []
      var queued = queued
      for verdict in verdicts {
        let previous = try transaction.get(StateStore.tags, verdict.key)
        let record = verdict.record(over: previous, poll: run.poll, now: now)
        if record != previous { try run.store.put(record, verdict.key, now: now, in: transaction) }
        guard let key = verdict.imageKey else { continue }
        let image = try transaction.get(StateStore.images, key)
        var reason = verdict.wanted(image, rescan: integration.rescan && !queued.contains(verdict.digest))
        // Before the poll was suspended it has queued this one, whatever became of the job since.
        if reason == .rescan, image?.lastPollId == run.poll { reason = nil }
        if let reason, queued.insert(verdict.digest).inserted {
          written.append(
            try run.intake.queue(
              key, tag: verdict.key.tag, createdAt: verdict.configDate,
              priority: reason == .new ? .newImage : .rescan, poll: run.poll, in: transaction))
        } else if image?.isAbandoned ?? false, reason == nil {
          try run.store.restore(key, in: transaction)
        }
      }
      return written
    }
    queued.formUnion(written.map(\.job.digest))
    guard !written.isEmpty else { return 0 }
    run.intake.announceQueued()
    run.report { $0.count(written) }
    return written.count { !$0.existed && $0.job.priority == UInt32(JobQueue.Priority.newImage.rawValue) }
  }

  /// Tags that are gone, and images that no tag points to any more.
  mutating func end(gone: [RepositoryExamination.Missing]) async throws {
    counted.tagsGone.add(gone.count)
    for start in stride(from: 0, to: gone.count, by: Self.batch) {
      let part = gone[start..<min(start + Self.batch, gone.count)]
      try await run.store.write { [run, integration] transaction in
        try StateStore.requireIntegration(integration.id, in: transaction)
        let now = run.clock.now
        for missing in part {
          // Added by hand meanwhile, it is there.
          guard try transaction.get(StateStore.tags, missing.key) == missing.record else { continue }
          var record = missing.record
          record.goneAt = now
          record.pollId = run.poll
          try run.store.put(record, missing.key, now: now, in: transaction)
        }
      }
    }
    var lost = lost.union(gone.map(\.record.digest))
    if run.followsCutOff { lost.formUnion(try leftBehind()) }
    lost.remove("")
    if lost.isEmpty { return }
    try await run.store.write { [run, repository, lost] transaction in
      try run.store.setGone(lost, of: repository, now: run.clock.now, in: transaction)
    }
  }

  /// Digests that tags of the repository pointed to before. A poll that was cut off may have moved the tags and not have
  /// come to the images.
  private func leftBehind() throws -> Set<String> {
    try run.store.read { transaction in
      var found: Set<String> = []
      try transaction.scan(StateStore.tagHistory, prefix: repository.beginKey) { _, record in
        found.insert(record.digest)
        return true
      }
      return found
    }
  }
}

extension TagVerdict {
  /// The date that the image's config states; 0 for another, or none. Nanoseconds since 1970.
  fileprivate var configDate: Int64 {
    guard let created, created.source == .config else { return 0 }
    return created.moment.nanosecondsSince1970
  }
}

extension StateStore {
  /// An image that was gone is there again.
  func restore(_ key: ImageKey, in transaction: WriteTransaction) throws {
    try changeImage(key, in: transaction) { record in
      record.untagged = false
      record.untaggedAt = 0
      guard record.status == .gone else { return }
      record.status = record.scannedAt != 0 ? .scanned : .failed
      record.statusReason = record.scannedAt != 0 ? "" : "its last scan failed"
    }
  }

  /// Images of one repository are gone, unless a tag that is there still points to them, or they are on their way to be
  /// scanned: then they are when that has ended.
  func setGone(
    _ digests: Set<String>, of repository: RepositoryKey, now: Int64, in transaction: WriteTransaction
  ) throws {
    var digests = digests
    try tags(of: repository, in: transaction) { _, record in
      if !record.isGone { digests.remove(record.digest) }
      return !digests.isEmpty
    }
    for digest in digests {
      let key = ImageKey(integration: repository.integration, repository: repository.repository, digest: digest)
      try setUntagged(key, now: now, in: transaction)
    }
  }
}
