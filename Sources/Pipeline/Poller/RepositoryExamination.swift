import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store
import Synchronization

/// Decides on every tag of one repository, for a poll or a preview: reads its list of tags, in parts, and hands on what
/// was decided on each. Writes nothing but what was learnt of digests for good.
struct RepositoryExamination: Sendable {
  /// Tags of one repository that are looked at.
  static let tagsMaximum = 500_000
  /// Tags that are decided on together.
  private static let part = 500
  /// Tags in a row that the registry fails to answer for, before the repository is given up.
  private static let failuresMaximum = 20

  let integration: IntegrationRecord
  let client: RegistryClient
  let criteria: Criteria
  let store: StateStore
  let now: Timestamp

  private struct TooManyTags: Error {}

  /// A tag that is not listed any more.
  typealias Missing = (key: TagKey, record: TagRecord)

  /// Of the tags that were not listed.
  struct Absentees: Sendable {
    var gone: [Missing] = []
    /// Those that are there all the same.
    var there = 0

    var whyIncomplete: String? { there == 0 ? nil : "\(there) tags are there that it does not name" }
  }

  /// What stands in the way of all requests that are made side by side.
  private final class FirstFailure: Sendable {
    private let first = Mutex<RegistryError?>(nil)
    var failure: RegistryError? { first.withLock { $0 } }
    func note(_ failure: RegistryError) { first.withLock { $0 = $0 ?? failure } }
  }

  /// Tags that are asked about side by side: fewer and fewer as the registry's budget comes to its end, because what is on
  /// its way then is spent for nothing.
  private var requestsAtOnce: Int {
    max(1, min(client.endpoint.concurrentRequestsMax, (client.requestsLeft ?? .max) / 2))
  }

  /// How it went.
  struct Outcome: Sendable {
    var tags = 0
    /// Why there may be more tags than were listed.
    var incomplete: String?
    var notes: [String] = []
    /// The registry lists the repository, and does not find it.
    var absent: RegistryError?
    /// Entries that are no tags.
    var unreadable = 0
    /// Names of the tags that were listed, by hash.
    fileprivate var seen: Set<Int> = []
  }

  /// Why no tag of a repository is selected, whatever tags it has, so that nobody needs to list them; nil where one might be,
  /// or where something was pulled that a rescan wants again (D5).
  func rejection(of repository: Repository) throws -> Reason? {
    guard let reason = criteria.narrowed(to: repository.path).rejectsEveryTag else { return nil }
    return try integration.rescan && hasPulled(repository) ? nil : reason
  }

  private func hasPulled(_ repository: Repository) throws -> Bool {
    try store.read { transaction in
      var hasPulled = false
      let key = RepositoryKey(integration: integration.id, repository: repository.path)
      try transaction.scan(StateStore.images, prefix: key.beginKey) { _, image in
        hasPulled = image.wasPulled
        return !hasPulled
      }
      return hasPulled
    }
  }

  /// Hands the verdicts on the tags of `listed` to `take`, part by part. Throws what the registry says against the whole
  /// repository.
  func examine(
    _ listed: ListedRepository, _ take: @escaping ([TagVerdict]) async throws -> Void
  ) async throws -> Outcome {
    let course = Course(
      TagExamination(
        integration: integration, client: client, store: store, listed: listed,
        criteria: criteria.narrowed(to: listed.repository.path), condition: criteria.condition, now: now), take: take)
    do {
      let summary = try await client.tags(of: listed) { found in
        guard course.outcome.seen.count < Self.tagsMaximum else { throw TooManyTags() }
        // A registry that changes between two pages may list a tag twice.
        guard course.outcome.seen.insert(found.tag.name.hashValue).inserted else { return }
        course.waiting.append(found)
        if course.waiting.count >= Self.part { try await decide(course) }
      }
      course.outcome.incomplete = summary.incomplete
      course.outcome.notes += summary.rejectedExamples.map {
        "\(listed.repository): tag \"\($0.name)\": \($0.reason)"
      }
      course.outcome.unreadable = summary.rejected - summary.rejectedExamples.count
    } catch let error as RegistryError where error.code == .notFound {
      if course.outcome.seen.isEmpty {
        // All its tags are gone, or were never there.
        course.outcome.absent = error
      } else {
        course.outcome.incomplete = error.message
      }
    } catch is TooManyTags {
      course.outcome.incomplete = "only the first \(Self.tagsMaximum) tags are looked at"
    }
    try await decide(course)
    try await decideNewest(course)
    course.outcome.tags = course.outcome.seen.count
    return course.outcome
  }

  /// What goes along with one repository.
  private final class Course {
    let tags: TagExamination
    let take: ([TagVerdict]) async throws -> Void
    var outcome = Outcome()
    var waiting: [ListedTag] = []
    var dated: [(TagExamination.Subject, digest: String, created: CreationDate, image: ImageRecord?)] = []
    /// Tags of unknown date, where the newest are chosen: the first reason.
    var undated: String?

    init(_ tags: TagExamination, take: @escaping ([TagVerdict]) async throws -> Void) {
      self.tags = tags
      self.take = take
    }
  }

  private func decide(_ course: Course) async throws {
    try Task.checkCancellation()
    let part = course.waiting
    course.waiting = []
    if part.isEmpty { return }
    let tags = course.tags
    let repository = tags.repository.path
    var verdicts: [TagVerdict] = []
    var open: [TagExamination.Subject] = []
    try store.read { transaction in
      for found in part {
        let key = TagKey(integration: integration.id, repository: repository, tag: found.tag.name)
        let subject = TagExamination.Subject(
          found: found, key: key, previous: try transaction.get(StateStore.tags, key))
        if let verdict = try tags.withoutRequests(subject, transaction) {
          verdicts.append(verdict)
        } else {
          open.append(subject)
        }
      }
    }
    var stopped: RegistryError?
    if !open.isEmpty {
      let (decided, failure) = try await decide(open, course)
      verdicts += decided
      stopped = failure
    }
    // What is decided is written even where the registry stops us.
    try await course.take(verdicts)
    if let stopped { throw stopped }
  }

