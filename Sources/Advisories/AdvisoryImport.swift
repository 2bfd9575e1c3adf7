import Model
import StorageMessages
import Store

/// How far an import is, and what it came to.
package struct ImportSummary: Sendable, Equatable {
  /// Records that were looked at.
  package var read: UInt64 = 0
  /// Of those, the ones that are in the database now.
  package var kept: UInt64 = 0
  /// Of those, the ones that could not be read.
  package var skipped: UInt64 = 0
  /// "set: entry: reason", the first of them.
  package var skippedNames: [String] = []

  package static let skippedNamesMaximum = 100

  package init() {}
}

/// One import: copies the sets that stay, reads the uploads, into an environment nobody else sees yet.
struct AdvisoryImport {
  /// Records in one transaction, and bytes of their text: keeps commits and memory moderate.
  private static let batchRecords = 1_000
  private static let batchBytes = 4 << 20

  let environment: Environment
  let importedAt: Int64
  let progress: @Sendable (ImportSummary) -> Void

  private struct Batch {
    var records: [AdvisoryRecord] = []
    var bytes = 0
    var isFull: Bool { records.count >= AdvisoryImport.batchRecords || bytes >= AdvisoryImport.batchBytes }
  }

  /// Copies the sets of `previous` that are not among `names`.
  func keepSets(of previous: Environment, except names: Set<String>) async throws {
    var sets: [AdvisorySetRecord] = []
    try previous.read { transaction in
      try transaction.scan(AdvisoryTables.sets) { name, set in
        if !names.contains(name) { sets.append(set) }
        return true
      }
    }
    for set in sets {
      var last: RecordKey?
      repeat {
        let batch = try nextBatch(of: set, in: previous, after: last)
        last = batch.records.last.map { RecordKey(set: set.name, id: $0.id) }
        _ = try await write(batch, set)
      } while last != nil
      try await environment.write { try $0.put(AdvisoryTables.sets, set.name, set) }
    }
  }

  private func nextBatch(
    of set: AdvisorySetRecord, in previous: Environment, after last: RecordKey?
  ) throws -> Batch {
    var batch = Batch()
    try previous.read { transaction in
      try transaction.scan(AdvisoryTables.records, prefix: { $0.append(terminated: set.name) }, startingAt: last) {
        key, record in
        if key == last { return true }
        batch.records.append(record)
        // A rough size is enough: most of a record is its versions.
        batch.bytes += record.affected.reduce(256) { $0 + 64 * ($1.versions.count + $1.ranges.count + 1) }
        return !batch.isFull
      }
    }
    return batch
  }

  /// Reads an upload into the set `name`. Throws when it is no archive, a broken one, or one without a single record;
  /// a bad record among good ones is skipped and named.
  func readUpload(_ path: String, set name: String, into summary: inout ImportSummary) async throws {
    var set = try environment.read { try $0.get(AdvisoryTables.sets, name) } ?? AdvisorySetRecord()
    set.name = name
    set.importedAt = importedAt
    let archive = try RecordArchives.open(path)
    let reader = RecordReader()
    let before = summary
    var batch = Batch()
    while let entry = try archive.next() {
      try Task.checkCancellation()
      do {
        let text = try entry.contents.get()
        // Archives hold other files too: lists of times, licences.
        if !entry.name.hasSuffix(".json") && !JSONShape.beginsObject(text) { continue }
        let record = try reader.read(text)
        batch.records.append(record)
        batch.bytes += text.count
        summary.kept += 1
      } catch {
        set.skipped += 1
        summary.skipped += 1
        if summary.skippedNames.count < ImportSummary.skippedNamesMaximum {
          summary.skippedNames.append("\(name): \(entry.name.excerpt(maximumScalars: 200)): \(error.reason)")
        }
      }
      summary.read += 1
      if batch.isFull {
        set.records += try await write(batch, set)
        batch = Batch()
        progress(summary)
      }
    }
    set.records += try await write(batch, set)
    guard summary.kept > before.kept else {
      let first = summary.skippedNames.dropFirst(before.skippedNames.count).first
      throw AdvisoryError(
        .notOSV, "the archive holds no OSV record" + (first.map { " (\($0))" } ?? ""),
        hint: "import an all.zip of OSV.dev, a folder of OSV records, or single records in .json files")
    }
    try await environment.write { [set] in try $0.put(AdvisoryTables.sets, name, set) }
    progress(summary)
  }

  /// Returns how many records are new to the set.
  private func write(_ batch: Batch, _ set: AdvisorySetRecord) async throws -> UInt64 {
    if batch.records.isEmpty { return 0 }
    let records = batch.records
    return try await environment.write { transaction in
      var added: UInt64 = 0
      for record in records where try GenerationWriter.put(record, set: set, in: transaction) { added += 1 }
      return added
    }
  }
}
