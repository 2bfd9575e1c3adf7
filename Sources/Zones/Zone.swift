/// How far a time zone's clocks are from UTC, and since when and until when, as the tz database tells it: a table of
/// changes, and a rule for the time after the last of them. Seconds since 1970 throughout; what the clocks show is counted
/// in the same way, as if they showed UTC.
package struct Zone: Sendable, Equatable {
  /// A time during which the offset does not change.
  package struct Span: Sendable, Equatable {
    /// Its first second.
    package var start: Int64
    /// The first second after it.
    package var end: Int64
    /// Seconds that clocks show more than UTC.
    package let offset: Int64
  }

  /// As the database names it; empty for a node's zone whose name is not known.
  package let name: String
  /// Ascending. `offsets` has one more: what held before the first.
  let changes: [Int64]
  let offsets: [Int64]
  /// For the time from the last change on.
  let rule: YearlyRule?

  /// Instants beyond are taken for the nearer end; an offset can be added to all within.
  static let instants: ClosedRange<Int64> = -(1 << 60)...(1 << 60)
  /// The offsets that RFC 8536 section 3.2 recommends readers to accept.
  static let offsetsAllowed: ClosedRange<Int64> = -89_999...93_599
  /// More than any offset, of either sign.
  private static let reach: Int64 = 93_600

  init(name: String, changes: [Int64], offsets: [Int64], rule: YearlyRule?) {
    precondition(offsets.count == changes.count + 1)
    self.name = name
    self.changes = changes
    self.offsets = offsets
    self.rule = rule
  }

  package static let utc = Zone(name: "UTC", changes: [], offsets: [0], rule: nil)

  /// The same clocks by another name.
  func named(_ name: String) -> Zone { Zone(name: name, changes: changes, offsets: offsets, rule: rule) }

  /// The span that `instant` is in. One that the rule gives may end though the next has the same offset.
  package func span(at instant: Int64) -> Span {
    let instant = min(max(instant, Self.instants.lowerBound), Self.instants.upperBound)
    let past = countOfChanges(until: instant)
    let start = past == 0 ? Self.instants.lowerBound : changes[past - 1]
    if past == changes.count, let rule {
      var span = rule.span(at: instant)
      // The last change itself is the table's (RFC 8536 section 3.3), whatever the rule says of that second.
      let isTables = past > 0 && offsets[past] != rule.span(at: start).offset
      if isTables && instant == start { return Span(start: start, end: start + 1, offset: offsets[past]) }
      span.start = max(span.start, isTables ? start + 1 : start)
      return span
    }
    let end = past == changes.count ? Self.instants.upperBound + 1 : changes[past]
    return Span(start: start, end: end, offset: offsets[past])
  }

  package func offset(at instant: Int64) -> Int64 { span(at: instant).offset }

  private func countOfChanges(until instant: Int64) -> Int {
    var (low, high) = (0, changes.count)
    while low < high {
      let middle = (low + high) / 2
      if changes[middle] <= instant { low = middle + 1 } else { high = middle }
    }
    return low
  }

  // MARK: - From clocks to instants

  /// The first instant at which clocks show `time` or later: the only one that shows it, the first of two where clocks were
  /// set back, and the first after the gap where a change skipped it.
  package func firstInstant(showing time: Int64) -> Int64 {
    // Before that every clock shows less.
    var span = span(at: time - Self.reach)
    while span.end <= Self.instants.upperBound {
      let instant = max(time - span.offset, span.start)
      if instant < span.end { return instant }
      span = self.span(at: span.end)
    }
    return max(time - span.offset, span.start)
  }

  /// The first time that clocks have not shown until `instant`, which itself counts. Where they were set back a while ago
  /// that is later than what they show next.
  package func firstTimeNotShown(until instant: Int64) -> Int64 {
    // What clocks showed earlier than that is less than what they show at `instant`.
    var span = span(at: instant - 2 * Self.reach)
    var latest = min(span.end, instant + 1) + span.offset
    while span.end <= instant {
      span = self.span(at: span.end)
      latest = max(latest, min(span.end, instant + 1) + span.offset)
    }
    return latest
  }
}
