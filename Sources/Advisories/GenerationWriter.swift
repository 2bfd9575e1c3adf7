import StorageMessages
import Store

/// Writes records into a generation that is being built, and keeps its index and counts true at every step.
///
/// One ID may come from several sets: the newest record is the one in force, of equally old ones the first written.
enum GenerationWriter {
  /// Writes `record` as one of `set`; returns false when the set already holds one that is no older.
  static func put(
    _ record: AdvisoryRecord, set: AdvisorySetRecord, in transaction: WriteTransaction
  ) throws -> Bool {
    let key = RecordKey(set: set.name, id: record.id)
    let earlier = try transaction.get(AdvisoryTables.records, key)
    if let earlier, earlier.modifiedAt >= record.modifiedAt { return false }
    try transaction.put(AdvisoryTables.records, key, record)
    if let inForce = try transaction.get(AdvisoryTables.advisories, record.id) {
      let isOwn = inForce.sets == [set.name]
      if !isOwn && inForce.modifiedAt >= record.modifiedAt { return earlier == nil }
      let replaced =
        try isOwn
        ? earlier : transaction.get(AdvisoryTables.records, RecordKey(set: inForce.sets.first ?? "", id: record.id))
      if let replaced { try remove(replaced, in: transaction) }
    }
    try add(record, set, in: transaction)
    return earlier == nil
  }

  private static func add(
    _ record: AdvisoryRecord, _ set: AdvisorySetRecord, in transaction: WriteTransaction
  ) throws {
    var header = record
    header.affected = []
    header.sets = [set.name]
    try transaction.put(AdvisoryTables.advisories, record.id, header)
    for (key, entries) in index(of: record) { try transaction.put(AdvisoryTables.packages, key, entries) }
    for name in ecosystems(of: record) {
      var ecosystem = try transaction.get(AdvisoryTables.ecosystems, name) ?? EcosystemRecord()
      ecosystem.name = name
      ecosystem.advisories += 1
      ecosystem.updatedAt = max(ecosystem.updatedAt, set.importedAt)
      try transaction.put(AdvisoryTables.ecosystems, name, ecosystem)
    }
  }

  private static func remove(_ record: AdvisoryRecord, in transaction: WriteTransaction) throws {
    for key in index(of: record).keys { try transaction.delete(AdvisoryTables.packages, key) }
    for name in ecosystems(of: record) {
      guard var ecosystem = try transaction.get(AdvisoryTables.ecosystems, name) else { continue }
      ecosystem.advisories -= 1
      if ecosystem.advisories == 0 {
        try transaction.delete(AdvisoryTables.ecosystems, name)
      } else {
        try transaction.put(AdvisoryTables.ecosystems, name, ecosystem)
      }
    }
  }

  /// Nothing for a withdrawn record: it is kept, and never matches.
  private static func index(of record: AdvisoryRecord) -> [IndexKey: AffectedIndex] {
    guard record.withdrawnAt == 0 else { return [:] }
    var index: [IndexKey: AffectedIndex] = [:]
    for entry in record.affected {
      index[IndexKey(ecosystem: entry.ecosystem, package: entry.name, id: record.id), default: AffectedIndex()]
        .entries.append(entry)
    }
    return index
  }

  private static func ecosystems(of record: AdvisoryRecord) -> Set<String> {
    record.withdrawnAt == 0 ? Set(record.affected.map(\.ecosystem)) : []
  }
}
