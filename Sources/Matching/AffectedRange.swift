import StorageMessages

extension AffectedRecord {
  /// Whether `version` is affected, and by which versions that would be mended: nil when it is not affected.
  ///
  /// The entry stands alone: its list of versions names the version exactly, or one of its ranges holds it. The mending
  /// versions are the `fixed` events that close the ranges it is in; empty when there is none.
  package func fixes(for version: String, order: VersionOrder) -> [String]? {
    var isAffected = versions.contains(version)
    var fixes: [String] = []
    for range in ranges where range.type == "ECOSYSTEM" || range.type == "SEMVER" {
      guard let verdict = range.verdict(on: version, order: order) else { continue }
      isAffected = true
      if let fix = verdict.fix, !fixes.contains(fix) { fixes.append(fix) }
    }
    return isAffected ? fixes : nil
  }
}

extension RangeRecord {
  /// That a range holds a version, and the first fix above it.
  struct Verdict: Equatable {
    let fix: String?
  }

  /// Nil when the version is outside the range.
  ///
  /// Events are taken in version order, those of one version in the order given: a range may hold several pairs, and
  /// nothing promises that they are sorted.
  func verdict(on version: String, order: VersionOrder) -> Verdict? {
    guard isBeforeLimit(version, order: order) else { return nil }
    let steps = events.compactMap(Step.init).enumerated()
      .sorted { a, b in
        switch a.element.compare(b.element, order: order) {
        case .older: true
        case .newer: false
        case .same: a.offset < b.offset
        }
      }.map(\.element)
    var isAffected = false
    var firstAbove = steps.endIndex
    for (index, step) in steps.enumerated() {
      // Events that stand above the version do not change its state, and neither do those after them.
      guard step.isReached(by: version, order: order) else {
        firstAbove = min(firstAbove, index)
        continue
      }
      isAffected = step.kind == .introduced
    }
    guard isAffected else { return nil }
    let end = steps[firstAbove...].first { $0.kind != .introduced }
    return Verdict(fix: end?.kind == .fixed ? end?.version : nil)
  }

  /// Without a limit, or with the limit "*", there is no bound; else one limit has to be above the version.
  private func isBeforeLimit(_ version: String, order: VersionOrder) -> Bool {
    var hasLimit = false
    for event in events {
      guard case .limit(let limit)? = event.event else { continue }
      if limit == "*" || order.compare(version, limit) == .older { return true }
      hasLimit = true
    }
    return !hasLimit
  }

  /// An event that changes whether a version is affected.
  private struct Step {
    enum Kind { case introduced, fixed, lastAffected }
    let kind: Kind
    let version: String

    init?(_ event: RangeEvent) {
      switch event.event {
      case .introduced(let version): (kind, self.version) = (.introduced, version)
      case .fixed(let version): (kind, self.version) = (.fixed, version)
      case .lastAffected(let version): (kind, self.version) = (.lastAffected, version)
      case .limit, nil: return nil
      }
    }

    /// `introduced: "0"` is before every version, not version zero.
    private var isBeginning: Bool { kind == .introduced && version == "0" }

    func compare(_ other: Step, order: VersionOrder) -> VersionComparison {
      if isBeginning || other.isBeginning {
        return isBeginning == other.isBeginning ? .same : isBeginning ? .older : .newer
      }
      return order.compare(version, other.version)
    }

    func isReached(by version: String, order: VersionOrder) -> Bool {
      if isBeginning { return true }
      let comparison = order.compare(version, self.version)
      return kind == .lastAffected ? comparison == .newer : comparison != .older
    }
  }
}
