import Model

/// What is asked of an image's date beside the patterns.
package enum Condition: Hashable, Sendable {
  case none
  /// Only images created within the period before now.
  case createdWithin(CalendarPeriod)
  /// Of each repository only the newest tags by creation date.
  case latest(LatestCount)

  package var needsDates: Bool { self != .none }
}

/// Why a condition cannot be used, and what to do.
package struct ConditionError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Code: String, Sendable, CaseIterable {
    /// More than one of days, months and years was given.
    case severalUnits
    case outOfRange
  }

  package enum Part: String, Sendable, CaseIterable {
    case days, months, years, count
  }

  package let code: Code
  /// Which part of the condition is wrong; nil when it is several together.
  package let part: Part?
  package let problem: String
  package let hint: String

  package var description: String { "\(problem); \(hint)" }
}

/// A number of calendar days, months or years, at most a century.
package struct CalendarPeriod: Hashable, Sendable, CustomStringConvertible {
  package enum Unit: String, Sendable, CaseIterable {
    case days, months, years

    /// A century.
    package var maximumCount: Int {
      switch self {
      case .days: 36_500
      case .months: 1_200
      case .years: 100
      }
    }

    fileprivate var part: ConditionError.Part {
      switch self {
      case .days: .days
      case .months: .months
      case .years: .years
      }
    }
  }

  package let unit: Unit
  /// 1 to `unit.maximumCount`.
  package let count: Int

  /// What a condition on the creation date means when no period is named.
  package static let standard = CalendarPeriod(checkedUnit: .days, count: 60)

  package init(_ count: Int, _ unit: Unit) throws(ConditionError) {
    guard (1...unit.maximumCount).contains(count) else {
      throw ConditionError(
        code: .outOfRange, part: unit.part, problem: "\(count) \(unit.rawValue) is not a period that can be used",
        hint: "write 1 to \(unit.maximumCount)")
    }
    self.init(checkedUnit: unit, count: count)
  }

  /// From fields of which one at most may be set; zero is "not set". None: `standard`.
  package init(days: Int, months: Int, years: Int) throws(ConditionError) {
    let given = zip([Unit.days, .months, .years], [days, months, years]).filter { $0.1 != 0 }
    guard given.count <= 1 else {
      throw ConditionError(
        code: .severalUnits, part: nil,
        problem: "the period has " + given.map { "\($0.1) \($0.0.rawValue)" }.joined(separator: " and "),
        hint: "give one of days, months and years")
    }
    guard let only = given.first else {
      self = .standard
      return
    }
    try self.init(only.1, only.0)
  }

  private init(checkedUnit unit: Unit, count: Int) {
    self.unit = unit
    self.count = count
  }

  /// The moment the period before `now` began: the same time of day in UTC so many calendar days, months or years
  /// earlier, on the last day of a month that has no such day.
  package func start(before now: Timestamp) -> Timestamp {
    switch unit {
    case .days: now.advanced(bySeconds: -Int64(count) * Timestamp.secondsPerDay)
    case .months: now.onDate(now.date.subtracting(months: count))
    case .years: now.onDate(now.date.subtracting(months: 12 * count))
    }
  }

  /// `60 days`, `1 month`.
  package var description: String { count == 1 ? "1 \(unit.rawValue.dropLast())" : "\(count) \(unit.rawValue)" }
}

/// How many of the newest tags of a repository are selected.
package struct LatestCount: Hashable, Sendable, CustomStringConvertible {
  package static let maximum = 10_000

  /// 1 to `maximum`.
  package let value: Int

  package init(_ value: Int) throws(ConditionError) {
    guard (1...Self.maximum).contains(value) else {
      throw ConditionError(
        code: .outOfRange, part: .count, problem: "\(value) newest tags cannot be selected",
        hint: "write 1 to \(Self.maximum)")
    }
    self.value = value
  }

  package var description: String { String(value) }
}
