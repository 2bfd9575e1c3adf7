/// A CVSS vector of version 3.0, 3.1 or 4.0, checked when made: every metric is one the version knows, has a value it
/// knows, occurs once, and all base metrics are there. The order of metrics does not matter (4.0 prescribes one, but a
/// vector out of order says the same).
package struct CVSSVector: Hashable, Sendable {
  package enum Version: String, Sendable {
    case v30 = "CVSS:3.0"
    case v31 = "CVSS:3.1"
    case v40 = "CVSS:4.0"
  }

  /// The longest vector that names every metric of 4.0 has under 250 characters.
  package static let maximumLength = 512

  package let version: Version
  /// Metric to the first letter of its value, which tells the values of one metric apart.
  private let values: [String: UInt8]

  /// Reads a vector such as `CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H`; nil for anything malformed, for another
  /// version and for an incomplete vector.
  package init?(_ text: String) {
    guard text.utf8.count <= Self.maximumLength else { return nil }
    let fields = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let version = Version(rawValue: String(fields[0])) else { return nil }
    let known = version == .v40 ? Self.metrics40 : Self.metrics3
    var values: [String: UInt8] = [:]
    for field in fields.dropFirst() {
      let parts = field.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count == 2, let allowed = known[String(parts[0])], let letter = parts[1].utf8.first,
        Self.isValue(parts[1], of: parts[0], in: version, allowed: allowed),
        values.updateValue(letter, forKey: String(parts[0])) == nil
      else { return nil }
    }
    let mandatory = version == .v40 ? Self.mandatory40 : Self.mandatory3
    guard mandatory.allSatisfy({ values[$0] != nil }) else { return nil }
    self.version = version
    self.values = values
  }

  /// The base score, 0.0 to 10.0 in tenths. For 3.x only base metrics count; the 4.0 algorithm has one score, in which
  /// threat and environmental metrics count where the vector has them.
  package var score: Double {
    switch version {
    case .v30, .v31: CVSS3.baseScore(of: self)
    case .v40: CVSS4.score(of: self)
    }
  }

  /// The score of a vector in text form; nil when `init` refuses it.
  package static func baseScore(ofVector text: String) -> Double? { CVSSVector(text)?.score }

  /// The first letter of a metric's value; nil when the vector does not have the metric or says "not defined".
  subscript(metric: String) -> UInt8? {
    guard let value = values[metric], value != UInt8(ascii: "X") else { return nil }
    return value
  }

  private static func isValue(
    _ value: Substring, of metric: Substring, in version: Version, allowed: String
  ) -> Bool {
    if version == .v40 && metric == "U" {
      return ["X", "Clear", "Green", "Amber", "Red"].contains(value)
    }
    return value.utf8.count == 1 && value.utf8.allSatisfy(allowed.utf8.contains)
  }

  private static let mandatory3 = ["AV", "AC", "PR", "UI", "S", "C", "I", "A"]

  private static let mandatory40 = ["AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA"]

  /// The letters each metric of 3.0 and 3.1 may have: base, temporal, environmental.
  private static let metrics3 = [
    "AV": "NALP", "AC": "LH", "PR": "NLH", "UI": "NR", "S": "UC", "C": "HLN", "I": "HLN", "A": "HLN",
    "E": "XHFPU", "RL": "XUWTO", "RC": "XCRU",
    "CR": "XHML", "IR": "XHML", "AR": "XHML", "MAV": "XNALP", "MAC": "XLH", "MPR": "XNLH", "MUI": "XNR", "MS": "XUC",
    "MC": "XHLN", "MI": "XHLN", "MA": "XHLN",
  ]

  /// The letters each metric of 4.0 may have: base, threat, environmental, supplemental. `U` has words for values.
  private static let metrics40 = [
    "AV": "NALP", "AC": "LH", "AT": "NP", "PR": "NLH", "UI": "NPA", "VC": "HLN", "VI": "HLN", "VA": "HLN",
    "SC": "HLN", "SI": "HLN", "SA": "HLN",
    "E": "XAPU",
    "CR": "XHML", "IR": "XHML", "AR": "XHML", "MAV": "XNALP", "MAC": "XLH", "MAT": "XNP", "MPR": "XNLH",
    "MUI": "XNPA", "MVC": "XHLN", "MVI": "XHLN", "MVA": "XHLN", "MSC": "XHLN", "MSI": "XSHLN", "MSA": "XSHLN",
    "S": "XNP", "AU": "XNY", "R": "XAUI", "V": "XDC", "RE": "XLMH", "U": "",
  ]
}
