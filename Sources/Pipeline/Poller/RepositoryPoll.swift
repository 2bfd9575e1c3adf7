import Model
import Posix
import Queue
import Registry
import Selection
import StorageMessages
import Store

/// The tags of one repository in one poll: screened by name, dated where the condition asks for it, queued.
struct RepositoryPoll {
  /// Images queued in one transaction.
  private static let batch = 100

  let run: PollRun
  let repository: Repository

  /// A tag that points to an image.
  private struct Candidate {
    let tag: Tag
    let image: ImageKey
    /// What is stored of the image; nil for one that is new.
    let known: ImageRecord?
    var createdAt: Int64 = 0

    /// Scanned, or on its way there.
    var wasPulled: Bool { known.map { $0.status == .scanned || $0.status == .queued } ?? false }
  }

  private typealias DatedCandidate = (candidate: Candidate, created: CreationDate)

  func run() async throws {
    let narrowed = run.criteria.narrowed(to: repository.path)
    if narrowed.rejectsEveryTag != nil && !run.integration.rescan { return }
    var selected: [Tag] = []
    var undated: [Tag] = []
    var rejected: [Tag] = []
    let summary = try await run.client.tags(of: repository) { tag in
      switch narrowed.screen(tag: tag.name) {
      case .selected: selected.append(tag)
      case .needsDate: undated.append(tag)
      case .rejected: rejected.append(tag)
      }
    }
    run.report { record in
      record.tags += UInt32(summary.accepted)
      record.rejected += UInt32(rejected.count)
      if let why = summary.incomplete { record.note("\(repository): the list of tags is incomplete: \(why)") }
      for name in summary.rejectedExamples { record.note("\(repository): tag \"\(name.name)\": \(name.reason)") }
      record.errorCount += UInt32(summary.rejected - summary.rejectedExamples.count)
    }
    try await inBatches(selected) { tags in
      var found: [Candidate] = []
      for tag in tags {
        if let candidate = try await tolerating(tag, { try await candidate(tag) }) { found.append(candidate) }
      }
      try await take(found)
    }
    try await inBatches(try await chosenByDate(undated), take)
    if run.integration.rescan { try await rescan(rejected) }
  }

  private func inBatches<T>(_ items: [T], _ body: ([T]) async throws -> Void) async throws {
    var rest = items[...]
    while !rest.isEmpty {
      try Task.checkCancellation()
      try await body(Array(rest.prefix(Self.batch)))
      rest = rest.dropFirst(Self.batch)
    }
  }

  /// Notes what the registry says against one tag and goes on without it.
  private func tolerating<R>(_ tag: Tag, _ body: () async throws -> R?) async throws -> R? {
    do {
      return try await body()
    } catch let error as RegistryError {
      run.report { $0.note("\(repository):\(tag): \(error.message)") }
      return nil
    }
  }

  // MARK: - Dates

  private func chosenByDate(_ tags: [Tag]) async throws -> [Candidate] {
    let now = Timestamp(nanosecondsSince1970: run.clock.now)
    var dated: [DatedCandidate] = []
    let decisions: [Decision]
    switch run.criteria.condition {
    case .none: return []
    case .createdWithin(let period):
      for tag in tags {
        if let found = try await tolerating(tag, { try await self.dated(tag, now) }) { dated.append(found) }
      }
      decisions = dated.map { period.decide(created: $0.created, now: now) }
    case .latest(let count):
      // Without every date the newest are not known: one that cannot be read fails the repository.
      for tag in tags {
        if let found = try await self.dated(tag, now) { dated.append(found) }
      }
      decisions = count.decide(dated.map { DatedTag(tag: $0.candidate.tag.name, created: $0.created) })
    }
    let chosen = zip(dated, decisions).filter { $0.1.isSelected }.map(\.0.candidate)
    run.report { $0.rejected += UInt32(dated.count - chosen.count) }
    return chosen
  }

