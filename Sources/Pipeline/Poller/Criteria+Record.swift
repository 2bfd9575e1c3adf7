import Selection
import StorageMessages

extension Criteria {
  /// The criteria of a stored integration. They were checked when they were stored: what does not read now throws.
  init(_ record: IntegrationRecord) throws {
    let condition: Condition =
      switch record.condition?.kind {
      case .createdWithin(let period):
        .createdWithin(
          try CalendarPeriod(days: Int(period.days), months: Int(period.months), years: Int(period.years)))
      case .latest(let count): .latest(try LatestCount(Int(count)))
      case nil: .none
      }
    self.init(
      patterns: try Pattern.list(parsing: record.criteria), never: try Pattern.list(parsing: record.neverPull),
      always: try Pattern.list(parsing: record.alwaysPull), condition: condition)
  }
}
