import StorageMessages

/// The ledger: what was decided on every tag that was ever listed, and what each pointed to before.
extension StateStore {
  /// Remembers an image, if it is new. Returns it.
  package func remember(
    _ image: ImageKey, now: Int64, in transaction: WriteTransaction
  ) throws -> ImageRecord {
    let (record, isNew) = try recall(image, now: now, in: transaction)
    if isNew { try transaction.put(Self.images, image, record) }
    return record
  }

  /// What is known of an image, or a record of one that is seen for the first time; stores nothing.
  package func recall(
    _ image: ImageKey, now: Int64, in transaction: ReadTransaction
  ) throws -> (record: ImageRecord, isNew: Bool) {
    if let known = try transaction.get(Self.images, image) { return (known, false) }
    var record = ImageRecord()
    record.integrationId = image.integration
    record.repository = image.repository
    record.digest = image.digest
    record.firstSeenAt = try transaction.get(Self.imageFacts, image)?.firstSeenAt ?? now
    return (record, true)
  }

  /// No tag points to an image any more. One on its way to be scanned is gone when that has ended.
  package func setUntagged(_ key: ImageKey, now: Int64, in transaction: WriteTransaction) throws {
    guard var record = try transaction.get(Self.images, key) else { return }
    record.untagged = true
    if record.untaggedAt == 0 {
      record.untaggedAt = now
      try transaction.put(Self.imagesUntagged, UntaggedImageKey(since: now, image: key), NoValue())
    }
    if record.status != .queued {
      record.status = .gone
      record.statusReason = "no tag of the repository points to it any more"
    }
    try transaction.put(Self.images, key, record)
  }

  /// Stores a tag as it now stands. Where it pointed elsewhere until now, or is gone since, that goes into its history.
  package func put(_ record: TagRecord, _ key: TagKey, now: Int64, in transaction: WriteTransaction) throws {
    if let previous = try transaction.get(Self.tags, key), !previous.digest.isEmpty, previous.goneAt == 0,
      previous.digest != record.digest || record.goneAt != 0
    {
      var history = TagHistoryRecord()
      history.digest = previous.digest
      history.until = now
      history.gone = record.goneAt != 0
      history.nextDigest = history.gone ? "" : record.digest
      try transaction.put(Self.tagHistory, TagHistoryKey(tag: key, since: previous.since), history)
    }
    try transaction.put(Self.tags, key, record)
  }

  /// The tags of one repository, in order, from after `after` on, gone ones too.
  package func tags(
    of repository: RepositoryKey, after: String? = nil, in transaction: ReadTransaction,
    _ body: (TagKey, TagRecord) throws -> Bool
  ) throws {
    let start = after.map {
      TagKey(integration: repository.integration, repository: repository.repository, tag: $0)
    }
    try transaction.scan(Self.tags, prefix: repository.beginKey, startingAt: start) { key, record in
      key == start ? true : try body(key, record)
    }
  }

  /// The tags of one repository that are there, as far as is known, and that `matches` takes.
  package func presentTags(
    of repository: RepositoryKey, where matches: (TagKey) -> Bool = { _ in true }
  ) throws -> [(key: TagKey, record: TagRecord)] {
    try read { transaction in
      var found: [(TagKey, TagRecord)] = []
      try tags(of: repository, in: transaction) { key, record in
        if !record.isGone && matches(key) { found.append((key, record)) }
        return true
      }
      return found
    }
  }

  /// What a tag pointed to before, the newest first, at most `limit`, from before `before` on.
  package func history(
    of tag: TagKey, before: UInt64 = .max, limit: Int, in transaction: ReadTransaction
  ) throws -> [(since: UInt64, record: TagHistoryRecord)] {
    var found: [(UInt64, TagHistoryRecord)] = []
    guard before > 0 else { return found }
    let last = TagHistoryKey(tag: tag, since: Int64(clamping: before - 1))
    try transaction.scanBackwards(Self.tagHistory, from: last) { key, record in
      guard key.tag == tag else { return false }
      found.append((key.since, record))
      return found.count < limit
    }
    return found
  }
}

extension TagRecord {
  package var isGone: Bool { goneAt != 0 }
  /// Versions that kept no decisions stored only what they had selected.
  package var isSelected: Bool { decision == .selected || decision == .unspecified }
  /// Whether its image was asked for because of it, whatever is decided now.
  package var isTaken: Bool { taken || isSelected }
}
