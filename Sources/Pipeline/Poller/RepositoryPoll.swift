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
  /// Tags of one repository that are looked at: they are held until the listing has come to its end.
  static let tagsMaximum = 500_000

  let run: PollRun
  let listed: ListedRepository
  var repository: Repository { listed.repository }
  /// Digests that this poll has queued again: another tag of one is not another reason.
  private var rescanned: Set<String> = []

  init(run: PollRun, listed: ListedRepository) {
    self.run = run
    self.listed = listed
  }

  private struct TooManyTags: Error {}

  /// A tag that points to an image.
  private struct Candidate {
    let tag: Tag
    let image: ImageKey
    /// Scanned, or on its way there.
    let wasPulled: Bool
    /// As the store has it; 0 for an image that is new.
    let firstSeenAt: Int64
    let pushedAt: Timestamp?
    /// From its config; 0 unknown.
    var createdAt: Int64
    /// What the vendor says that its config says.
    var told: Timestamp?

    init(_ found: ListedTag, image: ImageKey, known: ImageRecord?) {
      tag = found.tag
      pushedAt = found.pushedAt
      told = found.createdAt
      self.image = image
      wasPulled = known.map { $0.status == .scanned || $0.status == .queued } ?? false
      firstSeenAt = known?.firstSeenAt ?? 0
      createdAt = known?.createdAt ?? 0
    }
  }

  private typealias DatedCandidate = (candidate: Candidate, created: CreationDate)

  mutating func run() async throws {
    let narrowed = run.criteria.narrowed(to: repository.path)
    if narrowed.rejectsEveryTag != nil && !run.integration.rescan { return }
    let tags = try await screened(by: narrowed)
    for batch in Self.batches(of: tags.selected) {
      try Task.checkCancellation()
      var found: [Candidate] = []
      for tag in batch {
        if let candidate = try await tolerating(tag, { try await candidate(tag, needsDate: false) }) {
          found.append(candidate)
        }
      }
      try await take(found)
    }
    let byDate = try await chosenByDate(tags.undated)
    for batch in Self.batches(of: byDate.chosen) { try await take(batch) }
    if run.integration.rescan { try await rescan(tags.rejected + byDate.rejected) }
  }

  private struct ScreenedTags {
    var selected: [ListedTag] = []
    var undated: [ListedTag] = []
    var rejected: [ListedTag] = []
    var count: Int { selected.count + undated.count + rejected.count }
  }

  private func screened(by criteria: RepositoryCriteria) async throws -> ScreenedTags {
    var tags = ScreenedTags()
    do {
      let summary = try await run.client.tags(of: listed) { found in
        guard tags.count < Self.tagsMaximum else { throw TooManyTags() }
        switch criteria.screen(tag: found.tag.name) {
        case .selected: tags.selected.append(found)
        case .needsDate: tags.undated.append(found)
        case .rejected: tags.rejected.append(found)
        }
      }
      run.report { record in
        if let why = summary.incomplete { record.note("\(repository): partial: the list of tags: \(why)") }
        for name in summary.rejectedExamples { record.note("\(repository): tag \"\(name.name)\": \(name.reason)") }
        record.errorCount.add(summary.rejected - summary.rejectedExamples.count)
        record.skipped.add(summary.notImages)
      }
    } catch is TooManyTags {
      run.report { $0.note("\(repository): only the first \(Self.tagsMaximum) tags are looked at") }
    }
    run.report { [tags] record in
      record.tags.add(tags.count)
      record.rejected.add(tags.rejected.count)
    }
    return tags
  }

  private static func batches<Item>(of items: [Item]) -> [ArraySlice<Item>] {
    stride(from: 0, to: items.count, by: batch).map { items[$0..<min($0 + batch, items.count)] }
  }

  /// Notes what the registry says against one tag and goes on without it. What it says against all of them is thrown:
  /// asking on would only add to it.
  private func tolerating<R>(_ found: ListedTag, _ body: () async throws -> R?) async throws -> R? {
    do {
      return try await body()
    } catch let error as RegistryError where !error.concernsRegistry {
      run.report { $0.note("\(repository):\(found.tag): \(error.message)") }
      return nil
    }
  }

  // MARK: - Dates

  /// Which of the tags the condition chooses, and those that it rejects.
  private func chosenByDate(_ tags: [ListedTag]) async throws -> (chosen: [Candidate], rejected: [ListedTag]) {
    let now = Timestamp(nanosecondsSince1970: run.clock.now)
    var dated: [DatedCandidate] = []
    var rejected: [ListedTag] = []
    let decisions: [Decision]
    switch run.criteria.condition {
    case .none: return ([], [])
    case .createdWithin(let period):
      for tag in tags {
        // Nothing is built after it was pushed (D11).
        if let pushed = tag.pushedAt, CreationDate.isPlausible(pushed, now: now), pushed < period.start(before: now) {
          rejected.append(tag)
        } else if let found = try await tolerating(tag, { try await self.dated(tag, now) }) {
          dated.append(found)
        }
      }
      decisions = dated.map { period.decide(created: $0.created, now: now) }
    case .latest(let count):
      // Without every date the newest are not known: one that cannot be read fails the repository.
      for tag in tags {
        if let found = try await self.dated(tag, now) { dated.append(found) }
      }
      decisions = count.decide(dated.map { DatedTag(tag: $0.candidate.tag.name, created: $0.created) })
    }
    var chosen: [Candidate] = []
    for (found, decision) in zip(dated, decisions) {
      if decision.isSelected {
        chosen.append(found.candidate)
      } else {
        rejected.append(ListedTag(found.candidate.tag, digest: Digest(found.candidate.image.digest)))
      }
    }
    run.report { [rejected] in $0.rejected.add(rejected.count) }
    return (chosen, rejected)
  }

  private func dated(_ tag: ListedTag, _ now: Timestamp) async throws -> DatedCandidate? {
    guard var candidate = try await candidate(tag, needsDate: true) else { return nil }
    let firstSeen = candidate.firstSeenAt == 0 ? now : Timestamp(nanosecondsSince1970: candidate.firstSeenAt)
    var configs: [Timestamp?]
    if candidate.createdAt != 0 {
      configs = [Timestamp(nanosecondsSince1970: candidate.createdAt)]
    } else if let told = candidate.told {
      configs = [told]
    } else {
      let fetch = ImageFetch(
        client: run.client, repository: repository, platforms: run.integration.platformSelection)
      guard let digest = Digest(candidate.image.digest) else { return nil }
      do {
        configs = try await fetch.images(of: digest).images.map { image in
          image.config.created.flatMap { Timestamp(rfc3339: $0) }
        }
      } catch is ImageProblem {
        run.report { $0.skipped.add(1) }
        return nil
      }
    }
    let created = CreationDate(configs: configs, pushed: candidate.pushedAt, firstSeen: firstSeen, now: now)
    if created.source == .config { candidate.createdAt = created.moment.nanosecondsSince1970 }
    return (candidate, created)
  }

  // MARK: - Tags and images

  /// What a tag points to; nil, and counted, for what is no image or gone since it was listed. An image that is known
  /// needs no manifest, nor does one that the vendor vouches for.
  private func candidate(_ found: ListedTag, needsDate: Bool) async throws -> Candidate? {
    guard let digest = try await digest(of: found) else { return nil }
    let image = ImageKey(
      integration: run.integration.id, repository: repository.path, digest: digest.description)
    var candidate = Candidate(found, image: image, known: try run.store.image(image))
    if candidate.wasPulled || found.isImage { return candidate }
    if needsDate, candidate.createdAt == 0, candidate.told == nil,
      let details = try await run.client.details(of: found.tag, in: listed), details.digest == digest
    {
      candidate.told = details.createdAt
      if details.isImage { return candidate }
    }
    do {
      _ = try await run.client.fetchManifest(.digest(digest), in: repository)
    } catch let error as RegistryError where error.code == .notAnImage || error.code == .unsupportedManifest {
      run.report { $0.skipped.add(1) }
      return nil
    }
    return candidate
  }

  private func digest(of found: ListedTag) async throws -> Digest? {
    if let digest = found.digest { return digest }
    do {
      return try await run.client.resolve(.tag(found.tag), in: repository).digest
    } catch let error as RegistryError where error.code == .notFound {
      run.report { $0.note("\(repository):\(found.tag): \(error.message)") }
      return nil
    }
  }

  /// Queues what is new, remembers the tags of what is known (D12).
  private mutating func take(_ candidates: some Collection<Candidate>) async throws {
    let new = candidates.filter { !$0.wasPulled }
    var known: [Candidate] = []
    var again: [Candidate] = []
    rescanned.formUnion(new.map(\.image.digest))
    for candidate in candidates where candidate.wasPulled {
      if run.integration.rescan, rescanned.insert(candidate.image.digest).inserted {
        again.append(candidate)
      } else {
        known.append(candidate)
      }
    }
    try await queue(new, priority: .newImage)
    try await queue(again, priority: .rescan)
    try await run.intake.remember(known.map { Intake.Item(image: $0.image, tag: $0.tag.name) })
    run.report { [known] record in
      record.selected.add(candidates.count)
      record.alreadyKnown.add(known.count)
    }
  }

  private func queue(_ candidates: [Candidate], priority: JobQueue.Priority) async throws {
    let outcomes = try await run.intake.queue(
      candidates.map { Intake.Item(image: $0.image, tag: $0.tag.name, createdAt: $0.createdAt) }, priority: priority,
      poll: run.poll)
    let queued = outcomes.filter { !$0.existed }.map(\.job.id)
    run.report { record in
      record.queued.add(queued.count)
      record.alreadyKnown.add(outcomes.count - queued.count)
      if let first = queued.min(), record.firstJobId == 0 || first < record.firstJobId { record.firstJobId = first }
      record.lastJobId = max(record.lastJobId, queued.max() ?? 0)
    }
  }

  /// D5: what was pulled before by whatever way is scanned again, if its tag still points to it.
  private mutating func rescan(_ tags: [ListedTag]) async throws {
    for batch in Self.batches(of: tags) {
      try Task.checkCancellation()
      var found: [Candidate] = []
      for tag in batch {
        let key = TagKey(integration: run.integration.id, repository: repository.path, tag: tag.tag.name)
        guard let record = try run.store.tag(key) else { continue }
        let candidate = try await tolerating(tag) { try await self.candidate(tag, needsDate: false) }
        if let candidate, candidate.wasPulled, candidate.image.digest == record.digest,
          rescanned.insert(candidate.image.digest).inserted
        {
          found.append(candidate)
        }
      }
      try await queue(found, priority: .rescan)
    }
  }
}