  /// Decides on tags that need requests; those whose date is to be compared with others' wait.
  private func decide(
    _ open: [TagExamination.Subject], _ course: Course
  ) async throws -> (verdicts: [TagVerdict], stopped: RegistryError?) {
    let tags = course.tags
    let row = FailureRow(maximum: Self.failuresMaximum)
    let stop = FirstFailure()
    // What is on its way when the registry stops us is waited for, and kept: one that grants a few requests at a time is got
    // through only if each of them counts.
    let answers = try await concurrentMap(open, limit: { requestsAtOnce }) { subject -> TagExamination.Answer? in
      guard stop.failure == nil else { return nil }
      do {
        let answer = try await tags.withRequests(subject)
        try row.note(answer.failure)
        return answer
      } catch let error as RegistryError {
        stop.note(error)
        return nil
      }
    }
    try await keep(answers.compactMap { $0?.learnt })
    var verdicts: [TagVerdict] = []
    for (subject, answer) in zip(open, answers) {
      guard let answer else { continue }
      switch answer.result {
      case .vanished: verdicts.append(subject.vanished)
      case .dated(let subject, let digest, let created, let image):
        course.dated.append((subject, digest: digest, created: created, image: image))
      case .decided(let verdict):
        // One that can never be read takes no part; one that cannot be read now may be the newest (D11).
        if answer.failure?.isTransient ?? false, course.tags.needsDates(subject.found.tag) {
          course.undated = course.undated ?? "\(subject.found.tag): \(verdict.reason)"
        }
        verdicts.append(verdict)
      }
    }
    return (verdicts, stop.failure)
  }

  private func keep(_ learnt: [TagExamination.Learnt]) async throws {
    if learnt.isEmpty { return }
    try await store.write { [integration] transaction in
      try StateStore.requireIntegration(integration.id, in: transaction)
      for item in learnt { try transaction.put(StateStore.imageFacts, item.key, item.facts) }
    }
  }

  /// Chooses the newest of the tags that wait for it. Without every date they are not known: then all stay as they are.
  private func decideNewest(_ course: Course) async throws {
    guard case .latest(let count) = criteria.condition, !course.dated.isEmpty else { return }
    let dated = course.dated
    course.dated = []
    if let undated = course.undated ?? course.outcome.incomplete {
      course.outcome.notes.append("\(course.tags.repository): the newest \(count) are not known: \(undated)")
    }
    let isKnown = course.undated == nil && course.outcome.incomplete == nil
    let decisions = isKnown ? count.decide(dated.map { DatedTag(tag: $0.0.found.tag.name, created: $0.created) }) : []
    for start in stride(from: 0, to: dated.count, by: Self.part) {
      let part = start..<min(start + Self.part, dated.count)
      try await course.take(
        part.compactMap { index in
          let (subject, digest, created, image) = dated[index]
          guard isKnown else { return undecided(subject, digest, created, image, count) }
          return subject.verdict(decisions[index], digest: digest, created: created, image: image)
        })
    }
  }

  /// A tag that had been decided on keeps that, as long as it points to the same digest.
  private func undecided(
    _ subject: TagExamination.Subject, _ digest: String, _ created: CreationDate, _ image: ImageRecord?,
    _ count: LatestCount
  ) -> TagVerdict {
    if let previous = subject.previous, !previous.isGone, previous.digest == digest, previous.decision != .failed {
      return subject.verdict(
        previous.isSelected ? .selected : previous.decision, previous.reasonCode, previous.reason, digest: digest,
        created: created, image: image)
    }
    return subject.verdict(
      .failed, TagReason.datesUnknown.rawValue,
      "the newest \(count) are not known: not every tag of the repository could be dated", digest: digest,
      created: created, image: image)
  }

  /// The tags of the repository that the store has and the registry does not: each is asked for once more, since a listing
  /// that changes while it is read may pass one by. None where the listing is not complete.
  func missing(from outcome: Outcome, of repository: Repository) async throws -> Absentees {
    guard outcome.incomplete == nil else { return Absentees() }
    var absentees = Absentees()
    let key = RepositoryKey(integration: integration.id, repository: repository.path)
    let candidates = try store.presentTags(of: key) { !outcome.seen.contains($0.tag.hashValue) }
    let confirmed = try await concurrentMap(candidates, limit: { client.endpoint.concurrentRequestsMax }) {
      candidate in try await isGone(candidate, in: repository)
    }
    absentees.gone = zip(candidates, confirmed).filter(\.1).map(\.0)
    absentees.there = confirmed.count { !$0 }
    return absentees
  }

  private func isGone(_ missing: Missing, in repository: Repository) async throws -> Bool {
    guard let tag = Tag(missing.key.tag) else { return true }
    do {
      _ = try await client.resolve(.tag(tag), in: repository)
      return false
    } catch let error as RegistryError where error.code == .notFound {
      return true
    } catch let error as RegistryError where !error.concernsRegistry {
      return false
    }
  }
}

extension TagExamination {
  /// Whether a date decides on a tag.
  func needsDates(_ tag: Tag) -> Bool { criteria.screen(tag: tag.name) == .needsDate }
}
