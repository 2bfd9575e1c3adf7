import Model
import StorageMessages

/// How bad an advisory says a flaw is.
package struct Rating: Sendable, Equatable {
  package var severity = Severity.unknown
  /// The base score, 0 without a vector.
  package var score = 0.0
  /// The vector that the score was computed from.
  package var vector = ""

  /// The highest CVSS score among `vectors`; without any, Ubuntu's priority; without that, the word before the colon of
  /// the summary, as Red Hat and its descendants write it ("Important: openssl security update"). A vector that cannot be
  /// scored counts as absent.
  package init(vectors: [SeverityVector], summary: String) {
    for vector in vectors where vector.type.hasPrefix("CVSS_") {
      guard let score = CVSSVector.baseScore(ofVector: vector.score), self.vector.isEmpty || score > self.score else {
        continue
      }
      (self.score, self.vector) = (score, vector.score)
    }
    if !vector.isEmpty {
      severity = Severity(cvssScore: score)
    } else if let priority = vectors.first(where: { $0.type == "Ubuntu" }) {
      severity = Self.priorities[priority.score.lowercased()] ?? .unknown
    } else if let colon = summary.firstIndex(of: ":") {
      severity = Self.words[String(summary[..<colon])] ?? .unknown
    }
  }

  private static let priorities: [String: Severity] = [
    "negligible": .low, "low": .low, "medium": .medium, "high": .high, "critical": .critical,
  ]

  private static let words: [String: Severity] = [
    "Low": .low, "Moderate": .medium, "Important": .high, "Critical": .critical,
  ]
}
