import StorageMessages

/// How many reports name a layer.
package struct LayerUse: TableValue, Equatable {
  package static var layout: String {
    "reports, 8 bytes big-endian; since when there is none, nanoseconds since 1970, 8 bytes big-endian"
  }
  package var reports: UInt64
  /// 0 while there are any.
  package var unusedSince: UInt64

  package func encodedValue() -> [UInt8] { reports.encodedValue() + unusedSince.encodedValue() }
  package init(decodingValue bytes: UnsafeRawBufferPointer) throws {
    guard bytes.count == 16 else { throw MalformedValue() }
    reports = try UInt64(decodingValue: UnsafeRawBufferPointer(rebasing: bytes[..<8]))
    unusedSince = try UInt64(decodingValue: UnsafeRawBufferPointer(rebasing: bytes[8...]))
  }
  init(reports: UInt64, unusedSince: Int64) {
    self.reports = reports
    self.unusedSince = UInt64(max(0, unusedSince))
  }
}

/// Which layers are still named by reports.
///
/// They are counted in the transaction that changes the reports. Marking what is in use from time to time instead would
/// read every report, most of the store, for each sweep, and keep all their layers in memory; counting costs a new image
/// some small rows beside reports of tens of KiB, and an image that is scanned or matched anew nothing, since its layers
/// stay the same. A layer that none names is also in `layers_unused`, by when that began, so that a sweep touches nothing
/// but what it takes away; nobody looks for its row there when it is named again, a sweep finds that out.
extension StateStore {
  /// Whether there is an analysis of a layer, for a scan that is about to use it; where no report names it, its time without
  /// one begins anew, so that it is not taken from under the scan.
  package func useLayer(_ key: LayerKey, now: Int64) async throws -> Bool {
    let (isKnown, isUsed) = try read { transaction in
      let isKnown = try transaction.has(Self.layers, key)
      return (isKnown, try transaction.get(Self.layerUses, key.digest).map { $0.reports > 0 } ?? false)
    }
    guard isKnown, !isUsed else { return isKnown }
    return try await write { [self] transaction in
      guard try transaction.has(Self.layers, key) else { return false }
      try keep(key.digest, now: now, in: transaction)
      return true
    }
  }

  /// A layer that is there and that no report need name yet.
  func keep(_ digest: String, now: Int64, in transaction: WriteTransaction) throws {
    let use = try transaction.get(Self.layerUses, digest)
    if let use, use.reports > 0 { return }
    try set(digest, LayerUse(reports: 0, unusedSince: now), in: transaction)
  }

  func countLayers(
    of new: [ReportRecord], replacing old: [ReportRecord], now: Int64, in transaction: WriteTransaction
  ) throws {
    var changes: [String: Int] = [:]
    for report in new { for digest in report.layerDigests { changes[digest, default: 0] += 1 } }
    for report in old { for digest in report.layerDigests { changes[digest, default: 0] -= 1 } }
    for (digest, change) in changes where change != 0 {
      let reports = Int(clamping: try transaction.get(Self.layerUses, digest)?.reports ?? 0) + change
      let use = LayerUse(reports: UInt64(max(0, reports)), unusedSince: reports > 0 ? 0 : now)
      try set(digest, use, in: transaction)
    }
  }

  private func set(_ digest: String, _ use: LayerUse, in transaction: WriteTransaction) throws {
    try transaction.put(Self.layerUses, digest, use)
    guard use.reports == 0 else { return }
    let key = UnusedLayerKey(since: Int64(clamping: use.unusedSince), digest: digest)
    try transaction.put(Self.layersUnused, key, NoValue())
  }

  /// Removes reports whose key begins with what `prefix` writes, at most `limit`; returns whether more are left.
  func removeReports(
    prefix: (inout KeyWriter) -> Void, limit: Int, now: Int64, in transaction: WriteTransaction
  ) throws -> Bool {
    var doomed: [ReportKey] = []
    try transaction.scan(Self.reports.keysOnly, prefix: prefix) { key, _ in
      doomed.append(key)
      return doomed.count <= limit
    }
    for key in doomed.prefix(limit) {
      guard let report = try transaction.get(Self.reports, key) else { continue }
      try transaction.delete(Self.reports, key)
      try countLayers(of: [], replacing: [report], now: now, in: transaction)
    }
    return doomed.count > limit
  }

  /// Forgets an image with its reports. Returns how many of these there were.
  package func removeImage(_ image: ImageKey, now: Int64, in transaction: WriteTransaction) throws -> Int {
    let old = try reports(of: image, in: transaction)
    for report in old { try transaction.delete(Self.reports, ReportKey(image: image, platform: report.platform)) }
    try countLayers(of: [], replacing: old, now: now, in: transaction)
    try transaction.delete(Self.images, image)
    return old.count
  }

  // MARK: - A store that was written before this was kept

  private static let countedFact = "layer_uses"
  private static let countedBatch = 500

  /// At start, before anybody else writes: counts the layers of a store that a version has written that did not, and notes
  /// its images without tags. Cut short, it begins anew.
  ///
  /// No step of the schema's (`Migration`): those run in the one transaction that opens the store, and this reads every
  /// report, which is most of the store, and writes a row or two for each layer. In one transaction that would keep all the
  /// pages it changes in memory, and need free ones for all of them at once, in a store that may be nearly full; in batches it
  /// gives them back. Nor need it be one: what it writes are tables of their own, which no older daemon misreads, so that the
  /// schema's version did not rise with them. It stands here because it counts with what counts from then on.
  func countLayersOnce(now: Int64) async throws {
    guard try read({ try $0.get(Self.meta, Self.countedFact) }) == nil else { return }
    let isEmpty = try await write { transaction in
      if try transaction.count(Self.layers) + transaction.count(Self.reports) + transaction.count(Self.images) == 0 {
        try transaction.put(Self.meta, Self.countedFact, 1)
        return true
      }
      try transaction.clear(Self.layerUses)
      try transaction.clear(Self.layersUnused)
      try transaction.clear(Self.imagesUntagged)
      return false
    }
    if isEmpty { return }
    try await inBatches(Self.layers.keysOnly) { [self] key, transaction in
      try keep(key.digest, now: now, in: transaction)
    }
    try await inBatches(Self.reports.keysOnly) { [self] key, transaction in
      guard let report = try transaction.get(Self.reports, key) else { return }
      try countLayers(of: [report], replacing: [], now: now, in: transaction)
    }
    try await inBatches(Self.images.keysOnly) { [self] key, transaction in
      guard let image = try transaction.get(Self.images, key), image.untagged || image.status == .gone else { return }
      try changeImage(key, in: transaction) { $0.untaggedAt = 0 }
      try setUntagged(key, now: now, in: transaction)
    }
    try await write { try $0.put(Self.meta, Self.countedFact, 1) }
  }

  private func inBatches<Key: TableKey & Equatable>(
    _ table: Table<Key, UnreadValue>, _ body: @escaping @Sendable (Key, WriteTransaction) throws -> Void
  ) async throws {
    var last: Key?
    repeat {
      last = try await write { [last] transaction in
        var keys: [Key] = []
        try transaction.scan(table, from: last) { key, _ in
          if key != last { keys.append(key) }
          return keys.count < Self.countedBatch
        }
        for key in keys { try body(key, transaction) }
        return keys.last
      }
    } while last != nil
  }
}

extension ReportRecord {
  /// Each once.
  package var layerDigests: Set<String> { Set(layers.map(\.digest)) }
}