  private func dated(_ tag: Tag, _ now: Timestamp) async throws -> DatedCandidate? {
    guard var candidate = try await candidate(tag) else { return nil }
    let firstSeen = candidate.known.map { Timestamp(nanosecondsSince1970: $0.firstSeenAt) } ?? now
    var configs: [Timestamp?]
    if let known = candidate.known, known.createdAt != 0 {
      configs = [Timestamp(nanosecondsSince1970: known.createdAt)]
    } else {
      let fetch = ImageFetch(
        client: run.client, repository: repository, platforms: run.integration.platformSelection)
      guard let digest = Digest(candidate.image.digest) else { return nil }
      do {
        configs = try await fetch.images(of: digest).images.map { image in
          image.config.created.flatMap { Timestamp(rfc3339: $0) }
        }
      } catch is ImageProblem {
        run.report { $0.skipped += 1 }
        return nil
      }
    }
    let created = CreationDate(configs: configs, pushed: nil, firstSeen: firstSeen, now: now)
    if created.source == .config { candidate.createdAt = created.moment.nanosecondsSince1970 }
    return (candidate, created)
  }

  // MARK: - Tags and images

  /// What a tag points to; nil, and counted, for what is no image. An image that is known needs no manifest.
  private func candidate(_ tag: Tag) async throws -> Candidate? {
    let resolved = try await run.client.resolve(.tag(tag), in: repository)
    let image = ImageKey(
      integration: run.integration.id, repository: repository.path, digest: resolved.digest.description)
    let known = try run.store.image(image)
    let candidate = Candidate(tag: tag, image: image, known: known)
    if candidate.wasPulled { return candidate }
    do {
      _ = try await run.client.fetchManifest(.digest(resolved.digest), in: repository)
    } catch let error as RegistryError where error.code == .notAnImage || error.code == .unsupportedManifest {
      run.report { $0.skipped += 1 }
      return nil
    }
    return candidate
  }

  /// Queues what is new, remembers the tags of what is known (D12).
  private func take(_ candidates: [Candidate]) async throws {
    let isFresh: (Candidate) -> Bool = { !$0.wasPulled || run.integration.rescan }
    let fresh = candidates.filter(isFresh)
    let known = candidates.filter { !isFresh($0) }
    try await run.intake.remember(known.map { Intake.Item(image: $0.image, tag: $0.tag.name) })
    let new = fresh.filter { !$0.wasPulled }
    try await queue(new, priority: .newImage)
    try await queue(fresh.filter(\.wasPulled), priority: .rescan)
    run.report { record in
      record.selected += UInt32(candidates.count)
      record.alreadyKnown += UInt32(known.count)
    }
  }

  private func queue(_ candidates: [Candidate], priority: JobQueue.Priority) async throws {
    let outcomes = try await run.intake.queue(
      candidates.map { Intake.Item(image: $0.image, tag: $0.tag.name, createdAt: $0.createdAt) }, priority: priority,
      poll: run.poll)
    let queued = outcomes.filter { !$0.existed }.map(\.job.id)
    run.report { record in
      record.queued += UInt32(queued.count)
      record.alreadyKnown += UInt32(outcomes.count - queued.count)
      if let first = queued.min(), record.firstJobId == 0 || first < record.firstJobId { record.firstJobId = first }
      record.lastJobId = max(record.lastJobId, queued.max() ?? 0)
    }
  }

  /// D5: what was pulled before by whatever way is scanned again, if its tag still points to it.
  private func rescan(_ tags: [Tag]) async throws {
    try await inBatches(tags) { batch in
      var found: [Candidate] = []
      for tag in batch {
        let key = TagKey(integration: run.integration.id, repository: repository.path, tag: tag.name)
        guard let record = try run.store.tag(key) else { continue }
        let candidate = try await tolerating(tag) { try await self.candidate(tag) }
        if let candidate, candidate.wasPulled, candidate.image.digest == record.digest { found.append(candidate) }
      }
      try await queue(found, priority: .rescan)
    }
  }
}
