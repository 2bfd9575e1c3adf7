/// Whether a tag's image is pulled, and why.
package enum Decision: Hashable, Sendable {
  case selected(Reason)
  case rejected(Reason)

  package var isSelected: Bool {
    switch self {
    case .selected: true
    case .rejected: false
    }
  }

  package var reason: Reason {
    switch self {
    case .selected(let reason), .rejected(let reason): reason
    }
  }
}

/// What patterns alone say of a tag. Dates are costly (a config must be fetched for one), so they are asked for only
/// where nothing else decides.
package enum Screening: Hashable, Sendable {
  case selected(Reason)
  case rejected(Reason)
  /// The tag reached the condition on its date: created-within is decided by `CalendarPeriod.decide`, latest-N by
  /// `LatestCount.decide` over all tags of the repository that came this far.
  case needsDate
}

/// Why a tag was selected or not: a code that stays the same and a sentence for people.
package struct Reason: Hashable, Sendable, CustomStringConvertible {
  package enum Code: String, Sendable, CaseIterable {
    case alwaysPull = "always_pull"
    case neverPull = "never_pull"
    case criteriaMatch = "criteria_match"
    /// There are no criteria, so every tag is taken.
    case noCriteria = "no_criteria"
    case noCriteriaMatch = "no_criteria_match"
    case createdWithinPeriod = "created_within_period"
    case createdBeforePeriod = "created_before_period"
    /// Decided by the push date, without reading the image's config.
    case pushedBeforePeriod = "pushed_before_period"
    case latest = "latest"
    case notLatest = "not_latest"
  }

  package let code: Code
  package let text: String

  package var description: String { text }
}
