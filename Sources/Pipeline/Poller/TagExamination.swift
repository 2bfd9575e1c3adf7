import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store

/// What is found out about single tags of one repository: their digest, whether it is an image, its dates. Requests are
/// made only for what neither the listing nor the store tells.
struct TagExamination: Sendable {
  let integration: IntegrationRecord
  let client: RegistryClient
  let store: StateStore
  let listed: ListedRepository
  let criteria: RepositoryCriteria
  let condition: Condition
  /// The moment that decisions are made for.
  let now: Timestamp

  var repository: Repository { listed.repository }

  /// A tag with its digest and what the store knows of that.
  struct Subject: Sendable {
    let found: ListedTag
    let key: TagKey
    let previous: TagRecord?

    func verdict(
      _ decision: TagDecision, _ code: String, _ reason: String, digest: String, created: CreationDate? = nil,
      image: ImageRecord? = nil
    ) -> TagVerdict {
      TagVerdict(
        key: key, digest: digest, decision: decision, reasonCode: code, reason: reason, created: created,
        previous: previous, image: image)
    }

    func verdict(
      _ decision: Decision, digest: String, created: CreationDate? = nil, image: ImageRecord? = nil
    ) -> TagVerdict {
      verdict(
        decision.isSelected ? .selected : .rejected, decision.reason.code.rawValue, decision.reason.text,
        digest: digest, created: created, image: image)
    }

    func failed(_ error: RegistryError, digest: String) -> TagVerdict {
      verdict(.failed, error.reasonCode, error.message, digest: digest)
    }

    /// The registry lists it and does not find it.
    var vanished: TagVerdict {
      verdict(
        .failed, TagReason.notFound.rawValue, "it is listed, but not to be found: deleted meanwhile?",
        digest: lastDigest)
    }

    /// Where it pointed when that was last asked.
    var lastDigest: String { previous.map { $0.isGone ? "" : $0.digest } ?? "" }
  }

  /// What became of a tag.
  enum Result: Sendable {
    case decided(TagVerdict)
    /// It takes part in the choice of the newest, which all tags of the repository decide together.
    case dated(Subject, digest: String, CreationDate, ImageRecord?)
    /// It was deleted since it was listed.
    case vanished
  }

  /// What was learnt of a digest, to be kept.
  struct Learnt: Sendable {
    let key: ImageKey
    let facts: ImageFactsRecord
  }

  /// Decides what needs no request. Nil for a tag that does.
  func withoutRequests(_ subject: Subject, _ transaction: ReadTransaction) throws -> TagVerdict? {
    let found = subject.found
    if found.isOther {
      return subject.verdict(
        .skipped, TagReason.notAnImage.rawValue, "no image, but something attached to one or of another kind",
        digest: found.digest?.description ?? subject.lastDigest)
    }
    switch criteria.screen(tag: found.tag.name) {
    case .rejected(let reason):
      let digest = found.digest?.description ?? subject.lastDigest
      let image = try image(digest, transaction)
      // A rescan asks whether what was pulled is still there (D5).
      if integration.rescan, found.digest == nil, image?.wasPulled ?? false { return nil }
      return subject.verdict(.rejected(reason), digest: digest, image: image)
    case .selected(let reason):
      guard let digest = found.digest?.description, let image = try image(digest, transaction), image.wasPulled else {
        guard let digest = found.digest?.description, found.isImage else { return nil }
        return subject.verdict(.selected(reason), digest: digest, image: try self.image(digest, transaction))
      }
      return subject.verdict(.selected(reason), digest: digest, image: image)
    case .needsDate:
      guard case .createdWithin(let period) = condition else { return nil }
      if let reason = period.rejection(pushed: found.pushedAt, now: now) {
        let digest = found.digest?.description ?? subject.lastDigest
        return subject.verdict(.rejected(reason), digest: digest, image: try image(digest, transaction))
      }
      return nil
    }
  }

  private func image(_ digest: String, _ transaction: ReadTransaction) throws -> ImageRecord? {
    if digest.isEmpty { return nil }
    return try transaction.get(StateStore.images, imageKey(digest))
  }

  private func imageKey(_ digest: String) -> ImageKey {
    ImageKey(integration: integration.id, repository: repository.path, digest: digest)
  }

