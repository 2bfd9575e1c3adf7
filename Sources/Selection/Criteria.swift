/// Which tags of a registry's repositories are pulled. For each tag, in this order: an *always* pattern selects it
/// whatever else holds; a *never* pattern rejects it; where there are criteria and none matches, it is rejected; the
/// condition decides by date.
package struct Criteria: Sendable {
  /// Empty: every tag.
  package let patterns: [Pattern]
  package let never: [Pattern]
  package let always: [Pattern]
  package let condition: Condition

  /// All patterns in order of precedence: the first that matches decides.
  private let rules: [Rule]
  /// What holds for a tag that no pattern matches.
  private let otherwise: Screening

  package init(
    patterns: [Pattern] = [], never: [Pattern] = [], always: [Pattern] = [], condition: Condition = .none
  ) {
    self.patterns = patterns
    self.never = never
    self.always = always
    self.condition = condition
    func conclude(_ reason: Reason) -> Screening { condition.needsDates ? .needsDate : .selected(reason) }
    rules =
      always.map { Rule(.always, $0, .selected(.always($0))) } + never.map { Rule(.never, $0, .rejected(.never($0))) }
      + patterns.map { Rule(.criteria, $0, conclude(.match($0))) }
    otherwise = patterns.isEmpty ? conclude(.noCriteria) : .rejected(.noMatch)
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
    RepositoryCriteria(rules, otherwise: otherwise, repository: repository)
  }
}

/// A pattern of one of the lists, with what it says of a tag that it matches.
private struct Rule: Sendable {
  enum List: Sendable {
    case always, never, criteria
  }

  let list: List
  let pattern: Pattern
  let outcome: Screening

  init(_ list: List, _ pattern: Pattern, _ outcome: Screening) {
    self.list = list
    self.pattern = pattern
    self.outcome = outcome
  }
}

/// The criteria of one repository: the patterns whose name part matches it, so that only tags are left to match.
package struct RepositoryCriteria: Sendable {
  private let rules: [Rule]
  /// Which of the rules concern the repository, up to the first that matches every tag.
  private let concerned: [Int]
  private let otherwise: Screening

  fileprivate init(_ rules: [Rule], otherwise: Screening, repository: String) {
    self.rules = rules
    let path = repository.utf8.span
    let lastSegmentStart = Pattern.lastSegmentStart(of: path)
    let all = rules.span
    var concerned: [Int] = []
    for index in all.indices where all[index].pattern.matches(path: path, lastSegmentStart: lastSegmentStart) {
      concerned.append(index)
      if all[index].pattern.tagGlob == nil { break }
    }
    self.concerned = concerned
    self.otherwise = otherwise
  }

  package func screen(tag: String) -> Screening {
    let text = tag.utf8.span
    let rules = rules.span
    for index in concerned where rules[index].pattern.tagGlob?.matches(text) ?? true { return rules[index].outcome }
    return otherwise
  }

  /// Why no tag of the repository can be selected, whatever tags it has; nil when one might be. A repository with
  /// such a reason need not be asked for its tags.
  package var rejectsEveryTag: Reason? {
    var last = otherwise
    for index in concerned {
      switch rules[index].list {
      case .always, .criteria: return nil
      case .never: if rules[index].pattern.tagGlob == nil { last = rules[index].outcome }
      }
    }
    guard case .rejected(let reason) = last else { return nil }
    return reason
  }
}

extension Reason {
  fileprivate static func always(_ pattern: Pattern) -> Reason {
    Reason(code: .alwaysPull, text: "always: \"\(pattern)\"")
  }

  fileprivate static func never(_ pattern: Pattern) -> Reason {
    Reason(code: .neverPull, text: "never: \"\(pattern)\"")
  }

  fileprivate static func match(_ pattern: Pattern) -> Reason {
    Reason(code: .criteriaMatch, text: "criteria: \"\(pattern)\"")
  }

  fileprivate static let noCriteria = Reason(code: .noCriteria, text: "no criteria: every tag is taken")

  fileprivate static let noMatch = Reason(code: .noCriteriaMatch, text: "no criteria matches")
}
