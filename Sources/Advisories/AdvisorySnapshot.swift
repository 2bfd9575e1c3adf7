import Matching
import StorageMessages
import Store

/// The advisories that were in force when it was taken. Holds their file open: keep it for a match, not for good.
package struct AdvisorySnapshot: AdvisorySource, Sendable {
  private let current: Generation?

  init(_ current: Generation?) { self.current = current }

  /// 0 before the first import.
  package var generation: UInt64 { current?.number ?? 0 }

  package func entries(ecosystem: String, package: String) throws -> [PackageAdvisory] {
    // Names that no record may have are in no index.
    guard let current, IndexKey(ecosystem: ecosystem, package: package, id: "").isValid,
      !ecosystem.utf8.contains(0), !package.utf8.contains(0)
    else { return [] }
    return try current.environment.read { transaction in
      var found: [PackageAdvisory] = []
      try transaction.scan(
        AdvisoryTables.packages,
        prefix: { key in
          key.append(terminated: ecosystem)
          key.append(terminated: package)
        }
      ) { key, index in
        found.append(PackageAdvisory(id: key.id, entries: index.entries))
        return true
      }
      return found
    }
  }

  /// The newest record of that ID, without its affected entries; withdrawn ones too.
  package func advisory(id: String) throws -> AdvisoryRecord? {
    guard let current, !id.isEmpty, id.utf8.count <= RecordLimits.identifier else { return nil }
    return try current.environment.read { try $0.get(AdvisoryTables.advisories, id) }
  }

  package func advisoryCount(ecosystem: String) throws -> UInt64 {
    guard let current, !ecosystem.isEmpty, ecosystem.utf8.count <= RecordLimits.identifier else { return 0 }
    return try current.environment.read { try $0.get(AdvisoryTables.ecosystems, ecosystem)?.advisories ?? 0 }
  }

  package func status() throws -> AdvisoryStatus {
    guard let current else { return AdvisoryStatus() }
    return try current.environment.read { transaction in
      var status = AdvisoryStatus()
      status.generation = current.number
      status.advisories = UInt64(try transaction.count(AdvisoryTables.advisories))
      try transaction.scan(AdvisoryTables.ecosystems) { _, ecosystem in
        status.ecosystems.append(ecosystem)
        return true
      }
      try transaction.scan(AdvisoryTables.sets) { _, set in
        status.sets.append(set)
        return true
      }
      return status
    }
  }
}
