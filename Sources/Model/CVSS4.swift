/// The score of CVSS 4.0 (specification, section 8, "CVSS v4.0 Scoring"): a vector belongs to a MacroVector, whose score is looked up and
/// then lowered by how far the vector lies below the worst one of its MacroVector.
///
/// All of it is done in whole numbers. A metric's *level* is the place of its value in the order of severity, zero
/// being the worst; one level is what the specification calls a step. The worst vectors of an equivalence class differ,
/// but the sum of their levels does not, so the distance to them is the sum of the vector's levels less that constant.
enum CVSS4 {
  static func score(of vector: CVSSVector) -> Double {
    let metrics = Levels(vector)
    if metrics.hasNoImpact { return 0 }
    let macro = metrics.macroVector
    let value = table[macro.index]

    var drop = 0  // sum over the classes, in `common`-ths of a tenth
    var lowerClasses = 0
    for step in metrics.steps(in: macro) {
      guard let lower = step.lowerScore, lower <= value else { continue }
      lowerClasses += 1
      drop += (value - lower) * step.distance * common / step.depth
    }
    guard lowerClasses > 0 else { return Double(value) / 10 }
    // Half a tenth rounds up; the exact quotient leaves nothing to an epsilon.
    let denominator = common * lowerClasses
    let tenths = (2 * (value * denominator - drop) + denominator) / (2 * denominator)
    return Double(min(max(tenths, 0), 100)) / 10
  }

  /// A multiple of every `depth`.
  private static let common = 840
}

/// The equivalence classes a vector falls into. EQ3 and EQ6 depend on each other and count as one, with the five
/// values 00, 01, 10, 11 and 21 (20 cannot be).
private struct MacroVector {
  var eq1: Int
  var eq2: Int
  var eq3eq6: Int
  var eq4: Int
  var eq5: Int

  var index: Int { ((eq1 * 2 + eq2) * 5 + eq3eq6) * 9 + eq4 * 3 + eq5 }

  func with(_ path: WritableKeyPath<MacroVector, Int>, _ value: Int) -> MacroVector {
    var copy = self
    copy[keyPath: path] = value
    return copy
  }
}

/// What one class contributes: the score of the next lower MacroVector in tenths (nil where there is none), how many
/// levels the vector lies below the worst of its own, and how many there are in all.
private struct Step {
  let lowerScore: Int?
  let distance: Int
  let depth: Int
}

private struct Levels {
  let attackVector, privilegesRequired, userInteraction, attackComplexity, attackRequirements: Int
  let vulnerableC, vulnerableI, vulnerableA, subsequentC, subsequentI, subsequentA: Int
  let requirementC, requirementI, requirementA, exploitMaturity: Int

  init(_ vector: CVSSVector) {
    /// The level of a metric, of its modified form if the vector has one. An absent metric has the worst value.
    func level(_ metric: String, _ worstFirst: StaticString) -> Int {
      guard let value = vector["M" + metric] ?? vector[metric] else { return 0 }
      return worstFirst.withUTF8Buffer { $0.firstIndex(of: value) ?? 0 }
    }
    attackVector = level("AV", "NALP")
    privilegesRequired = level("PR", "NLH")
    userInteraction = level("UI", "NPA")
    attackComplexity = level("AC", "LH")
    attackRequirements = level("AT", "NP")
    vulnerableC = level("VC", "HLN")
    vulnerableI = level("VI", "HLN")
    vulnerableA = level("VA", "HLN")
    // Only integrity and availability can be S (safety), but all three count their levels from it.
    subsequentC = level("SC", "SHLN")
    subsequentI = level("SI", "SHLN")
    subsequentA = level("SA", "SHLN")
    requirementC = level("CR", "HML")
    requirementI = level("IR", "HML")
    requirementA = level("AR", "HML")
    exploitMaturity = level("E", "APU")
  }

  var hasNoImpact: Bool {
    vulnerableC == 2 && vulnerableI == 2 && vulnerableA == 2 && subsequentC == 3 && subsequentI == 3
      && subsequentA == 3
  }

  /// The definitions of EQ1 to EQ6, where level 0 is the worst value of a metric.
  var macroVector: MacroVector {
    let open = [attackVector, privilegesRequired, userInteraction]
    let eq1 = open.allSatisfy { $0 == 0 } ? 0 : attackVector != 3 && open.contains(0) ? 1 : 2
    let eq2 = attackComplexity == 0 && attackRequirements == 0 ? 0 : 1
    let eq3 =
      vulnerableC == 0 && vulnerableI == 0 ? 0 : [vulnerableC, vulnerableI, vulnerableA].contains(0) ? 1 : 2
    let eq4 =
      subsequentI == 0 || subsequentA == 0 ? 0 : [subsequentC, subsequentI, subsequentA].contains(1) ? 1 : 2
    let worstIsRequired =
      (requirementC == 0 && vulnerableC == 0) || (requirementI == 0 && vulnerableI == 0)
      || (requirementA == 0 && vulnerableA == 0)
    let eq6 = worstIsRequired ? 0 : 1
    return MacroVector(eq1: eq1, eq2: eq2, eq3eq6: min(eq3 * 2 + eq6, 4), eq4: eq4, eq5: exploitMaturity)
  }

  func steps(in macro: MacroVector) -> [Step] {
    func lower(_ path: WritableKeyPath<MacroVector, Int>, to values: [Int]) -> Int? {
      values.map { CVSS4.table[macro.with(path, $0).index] }.max()
    }
    func next(_ value: Int, last: Int) -> [Int] { value < last ? [value + 1] : [] }

    // The sums of the worst vectors' levels, and the depths, follow from the specification's lists of
    // highest severity vectors.
    return [
      Step(
        lowerScore: lower(\.eq1, to: next(macro.eq1, last: 2)),
        distance: attackVector + privilegesRequired + userInteraction - [0, 1, 3][macro.eq1],
        depth: [1, 4, 5][macro.eq1]),
      Step(
        lowerScore: lower(\.eq2, to: next(macro.eq2, last: 1)),
        distance: attackComplexity + attackRequirements - [0, 1][macro.eq2],
        depth: [1, 2][macro.eq2]),
      Step(
        // 00 has two next lower ones, 01 and 10; the higher score counts.
        lowerScore: lower(\.eq3eq6, to: [[1, 2], [3], [3], [4], []][macro.eq3eq6]),
        distance: vulnerableC + vulnerableI + vulnerableA + requirementC + requirementI + requirementA
          - [0, 3, 1, 3, 3][macro.eq3eq6],
        depth: [7, 6, 8, 8, 10][macro.eq3eq6]),
      Step(
        lowerScore: lower(\.eq4, to: next(macro.eq4, last: 2)),
        distance: subsequentC + subsequentI + subsequentA - [1, 3, 6][macro.eq4],
        depth: [6, 5, 4][macro.eq4]),
      // All vectors of an EQ5 class are alike: it counts, but lowers nothing.
      Step(lowerScore: lower(\.eq5, to: next(macro.eq5, last: 2)), distance: 0, depth: 1),
    ]
  }
}
