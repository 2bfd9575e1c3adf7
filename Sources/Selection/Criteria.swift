/// Which tags of a registry's repositories are pulled. For each tag, in this order: an *always* pattern selects it
/// whatever else holds; a *never* pattern rejects it; where there are criteria and none matches, it is rejected; the
/// condition decides by date.
package struct Criteria: Hashable, Sendable {
  /// Empty: every tag.
  package var patterns: [Pattern]
  package var never: [Pattern]
  package var always: [Pattern]
  package var condition: Condition

  package init(
    patterns: [Pattern] = [], never: [Pattern] = [], always: [Pattern] = [], condition: Condition = .none
  ) {
    self.patterns = patterns
    self.never = never
    self.always = always
    self.condition = condition
  }

  /// What the patterns say of one tag. `repository` is the path as users of that registry write it. For many tags of
  /// one repository, `narrowed(to:)` matches its name only once.
  package func screen(repository: String, tag: String) -> Screening {
    narrowed(to: repository).screen(tag: tag)
  }

  /// The repositories that a pattern names in full, without a wildcard, each once.
  package var fullNames: [String] {
    var seen: Set<String> = []
    return (patterns + always).compactMap(\.name).filter { !$0.contains("*") && seen.insert($0).inserted }
  }

  package func narrowed(to repository: String) -> RepositoryCriteria {
    RepositoryCriteria(self, repository: repository)
  }
}

/// The criteria of one repository: the patterns whose name part matches it, so that only tags are left to match.
package struct RepositoryCriteria: Hashable, Sendable {
  private let hasPatterns: Bool
  private let patterns: [Pattern]
  private let never: [Pattern]
  private let always: [Pattern]
  private let condition: Condition

  fileprivate init(_ criteria: Criteria, repository: String) {
    hasPatterns = !criteria.patterns.isEmpty
    patterns = criteria.patterns.filter { $0.matches(repository: repository) }
    never = criteria.never.filter { $0.matches(repository: repository) }
    always = criteria.always.filter { $0.matches(repository: repository) }
    condition = criteria.condition
  }

  package func screen(tag: String) -> Screening {
    if let pattern = always.first(where: { $0.matches(tag: tag) }) { return .selected(.always(pattern)) }
    if let pattern = never.first(where: { $0.matches(tag: tag) }) { return .rejected(.never(pattern)) }
    guard hasPatterns else { return conclude(.everything) }
    guard let pattern = patterns.first(where: { $0.matches(tag: tag) }) else { return .rejected(.noMatch) }
    return conclude(.match(pattern))
  }

  /// Why no tag of the repository can be selected, whatever tags it has; nil when one might be. A repository with
  /// such a reason need not be asked for its tags.
  package var rejectsEveryTag: Reason? {
    guard always.isEmpty else { return nil }
    if let pattern = never.first(where: { $0.tag == nil }) { return .never(pattern) }
    return hasPatterns && patterns.isEmpty ? .noMatch : nil
  }

  private func conclude(_ reason: Reason) -> Screening {
    condition.needsDates ? .needsDate : .selected(reason)
  }
}

extension Reason {
  fileprivate static func always(_ pattern: Pattern) -> Reason {
    Reason(code: .alwaysPull, text: "always pull pattern \"\(pattern)\" matches")
  }

  fileprivate static func never(_ pattern: Pattern) -> Reason {
    Reason(code: .neverPull, text: "never pull pattern \"\(pattern)\" matches")
  }

  fileprivate static func match(_ pattern: Pattern) -> Reason {
    Reason(code: .criteriaMatch, text: "criteria pattern \"\(pattern)\" matches")
  }

  fileprivate static let everything = Reason(code: .noCriteria, text: "there are no criteria: every tag is taken")

  fileprivate static let noMatch = Reason(code: .noCriteriaMatch, text: "no criteria pattern matches")
}
