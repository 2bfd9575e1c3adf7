import Posix
import Queue
import Selection
import StorageMessages
import Store

/// Reads what was decided on every tag that was ever listed. Tables are read in steps on a thread that may be held up:
/// memory does not grow with the registry, no view of the store is kept for long, and others have their turn in between.
package struct Ledger: Sendable {
  /// Rows looked at in one step.
  static let step = 5_000

  let store: StateStore
  package let queue: JobQueue
  let reader: SerialThread

  package init(store: StateStore, queue: JobQueue, reader: SerialThread) {
    self.store = store
    self.queue = queue
    self.reader = reader
  }

  /// Which tags, or images, are asked for.
  package struct Filter: Sendable {
    /// Nil for all.
    package var integration: UInt64?
    package var repository: Pattern?
    package var status: ImageStatus?
    package var reasonCode: String?

    package init() {}

    /// What the key of everything that matches begins with: a single repository is found without reading the others.
    fileprivate func writePrefix(_ key: inout KeyWriter) {
      guard let integration else { return }
      key.append(integration)
      if let name = repository?.name, name.contains("/"), !name.contains("*") { key.append(terminated: name) }
    }

    fileprivate func takes(_ state: TagState) -> Bool {
      (status.map { $0 == state.status } ?? true) && (reasonCode.map { $0 == state.reasonCode } ?? true)
    }
  }

  /// A tag, and what there is of its image.
  package struct Row: Sendable {
    package let key: TagKey
    package let tag: TagRecord
    package let image: ImageRecord?
    package let state: TagState
    package let since: Int64
  }

  // MARK: - Counting

  package struct Coverage: Sendable {
    package let tags: CoverageCount
    package let repositories: RepositoryCount
    /// The newest poll that has ended.
    package let poll: PollRecord?
  }

  package func coverage(of integration: UInt64) async throws -> Coverage {
    var tags = CoverageCount()
    var lastTag: TagKey?
    repeat {
      try Task.checkCancellation()
      (tags, lastTag) = try await reader.run { [store, queue, tags, lastTag] in
        var count = tags
        let next = try store.read { transaction in
          let shown = try ShownImages(queue, in: transaction)
          return try transaction.step(
            StateStore.tags, prefix: { $0.append(integration) }, after: lastTag, limit: Self.step
          ) { key, tag in
            count.add(key, TagState(tag, image: try shown.image(of: key, tag)))
            return true
          }
        }
        return (count, next)
      }
    } while lastTag != nil
    var repositories = RepositoryCount()
    var lastRepository: RepositoryKey?
    repeat {
      try Task.checkCancellation()
      (repositories, lastRepository) = try await reader.run { [store, repositories, lastRepository] in
        var count = repositories
        let next = try store.read { transaction in
          try transaction.step(
            StateStore.repositories, prefix: { $0.append(integration) }, after: lastRepository, limit: Self.step
          ) { key, record in
            count.add(key.repository, record)
            return true
          }
        }
        return (count, next)
      }
    } while lastRepository != nil
    return Coverage(tags: tags, repositories: repositories, poll: try await lastEndedPoll(of: integration))
  }

  // MARK: - Listing

  /// Tags in key order after `after` that the filter takes, at most `limit`. `isWanted` is asked last.
  package func tags(
    _ filter: Filter, after: TagKey?, limit: Int, where isWanted: @escaping @Sendable (Row) -> Bool = { _ in true }
  ) async throws -> [Row] {
    var found: [Row] = []
    var position = after
    repeat {
      try Task.checkCancellation()
      let (rows, next) = try await reader.run { [self, position, wanted = limit - found.count] in
        try store.read { try step(filter, after: position, limit: wanted, in: $0, where: isWanted) }
      }
      found += rows
      position = next
    } while position != nil && found.count < limit
    return found
  }

  private func step(
    _ filter: Filter, after: TagKey?, limit: Int, in transaction: ReadTransaction, where isWanted: (Row) -> Bool
  ) throws -> ([Row], TagKey?) {
    var found: [Row] = []
    var repository = RepositoryMatch(filter.repository)
    let shown = try ShownImages(queue, in: transaction)
    let next = try transaction.step(
      StateStore.tags, prefix: filter.writePrefix, after: after, limit: Self.step
    ) { key, tag in
      guard repository.matches(key.repository) else { return true }
      let image = try shown.image(of: key, tag)
      let state = TagState(tag, image: image)
      guard filter.takes(state) else { return true }
      let job = try shown.job(of: image)
      let row = Row(
        key: key, tag: tag, image: image, state: state, since: state.since(tag, image: image, job: job))
      if isWanted(row) { found.append(row) }
      return found.count < limit
    }
    return (found, next)
  }

  /// Images in key order after `after` of the filter's integration, repository and status that `isWanted` takes, at most
  /// `limit`.
  package func images(
    _ filter: Filter, after: ImageKey?, limit: Int, where isWanted: @escaping @Sendable (ImageRecord) -> Bool
  ) async throws -> [(key: ImageKey, image: ImageRecord)] {
    var found: [(key: ImageKey, image: ImageRecord)] = []
    var position = after
    repeat {
      try Task.checkCancellation()
      let (images, next) = try await reader.run { [store, queue, position, wanted = limit - found.count] in
        try store.read { transaction in
          let shown = try ShownImages(queue, in: transaction)
          var images: [(key: ImageKey, image: ImageRecord)] = []
          var repository = RepositoryMatch(filter.repository)
          let next = try transaction.step(
            StateStore.images, prefix: filter.writePrefix, after: position, limit: Self.step
          ) { key, image in
            guard repository.matches(key.repository) else { return true }
            let image = try shown.view(image)
            guard filter.status.map({ $0 == image.status }) ?? true,
              isWanted(image)
            else { return true }
            images.append((key, image))
            return images.count < wanted
          }
          return (images, next)
        }
      }
      found += images
      position = next
    } while position != nil && found.count < limit
    return found
  }

  package func lastEndedPoll(of integration: UInt64) async throws -> PollRecord? {
    try await reader.run { [store] in try store.read { try Self.newestPolls(of: integration, in: $0).ended } }
  }

  /// Polls before `before`, the newest first, at most `limit`; of one that runs as it stood when it began.
  package func polls(of integration: UInt64, before: UInt64, limit: Int) async throws -> [PollRecord] {
    try await reader.run { [store] in try store.polls(of: integration, before: before, limit: limit) }
  }

  /// A page of what a tag points to and pointed to before; nil for one that was never listed.
  package func history(of key: TagKey, before: UInt64?, limit: Int) async throws -> TagHistory? {
    try await reader.run { [store, queue] in
      try store.read { transaction in
        try TagHistory.page(
          of: key, before: before, limit: limit, store: store, images: ShownImages(queue, in: transaction),
          in: transaction)
      }
    }
  }

  /// The newest poll, and the newest that has ended.
  static func newestPolls(
    of integration: UInt64, in transaction: ReadTransaction
  ) throws -> (any: PollRecord?, ended: PollRecord?) {
    var newest: PollRecord?
    var ended: PollRecord?
    try transaction.scanBackwards(
      StateStore.polls, from: PollKey(integration: integration, poll: .max)
    ) { key, poll in
      guard key.integration == integration else { return false }
      newest = newest ?? poll
      if poll.isEnded { ended = poll }
      return ended == nil
    }
    return (newest, ended)
  }

  // MARK: - Rows

  /// The image of the digest that the tag points to, or pointed to when it was last seen, as it is stored.
  package static func image(of key: TagKey, _ tag: TagRecord, in transaction: ReadTransaction) throws -> ImageRecord? {
    guard !tag.digest.isEmpty else { return nil }
    return try transaction.get(
      StateStore.images, ImageKey(integration: key.integration, repository: key.repository, digest: tag.digest))
  }

  /// The image's newest job as it is stored, if it is still known.
  static func job(of image: ImageRecord?, in transaction: ReadTransaction) throws -> JobRecord? {
    guard let image, image.lastJobId != 0 else { return nil }
    return try transaction.get(QueueTables.jobs, image.lastJobId)
  }
}

/// Whether a repository matches a pattern, asked once for all its rows, which come one after the other.
private struct RepositoryMatch {
  private let pattern: Pattern?
  private var last: (repository: String, matches: Bool)?

  init(_ pattern: Pattern?) { self.pattern = pattern }

  mutating func matches(_ repository: String) -> Bool {
    guard let pattern else { return true }
    if let last, last.repository == repository { return last.matches }
    let matches = pattern.matches(repository: repository)
    last = (repository, matches)
    return matches
  }
}
