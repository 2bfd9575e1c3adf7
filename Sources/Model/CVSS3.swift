/// The base score of CVSS 3.0 and 3.1 (specification 3.1, section 7.1; for base metrics the versions differ only in
/// how rounding is described).
enum CVSS3 {
  static func baseScore(of vector: CVSSVector) -> Double {
    let scopeChanged = vector["S"] == UInt8(ascii: "C")
    let remaining = (1 - impact(vector["C"])) * (1 - impact(vector["I"])) * (1 - impact(vector["A"]))
    let impactBase = 1 - remaining
    let impact =
      scopeChanged
      ? 7.52 * (impactBase - 0.029) - 3.25 * power(impactBase - 0.02, 15)
      : 6.42 * impactBase
    guard impact > 0 else { return 0 }
    let exploitability =
      8.22 * attackVector(vector["AV"]) * attackComplexity(vector["AC"])
      * privilegesRequired(vector["PR"], scopeChanged: scopeChanged) * userInteraction(vector["UI"])
    return roundUp(min((scopeChanged ? 1.08 : 1) * (impact + exploitability), 10))
  }

  /// The smallest tenth that is not below `value`. Works on hundred-thousandths, as appendix A of 3.1 prescribes,
  /// so that 4.000000000000001 stays 4.0.
  private static func roundUp(_ value: Double) -> Double {
    let scaled = Int((value * 100_000).rounded())
    return Double((scaled + 9_999) / 10_000) / 10
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    var result = 1.0
    for _ in 0..<exponent { result *= base }
    return result
  }

  private static func impact(_ value: UInt8?) -> Double {
    switch value {
    case UInt8(ascii: "H"): 0.56
    case UInt8(ascii: "L"): 0.22
    default: 0
    }
  }

  private static func attackVector(_ value: UInt8?) -> Double {
    switch value {
    case UInt8(ascii: "N"): 0.85
    case UInt8(ascii: "A"): 0.62
    case UInt8(ascii: "L"): 0.55
    default: 0.2
    }
  }

  private static func attackComplexity(_ value: UInt8?) -> Double { value == UInt8(ascii: "L") ? 0.77 : 0.44 }

  private static func privilegesRequired(_ value: UInt8?, scopeChanged: Bool) -> Double {
    switch value {
    case UInt8(ascii: "N"): 0.85
    case UInt8(ascii: "L"): scopeChanged ? 0.68 : 0.62
    default: scopeChanged ? 0.5 : 0.27
    }
  }

  private static func userInteraction(_ value: UInt8?) -> Double { value == UInt8(ascii: "N") ? 0.85 : 0.62 }
}
