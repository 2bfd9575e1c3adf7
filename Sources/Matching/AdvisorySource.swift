import StorageMessages

/// A consistent set of advisories to match against.
package protocol AdvisorySource {
  /// What each advisory in force says of a package, by the package's name in that ecosystem.
  func entries(ecosystem: String, package: String) throws -> [PackageAdvisory]
  /// The advisory itself, without its entries; nil when the set does not hold it.
  func advisory(id: String) throws -> AdvisoryRecord?
  /// The number of advisories in force of an ecosystem.
  func advisoryCount(ecosystem: String) throws -> UInt64
}

/// An advisory's entries for one package of one ecosystem.
package struct PackageAdvisory: Sendable, Equatable {
  package let id: String
  package let entries: [AffectedRecord]

  package init(id: String, entries: [AffectedRecord]) {
    self.id = id
    self.entries = entries
  }
}
