/// How bad a finding is, ordered from unknown to critical.
package enum Severity: Int32, Sendable, Comparable, CaseIterable {
  case unknown = 0
  case low, medium, high, critical

  package static func < (a: Severity, b: Severity) -> Bool { a.rawValue < b.rawValue }

  /// The qualitative rating of a CVSS 3.x or 4.0 base score (0.0 is rated "none" there and `unknown` here).
  package init(cvssScore score: Double) {
    switch score {
    case 9.0...: self = .critical
    case 7.0..<9.0: self = .high
    case 4.0..<7.0: self = .medium
    case 0.1..<4.0: self = .low
    default: self = .unknown
    }
  }

  package var name: String {
    switch self {
    case .unknown: "unknown"
    case .low: "low"
    case .medium: "medium"
    case .high: "high"
    case .critical: "critical"
    }
  }
}
