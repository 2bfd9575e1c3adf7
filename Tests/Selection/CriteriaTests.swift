import Model
import Selection
import Testing

struct CriteriaTests {
  enum Outcome: Equatable {
    case selected(Reason.Code)
    case rejected(Reason.Code)
    case needsDate

    init(_ screening: Screening) {
      switch screening {
      case .selected(let reason): self = .selected(reason.code)
      case .rejected(let reason): self = .rejected(reason.code)
      case .needsDate: self = .needsDate
      }
    }
  }

  struct Case: Sendable {
    var patterns: [String] = []
    var never: [String] = []
    var always: [String] = []
    var condition = Condition.none
    let repository: String
    let tag: String
    let expected: Outcome
  }

  @Test(arguments: [
    Case(repository: "a", tag: "1", expected: .selected(.noCriteria)),
    Case(condition: .createdWithin(.standard), repository: "a", tag: "1", expected: .needsDate),
    Case(patterns: ["b", "a"], repository: "x/a", tag: "1", expected: .selected(.criteriaMatch)),
    Case(patterns: ["b"], repository: "a", tag: "1", expected: .rejected(.noCriteriaMatch)),
    Case(patterns: ["a:2"], repository: "a", tag: "1", expected: .rejected(.noCriteriaMatch)),
    Case(patterns: ["a"], condition: .createdWithin(.standard), repository: "a", tag: "1", expected: .needsDate),
    Case(
      patterns: ["b"], condition: .createdWithin(.standard), repository: "a", tag: "1",
      expected: .rejected(.noCriteriaMatch)),
    // never before criteria, whatever the condition
    Case(patterns: ["a"], never: [":*-rc*"], repository: "a", tag: "1-rc1", expected: .rejected(.neverPull)),
    Case(patterns: ["a"], never: [":*-rc*"], repository: "a", tag: "1", expected: .selected(.criteriaMatch)),
    Case(
      never: ["a"], condition: .createdWithin(.standard), repository: "a", tag: "1", expected: .rejected(.neverPull)),
    Case(never: ["b:1"], repository: "a", tag: "1", expected: .selected(.noCriteria)),
    // always before everything
    Case(
      patterns: ["b"], never: ["*"], always: [":latest"], condition: .createdWithin(.standard), repository: "a",
      tag: "latest", expected: .selected(.alwaysPull)),
    Case(never: ["*"], always: [":latest"], repository: "a", tag: "1", expected: .rejected(.neverPull)),
    // always selects, but is no criterion for the others
    Case(always: ["a"], repository: "b", tag: "1", expected: .selected(.noCriteria)),
  ])
  func order(_ one: Case) throws {
    let criteria = try Criteria(one.patterns, never: one.never, always: one.always, condition: one.condition)
    let screening = criteria.screen(repository: one.repository, tag: one.tag)
    #expect(Outcome(screening) == one.expected)
    #expect(criteria.narrowed(to: one.repository).screen(tag: one.tag) == screening)
  }

  @Test(arguments: [
    ("a", "latest", "always: \":latest\""), ("a", "1-rc", "never: \":*-rc*\""), ("b", "1", "no criteria matches"),
    ("a", "1", "criteria: \"a\""),
  ])
  func reasonsNameThePattern(repository: String, tag: String, text: String) throws {
    let criteria = try Criteria(["c", "a"], never: [":*-beta", ":*-rc*"], always: [":latest"])
    switch criteria.screen(repository: repository, tag: tag) {
    case .selected(let reason), .rejected(let reason): #expect(reason.text == text)
    case .needsDate: Issue.record("no condition was set")
    }
  }

  struct WholeCase: Sendable {
    var patterns: [String] = []
    var never: [String] = []
    var always: [String] = []
    let expected: Reason.Code?
  }

  @Test(arguments: [
    WholeCase(expected: nil), WholeCase(patterns: ["a"], expected: nil), WholeCase(patterns: [":1"], expected: nil),
    WholeCase(patterns: ["b", "c:1"], expected: .noCriteriaMatch), WholeCase(never: ["a"], expected: .neverPull),
    WholeCase(never: ["a:1"], expected: nil), WholeCase(never: [":*"], expected: .neverPull),
    WholeCase(never: ["a:**", "a"], expected: .neverPull), WholeCase(never: [":1", "a"], expected: .neverPull),
    WholeCase(patterns: ["b"], never: ["a:1"], expected: .noCriteriaMatch),
    WholeCase(patterns: [":*"], never: ["b"], expected: nil), WholeCase(never: ["*"], always: ["*"], expected: nil),
    WholeCase(never: ["a"], always: ["a:1"], expected: nil),
    WholeCase(never: ["a"], always: ["b"], expected: .neverPull),
    WholeCase(patterns: ["b"], always: [":1"], expected: nil),
  ])
  func aWholeRepositoryIsRejected(_ one: WholeCase) throws {
    let narrowed = try Criteria(one.patterns, never: one.never, always: one.always).narrowed(to: "a")
    #expect(narrowed.rejectsEveryTag?.code == one.expected)
    if let reason = narrowed.rejectsEveryTag {
      #expect(narrowed.screen(tag: "2") == .rejected(reason))
    }
  }

  @Test func codesAreStable() {
    #expect(
      Reason.Code.allCases.map(\.rawValue) == [
        "always_pull", "never_pull", "criteria_match", "no_criteria", "no_criteria_match", "created_within_period",
        "created_before_period", "pushed_before_period", "latest", "not_latest",
      ])
  }
}
