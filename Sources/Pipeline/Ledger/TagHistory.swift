import StorageMessages
import Store

/// What a tag points to and pointed to before, the newest first.
package struct TagHistory: Sendable {
  package struct Entry: Sendable, Equatable {
    package enum End: String, Sendable {
      case moved, gone
    }

    package let digest: String
    /// Nanoseconds since 1970.
    package let since: Int64
    /// 0 while it still points there.
    package let until: Int64
    /// Nil while it still points there.
    package let end: End?
    /// Nil when it was never pulled.
    package let image: ImageRecord?
  }

  package let entries: [Entry]
  /// Where the next page begins: before an entry that began then. Nil when there is none.
  package let next: UInt64?

  /// Nil for a tag that was never listed. With `before` the entry that still holds is left out.
  static func page(
    of key: TagKey, before: UInt64?, limit: Int, store: StateStore, images: ShownImages, in transaction: ReadTransaction
  ) throws -> TagHistory? {
    guard let tag = try transaction.get(StateStore.tags, key) else { return nil }
    func image(_ digest: String) throws -> ImageRecord? {
      try images.image(ImageKey(integration: key.integration, repository: key.repository, digest: digest))
    }
    var entries: [Entry] = []
    if before == nil, !tag.isGone, !tag.digest.isEmpty {
      entries.append(
        Entry(digest: tag.digest, since: tag.since, until: 0, end: nil, image: try image(tag.digest)))
    }
    let wanted = limit - entries.count
    let past = try store.history(of: key, before: before ?? .max, limit: wanted + 1, in: transaction)
    for (since, record) in past.prefix(wanted) {
      entries.append(
        Entry(
          digest: record.digest, since: Int64(clamping: since), until: record.until, end: record.gone ? .gone : .moved,
          image: try image(record.digest)))
    }
    return TagHistory(entries: entries, next: past.count > wanted ? past.prefix(wanted).last?.since ?? .max : nil)
  }
}
