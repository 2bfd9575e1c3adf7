/// What one image may cost beside what each of its layers may (`AnalysisLimits`). Every bound that leaves something out leaves a
/// finding in the report; none is silent.
package struct ImageLimits: Sendable {
  /// Packages taken from all layers together, those of databases that a later layer replaces included.
  package var packages = 250_000
  /// Secrets in all layers together.
  package var secrets = 10_000
  /// Files with malware in all layers together.
  package var malware = 10_000
  /// Files with odd modes that are in sight.
  package var fileFindings = 10_000
  /// Faults of all layers together, and contradictions between these, that become findings.
  package var faults = 5_000

  package init() {}

  package static let standard = ImageLimits()
}
