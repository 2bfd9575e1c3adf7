import Model
import StorageMessages

extension [FindingRecord] {
  /// How many findings there are of each severity. Findings of kind error say that something was not read: they are no
  /// flaws and do not count.
  package var severityCounts: SeverityCounts {
    var counts = SeverityCounts()
    for finding in self where finding.kind != .error {
      switch Severity(rawValue: finding.severity) ?? .unknown {
      case .critical: counts.critical += 1
      case .high: counts.high += 1
      case .medium: counts.medium += 1
      case .low: counts.low += 1
      case .unknown: counts.unknown += 1
      }
    }
    return counts
  }
}
