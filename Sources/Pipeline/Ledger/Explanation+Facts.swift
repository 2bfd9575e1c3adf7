import Model
import Posix
import Queue
import Selection
import StorageMessages
import Store

extension Explanation {
  /// What is known about a reference.
  package struct Facts: Sendable {
    package let repository: String
    /// Nil for a reference by digest alone.
    package let tag: String?
    package let askedDigest: String?
    package var tagRecord: TagRecord?
    /// Of the digest that was asked for, else of the tag's.
    package var image: ImageRecord?
    package var job: JobRecord?
    /// That its config states and that can be a real one (D11).
    package var createdAt: Timestamp?
    package var repositoryRecord: RepositoryRecord?
    /// What the repository lies in, where that is passed over whole.
    package var area: (name: String, record: RepositoryRecord)?
    package var newest: PollRecord?
    package var lastEnded: PollRecord?
    /// Nil for a reference by digest alone.
    package var present: Present?
    /// Some of those that point to the image.
    package var tags: [String] = []

    package init(repository: String, tag: String?, digest: String?) {
      self.repository = repository
      self.tag = tag
      askedDigest = digest
    }
  }
}

extension Explanation.Facts {
  /// On the newest poll, and on what it may have missed.
  var notesOnPolls: [String] {
    guard let newest else { return [] }
    var text = "last poll: \(newest.id), "
    switch newest.state {
    case .running: text += "running since \(Explanation.time(newest.startedAt))"
    case .suspended:
      text += "suspended until \(Explanation.time(newest.resumesAt)), when the registry grants requests again"
    default: text += "\(newest.state.name) \(Explanation.time(newest.finishedAt))"
    }
    if !newest.errorMessage.isEmpty, newest.isEnded { text += ": \(newest.errorCode): \(newest.errorMessage)" }
    var notes = [text]
    if newest.isPartial, newest.isEnded {
      notes.append("that poll was partial: not everything there is was listed")
    }
    return notes
  }
}

extension Ledger {
  /// Tags that are named beside an image.
  private static let tagsMaximum = 10

  /// Explains `reference`, which names `integration`. `now` is for periods.
  package func explain(
    _ reference: ImageReference, of integration: IntegrationRecord, now: Int64
  ) async throws -> Explanation {
    let criteria = try Criteria(integration)
    var facts = Explanation.Facts(
      repository: reference.repository.path, tag: reference.tag?.name, digest: reference.digest?.description)
    facts = try await reader.run { [store, queue, facts] in
      var facts = facts
      try store.read { transaction in
        try Self.gather(
          &facts, integration.id, Timestamp(nanosecondsSince1970: now), ShownImages(queue, in: transaction),
          in: transaction)
      }
      return facts
    }
    if let digest = facts.askedDigest, facts.tagRecord?.digest != digest {
      facts.tags = try await pointing(to: digest, in: facts.repository, of: integration.id)
    }
    if let tag = facts.tag {
      facts.present = Self.present(
        criteria, facts.repository, tag, createdAt: facts.createdAt, now: Timestamp(nanosecondsSince1970: now))
    }
    return Explanation(facts)
  }

  private static func gather(
    _ facts: inout Explanation.Facts, _ integration: UInt64, _ now: Timestamp, _ shown: ShownImages,
    in transaction: ReadTransaction
  ) throws {
    let repository = RepositoryKey(integration: integration, repository: facts.repository)
    if let tag = facts.tag {
      let key = TagKey(integration: integration, repository: facts.repository, tag: tag)
      facts.tagRecord = try transaction.get(StateStore.tags, key)
    }
    if let digest = facts.askedDigest ?? facts.tagRecord?.digest, !digest.isEmpty {
      let key = ImageKey(integration: integration, repository: facts.repository, digest: digest)
      facts.image = try shown.image(key)
      let read = try transaction.get(StateStore.imageFacts, key)?.dates.map(\.createdAt) ?? []
      facts.createdAt = plausible(read + [facts.image?.createdAt ?? 0], now)
    }
    facts.job = try shown.job(of: facts.image)
    facts.repositoryRecord = try transaction.get(StateStore.repositories, repository)
    if facts.repositoryRecord == nil { facts.area = try area(of: repository, in: transaction) }
    (facts.newest, facts.lastEnded) = try newestPolls(of: integration, in: transaction)
  }

  /// The newest date that is no placeholder; 0 is none.
  private static func plausible(_ dates: [Int64], _ now: Timestamp) -> Timestamp? {
    let created = CreationDate(
      configs: dates.lazy.map { $0 == 0 ? nil : Timestamp(nanosecondsSince1970: $0) }, pushed: nil, firstSeen: now,
      now: now)
    return created.source == .config ? created.moment : nil
  }

  /// The nearest part of the path that is passed over whole.
  private static func area(
    of key: RepositoryKey, in transaction: ReadTransaction
  ) throws -> (name: String, record: RepositoryRecord)? {
    var path = Substring(key.repository)
    while let slash = path.lastIndex(of: "/") {
      path = path[..<slash]
      let area = RepositoryKey(integration: key.integration, repository: String(path))
      if let record = try transaction.get(StateStore.repositories, area), record.state == .skipped {
        return (area.repository, record)
      }
    }
    return nil
  }

  private func pointing(to digest: String, in repository: String, of integration: UInt64) async throws -> [String] {
    var found: [String] = []
    var position: TagKey?
    repeat {
      try Task.checkCancellation()
      let (tags, next) = try await reader.run { [store, position] in
        try store.read { transaction in
          var tags: [String] = []
          let next = try transaction.step(
            StateStore.tags,
            prefix: RepositoryKey(integration: integration, repository: repository).beginKey, after: position,
            limit: Self.step
          ) { key, tag in
            if tag.digest == digest && !tag.isGone { tags.append(key.tag) }
            return true
          }
          return (tags, next)
        }
      }
      found += tags
      position = next
    } while position != nil && found.count < Self.tagsMaximum
    return Array(found.prefix(Self.tagsMaximum))
  }

  /// What criteria make of a tag; `createdAt` is its image's, nil where that is not known.
  static func present(
    _ criteria: Criteria, _ repository: String, _ tag: String, createdAt: Timestamp?, now: Timestamp
  ) -> Explanation.Present {
    switch criteria.screen(repository: repository, tag: tag) {
    case .selected(let reason): return .decided(.selected(reason))
    case .rejected(let reason): return .decided(.rejected(reason))
    case .needsDate: break
    }
    switch criteria.condition {
    case .createdWithin(let period):
      guard let createdAt else { return .open("its date: created within \(period)") }
      let created = CreationDate(config: createdAt, pushed: nil, firstSeen: now, now: now)
      return .decided(period.decide(created: created, now: now))
    case .latest(let count): return .open("its date: only the newest \(count) of its repository are taken")
    case .none: return .open("its name")
    }
  }
}
