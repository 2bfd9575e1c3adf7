import Model

/// The five fields of cron: minute, hour, day of the month, month, day of the week; each `*`, numbers, names of months and
/// days, ranges, steps, and lists of those.
package struct CronExpression: Sendable, Hashable {
  package let minutes: NumberSet
  package let hours: NumberSet
  package let daysOfMonth: NumberSet
  package let months: NumberSet
  /// Sunday is 0.
  package let daysOfWeek: NumberSet
  /// Whether both fields of days say something: then a day counts that fits one of them, as cron has it.
  package let hasBothDays: Bool

  private struct Field {
    let name: String
    let range: ClosedRange<Int>
    /// A list of its numbers, for messages.
    let example: String
    var names: [String] = []
  }

  private static let fields = [
    Field(name: "minute", range: 0...59, example: "0,30"), Field(name: "hour", range: 0...23, example: "2,14"),
    Field(name: "day of the month", range: 1...31, example: "1,15"),
    Field(
      name: "month", range: 1...12, example: "3,sep",
      names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    Field(name: "day of the week", range: 0...7, example: "mon,4", names: Schedule.days),
  ]
  /// Days that each month has at most.
  private static let lengths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

  /// On those days of the week at one minute of the day.
  init(daysOfWeek: NumberSet, minuteOfDay: Int) {
    minutes = [minuteOfDay % 60]
    hours = [minuteOfDay / 60]
    daysOfMonth = NumberSet(1...31)
    months = NumberSet(1...12)
    self.daysOfWeek = daysOfWeek
    hasBothDays = false
  }

  package init(_ text: String) throws(Schedule.Malformed) {
    let parts = text.split { $0 == " " || $0 == "\t" }
    guard parts.count == Self.fields.count else {
      let names = Self.fields.map(\.name).joined(separator: ", ")
      throw Schedule.Malformed(
        "\"\(text.excerpt())\" has \(parts.count) of 5 fields: they are \(names), such as 30 2 * * mon-fri")
    }
    var sets: [NumberSet] = []
    for (index, part) in parts.enumerated() { sets.append(try Self.read(part, of: text, field: index)) }
    minutes = sets[0]
    hours = sets[1]
    daysOfMonth = sets[2]
    months = sets[3]
    daysOfWeek = NumberSet((0...6).filter { sets[4].contains($0) || ($0 == 0 && sets[4].contains(7)) })
    hasBothDays = !parts[2].hasPrefix("*") && !parts[4].hasPrefix("*")
    let longest = (1...12).filter(months.contains).map { Self.lengths[$0 - 1] }.max() ?? 0
    if !hasBothDays, daysOfMonth.first(from: 1).map({ $0 > longest }) == true {
      throw Schedule.Malformed(
        parts[2], of: text,
        "is in no month of field 4 (\(parts[3])): it would never be; use a day that they have, such as 1")
    }
  }

  private static func read(
    _ part: Substring, of text: String, field index: Int
  ) throws(Schedule.Malformed) -> NumberSet {
    let field = fields[index]
    func refusal(_ part: Substring, _ what: String) -> Schedule.Malformed {
      let names = field.names.isEmpty ? "" : " or names such as \(field.names[1])"
      let (from, to) = (field.range.lowerBound, field.range.upperBound)
      return Schedule.Malformed(
        part, of: text,
        "is no \(what) of the field \(index + 1) of 5, \(field.name): use \(from) to \(to)\(names), such as *, "
          + "\(field.example), \(from + 1)-\(from + 4) or */2")
    }
    var found: NumberSet = []
    for item in part.split(separator: ",", omittingEmptySubsequences: false) {
      let parts = item.split(separator: "/", omittingEmptySubsequences: false)
      guard (1...2).contains(parts.count), let range = range(parts[0], field, isOpen: parts.count == 2) else {
        throw refusal(item, "value")
      }
      guard parts.count == 2 else {
        found.formUnion(NumberSet(range))
        continue
      }
      guard let step = Schedule.number(parts[1]), step > 0, step <= field.range.upperBound else {
        throw refusal(parts[1], "step")
      }
      found.formUnion(NumberSet(stride(from: range.lowerBound, through: range.upperBound, by: step)))
    }
    return found
  }

  /// A number with a step goes on to the end.
  private static func range(_ text: Substring, _ field: Field, isOpen: Bool) -> ClosedRange<Int>? {
    if text == "*" { return field.range }
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { value($0, field) }
    guard let first = ends.first, let from = first else { return nil }
    switch ends.count {
    case 1: return from...(isOpen ? field.range.upperBound : from)
    case 2: return ends[1].flatMap { from <= $0 ? from...$0 : nil }
    default: return nil
    }
  }

  private static func value(_ text: Substring, _ field: Field) -> Int? {
    if let index = field.names.firstIndex(of: text.lowercased()) { return index + field.range.lowerBound }
    guard !text.isEmpty, let number = Schedule.number(text), field.range.contains(number) else { return nil }
    return number
  }
}