  /// What was found out about one tag.
  struct Answer: Sendable {
    let result: Result
    var learnt: Learnt?
    /// Why it could not be.
    var failure: RegistryError?
  }

  /// Finds out the rest. Throws what the registry says against all tags of the repository.
  func withRequests(_ subject: Subject) async throws -> Answer {
    var resolved = subject.found.digest
    do {
      var isImage = subject.found.isImage
      if resolved == nil {
        let manifest = try await client.resolve(.tag(subject.found.tag), in: repository)
        (resolved, isImage) = (manifest.digest, manifest.isImage)
      }
      guard let digest = resolved else { return Answer(result: .vanished) }
      let (result, learnt) = try await examine(subject, digest, isImage: isImage)
      return Answer(result: result, learnt: learnt)
    } catch let error as RegistryError where !error.concernsRegistry {
      if error.code == .notFound, try await isGone(subject.found.tag, resolved) { return Answer(result: .vanished) }
      return Answer(
        result: .decided(subject.failed(error, digest: resolved?.description ?? subject.lastDigest)), failure: error)
    }
  }

  /// Whether a tag for which something was not found is not there itself. It is not where its digest could not be found.
  private func isGone(_ tag: Tag, _ resolved: Digest?) async throws -> Bool {
    if resolved == nil { return true }
    do {
      _ = try await client.resolve(.tag(tag), in: repository)
      return false
    } catch let error as RegistryError where !error.concernsRegistry {
      return error.code == .notFound
    }
  }

  private func examine(_ subject: Subject, _ digest: Digest, isImage: Bool) async throws -> (Result, Learnt?) {
    let found = subject.found
    let key = imageKey(digest.description)
    let (image, known) = try store.read { transaction in
      (try transaction.get(StateStore.images, key), try transaction.get(StateStore.imageFacts, key))
    }
    let screening = criteria.screen(tag: found.tag.name)
    if case .rejected(let reason) = screening {
      return (.decided(subject.verdict(.rejected(reason), digest: key.digest, image: image)), nil)
    }
    var knowledge = ImageKnowledge(key: key, known: known, image: image, now: now)
    knowledge.isImage = isImage
    try await findOut(&knowledge, subject, digest, needsDates: screening == .needsDate)
    if let (code, reason) = knowledge.skipped {
      return (
        .decided(subject.verdict(.skipped, code.rawValue, reason, digest: key.digest, image: image)), knowledge.learnt
      )
    }
    if case .selected(let reason) = screening {
      return (.decided(subject.verdict(.selected(reason), digest: key.digest, image: image)), knowledge.learnt)
    }
    let created = knowledge.creationDate(pushed: found.pushedAt, now: now)
    switch condition {
    case .createdWithin(let period):
      let decision = period.decide(created: created, now: now)
      return (
        .decided(subject.verdict(decision, digest: key.digest, created: created, image: image)), knowledge.learnt
      )
    case .latest, .none: return (.dated(subject, digest: key.digest, created, image), knowledge.learnt)
    }
  }

  /// Learns whether the digest is an image and, where a date decides, when it was created.
  private func findOut(
    _ knowledge: inout ImageKnowledge, _ subject: Subject, _ digest: Digest, needsDates: Bool
  ) async throws {
    let found = subject.found
    knowledge.told = found.createdAt
    let platforms = integration.platformSelection
    if knowledge.skipped != nil || (knowledge.isImage && (!needsDates || knowledge.hasDates(for: platforms, now))) {
      return
    }
    if needsDates, !knowledge.hasDates(for: platforms, now),
      let details = try await client.details(of: found.tag, in: listed), details.digest == digest
    {
      knowledge.learn(details, platforms)
      if knowledge.isImage && knowledge.hasDates(for: platforms, now) { return }
    }
    do {
      let manifest = try await client.fetchManifest(.digest(digest), in: repository)
      knowledge.learnIsImage()
      guard needsDates, !knowledge.hasDates(for: platforms, now) else { return }
      let fetch = ImageFetch(client: client, repository: repository, platforms: platforms)
      knowledge.learn(try await fetch.images(of: manifest).images, platforms)
    } catch let error as RegistryError where error.code == .notAnImage || error.code == .unsupportedManifest {
      knowledge.learn(notImage: error)
    } catch let problem as ImageProblem {
      knowledge.skip(.noPlatform, problem.message)
    }
  }
}
