import StorageMessages
import Store

extension AdvisoryRecord: TableValue {}
extension AffectedIndex: TableValue {}
extension EcosystemRecord: TableValue {}
extension AdvisorySetRecord: TableValue {}

/// The tables of one generation of the advisory database.
package enum AdvisoryTables {
  package static let all = [
    records.description, advisories.description, packages.description, ecosystems.description, sets.description,
  ]

  package static let records = Table<RecordKey, AdvisoryRecord>(
    "records", "every record of every import set, with its affected entries")
  package static let advisories = Table<String, AdvisoryRecord>(
    "advisories", "by ID the newest of its records, without entries; `sets` names the set it is from")
  package static let packages = Table<IndexKey, AffectedIndex>(
    "packages", "the entries of advisories in force, by ecosystem and package")
  package static let ecosystems = Table<String, EcosystemRecord>("ecosystems", "advisories in force, by ecosystem")
  package static let sets = Table<String, AdvisorySetRecord>("sets", "the import sets, by name")
}

package struct RecordKey: TableKey, Hashable, Sendable {
  package static var layout: String { "import set, NUL; advisory ID" }
  package let set: String
  package let id: String

  package init(set: String, id: String) {
    self.set = set
    self.id = id
  }
  package func encode(into key: inout KeyWriter) {
    key.append(terminated: set)
    key.append(last: id)
  }
  package init?(from key: inout KeyReader) {
    guard let set = key.terminatedText(), let id = key.lastText() else { return nil }
    self.init(set: set, id: id)
  }
}

package struct IndexKey: TableKey, Hashable, Sendable {
  package static var layout: String { "ecosystem, NUL; package name, NUL; advisory ID" }
  /// What LMDB takes, in bytes.
  package static let maximumLength = 511
  package let ecosystem: String
  package let package: String
  package let id: String

  package init(ecosystem: String, package: String, id: String) {
    self.ecosystem = ecosystem
    self.package = package
    self.id = id
  }
  package var isValid: Bool {
    ecosystem.utf8.count + package.utf8.count + id.utf8.count + 2 <= Self.maximumLength
  }
  package func encode(into key: inout KeyWriter) {
    key.append(terminated: ecosystem)
    key.append(terminated: package)
    key.append(last: id)
  }
  package init?(from key: inout KeyReader) {
    guard let ecosystem = key.terminatedText(), let package = key.terminatedText(), let id = key.lastText() else {
      return nil
    }
    self.init(ecosystem: ecosystem, package: package, id: id)
  }
}
