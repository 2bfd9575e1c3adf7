import StorageMessages

extension StateStore {
  // MARK: - Reading

  package func image(_ key: ImageKey) throws -> ImageRecord? { try read { try $0.get(Self.images, key) } }

  /// The digest a tag pointed to when it was last seen.
  package func tag(_ key: TagKey) throws -> TagRecord? { try read { try $0.get(Self.tags, key) } }

  /// Tags that an image was asked for by and that point to it, in order, at most `limit`; where there is none, others that
  /// do, or did last.
  package func tags(of image: ImageKey, limit: Int, in transaction: ReadTransaction) throws -> [String] {
    try tags(of: [image], limit: limit, in: transaction)[image] ?? []
  }

  /// The same for each of `images`. Every repository is read once, however many of its images are asked for.
  package func tags(
    of images: [ImageKey], limit: Int, in transaction: ReadTransaction
  ) throws -> [ImageKey: [String]] {
    var found: [ImageKey: [String]] = [:]
    let repositories = Dictionary(grouping: images) {
      RepositoryKey(integration: $0.integration, repository: $0.repository)
    }
    for (repository, images) in repositories {
      var present: [String: [String]] = Dictionary(images.map { ($0.digest, []) }) { first, _ in first }
      var others: [String: [String]] = [:]
      var unfilled = present.count
      try tags(of: repository, in: transaction) { key, record in
        guard let known = present[record.digest] else { return true }
        if record.isGone || !record.isTaken {
          if others[record.digest, default: []].count < limit { others[record.digest, default: []].append(key.tag) }
        } else if known.count < limit {
          present[record.digest]?.append(key.tag)
          if known.count + 1 == limit { unfilled -= 1 }
        }
        return unfilled > 0
      }
      for image in images {
        let tags = present[image.digest] ?? []
        found[image] = tags.isEmpty ? others[image.digest] ?? [] : tags
      }
    }
    return found
  }

  /// Images of all integrations in key order after `after`, at most `limit`.
  package func imageKeys(after: ImageKey?, limit: Int, in transaction: ReadTransaction) throws -> [ImageKey] {
    var found: [ImageKey] = []
    try transaction.scan(Self.images, from: after) { key, _ in
      if key != after { found.append(key) }
      return found.count < limit
    }
    return found
  }

  package func imageCount() throws -> Int { try read { try $0.count(Self.images) } }

  package func report(_ key: ReportKey) throws -> ReportRecord? { try read { try $0.get(Self.reports, key) } }

  /// All reports of an image, by platform.
  package func reports(of image: ImageKey, in transaction: ReadTransaction) throws -> [ReportRecord] {
    var found: [ReportRecord] = []
    try transaction.scan(
      Self.reports,
      prefix: { key in
        key.append(image.integration)
        key.append(terminated: image.repository)
        key.append(terminated: image.digest)
      }
    ) { _, report in
      found.append(report)
      return true
    }
    return found
  }

  // MARK: - Changing

  /// Throws `IntegrationError` for an integration that is gone or being removed: nothing may be added to it.
  package static func requireIntegration(_ id: UInt64, in transaction: ReadTransaction) throws {
    guard let record = try transaction.get(integrations, id) else { throw IntegrationError.unknown("\(id)") }
    if record.deleting { throw IntegrationError.beingRemoved(record.name) }
  }

  /// Changes an image's record if it is there (its integration may be on its way out).
  package func changeImage(
    _ key: ImageKey, in transaction: WriteTransaction, _ change: (inout ImageRecord) -> Void
  ) throws {
    guard var record = try transaction.get(Self.images, key) else { return }
    change(&record)
    try transaction.put(Self.images, key, record)
  }

  /// Replaces all reports of an image, and counts the layers that they name.
  package func putReports(
    _ reports: [ReportRecord], of image: ImageKey, now: Int64, in transaction: WriteTransaction
  ) throws {
    let old = try self.reports(of: image, in: transaction)
    for old in old where !reports.contains(where: { $0.platform == old.platform }) {
      try transaction.delete(Self.reports, ReportKey(image: image, platform: old.platform))
    }
    for report in reports {
      try transaction.put(Self.reports, ReportKey(image: image, platform: report.platform), report)
    }
    try countLayers(of: reports, replacing: old, now: now, in: transaction)
  }

  // MARK: - What is known of blobs

  package func knowsLayer(_ key: LayerKey) throws -> Bool { try read { try $0.has(Self.layers, key) } }

  package func layerAnalysis(_ key: LayerKey) throws -> LayerAnalysis? { try read { try $0.get(Self.layers, key) } }

  /// Whether this repository confirmed the digest with this generation of the credential (D15).
  package func isConfirmed(_ key: ConfirmationKey) throws -> Bool {
    try read { try $0.get(Self.confirmations, key) != nil }
  }

  /// Nothing happens when the integration is gone: its rows are, and none may come after them.
  package func confirm(_ key: ConfirmationKey, now: Int64) async throws {
    try await write { try Self.confirm(key, now: now, in: $0) }
  }

  private static func confirm(_ key: ConfirmationKey, now: Int64, in transaction: WriteTransaction) throws {
    guard try transaction.get(integrations, key.integration) != nil else { return }
    try transaction.put(confirmations, key, UInt64(max(0, now / 1_000_000_000)))
  }

  /// What is known of malware in a layer; nil where its files were not looked into.
  package func layerMalware(_ key: LayerKey) throws -> LayerMalware? { try read { try $0.get(Self.malware, key) } }

  /// What was known of malware in the layer stays where `malware` is nil.
  package func putLayerAnalysis(
    _ analysis: LayerAnalysis, _ key: LayerKey, malware: LayerMalware? = nil, confirmed: ConfirmationKey, now: Int64
  ) async throws {
    try await write { [self] transaction in
      try transaction.put(Self.layers, key, analysis)
      if let malware { try transaction.put(Self.malware, key, malware) }
      try keep(key.digest, now: now, in: transaction)
      try Self.confirm(confirmed, now: now, in: transaction)
    }
  }
}
