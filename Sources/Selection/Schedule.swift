import Model

/// When an automatic integration is polled, as a person wrote it (D4). Which instants those are is another matter.
package enum Schedule: Sendable, Hashable {
  /// Every so many minutes.
  case every(minutes: Int)
  /// At that minute after midnight.
  case daily(minute: Int)
  /// On those days, Sunday being 0, at that minute after midnight.
  case weekly(days: Set<Int>, minute: Int)
  case cron(CronExpression)

  package struct Malformed: Error, Equatable, CustomStringConvertible {
    package let description: String
  }

  package static let kinds = ["every", "daily", "weekly", "cron"]
  /// Longest period of `every`: a year.
  package static let minutesMaximum = 366 * 24 * 60
  private static let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

  /// Reads `6h` (`m`, `h`, `d`), `02:30`, `mon,thu@02:30` or five fields of cron; nil for a kind that is none.
  package init?(kind: String, value: String) throws(Malformed) {
    guard value.utf8.count <= 256 else { throw Malformed(description: "is longer than 256 bytes") }
    switch kind {
    case "every": self = try Self.every(value)
    case "daily": self = .daily(minute: try Self.minute(value[...]))
    case "weekly": self = try Self.weekly(value)
    case "cron": self = .cron(try CronExpression(value))
    default: return nil
    }
  }

  private static func every(_ text: String) throws(Malformed) -> Schedule {
    let units: [Character: Int] = ["m": 1, "h": 60, "d": 24 * 60]
    guard let last = text.last, let unit = units[last], let count = number(text.dropLast()), count > 0,
      count <= minutesMaximum / unit
    else {
      throw Malformed(description: "\"\(text.excerpt())\" is no period such as 30m, 6h or 1d, of a year at most")
    }
    return .every(minutes: count * unit)
  }

  private static func weekly(_ text: String) throws(Malformed) -> Schedule {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      throw Malformed(description: "\"\(text.excerpt())\" are no days and time such as mon,thu@02:30")
    }
    var found: Set<Int> = []
    for name in parts[0].split(separator: ",", omittingEmptySubsequences: false) {
      guard let day = days.firstIndex(of: name.lowercased()) else {
        throw Malformed(description: "\"\(String(name).excerpt())\" is no day: use \(days.joined(separator: ", "))")
      }
      found.insert(day)
    }
    return .weekly(days: found, minute: try minute(parts[1]))
  }

  private static func minute(_ text: Substring) throws(Malformed) -> Int {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 }), let hour = number(parts[0]),
      let minute = number(parts[1]), hour < 24, minute < 60
    else { throw Malformed(description: "\"\(String(text).excerpt())\" is no time such as 02:30") }
    return hour * 60 + minute
  }

  /// Digits alone.
  static func number(_ text: Substring) -> Int? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
  }
}

/// The five fields of cron: minute, hour, day of the month, month, day of the week; each `*`, numbers, names of months and
/// days, ranges, steps, and lists of those.
package struct CronExpression: Sendable, Hashable {
  package let minutes: Set<Int>
  package let hours: Set<Int>
  package let daysOfMonth: Set<Int>
  package let months: Set<Int>
  /// Sunday is 0.
  package let daysOfWeek: Set<Int>
  /// Whether both fields of days say something: then a day counts that fits one of them, as cron has it.
  package let hasBothDays: Bool

  private struct Field {
    let name: String
    let range: ClosedRange<Int>
    var names: [String] = []
  }

  private static let fields = [
    Field(name: "minute", range: 0...59), Field(name: "hour", range: 0...23),
    Field(name: "day of the month", range: 1...31),
    Field(
      name: "month", range: 1...12,
      names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    Field(name: "day of the week", range: 0...7, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
  ]
  /// Days that each month has at most.
  private static let lengths = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

  package init(_ text: String) throws(Schedule.Malformed) {
    let parts = text.split { $0 == " " || $0 == "\t" }
    guard parts.count == Self.fields.count else {
      throw Schedule.Malformed(
        description: "\"\(text.excerpt())\" has \(parts.count) fields of 5: minute, hour, day, month, day of the week")
    }
    var sets: [Set<Int>] = []
    for (part, field) in zip(parts, Self.fields) { sets.append(try Self.read(part, field)) }
    minutes = sets[0]
    hours = sets[1]
    daysOfMonth = sets[2]
    months = sets[3]
    daysOfWeek = Set(sets[4].map { $0 == 7 ? 0 : $0 })
    hasBothDays = !parts[2].hasPrefix("*") && !parts[4].hasPrefix("*")
    let (days, longest) = (daysOfMonth, months.map { Self.lengths[$0 - 1] }.max() ?? 31)
    if parts[4].hasPrefix("*") && !days.contains(where: { $0 <= longest }) {
      throw Schedule.Malformed(description: "no month it names has such a day: it would never be")
    }
  }

  private static func read(_ text: Substring, _ field: Field) throws(Schedule.Malformed) -> Set<Int> {
    var found: Set<Int> = []
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      let parts = item.split(separator: "/", omittingEmptySubsequences: false)
      guard (1...2).contains(parts.count), let range = range(parts[0], field, isOpen: parts.count == 2) else {
        throw Schedule.Malformed(
          description: "\"\(String(item).excerpt())\" is no \(field.name): from \(field.range.lowerBound) to "
            + "\(field.range.upperBound), with * - / and ,")
      }
      guard parts.count == 2 else {
        found.formUnion(range)
        continue
      }
      guard let step = Schedule.number(parts[1]), step > 0, step <= field.range.upperBound else {
        throw Schedule.Malformed(description: "\"\(String(parts[1]).excerpt())\" is no step for the \(field.name)")
      }
      found.formUnion(stride(from: range.lowerBound, through: range.upperBound, by: step))
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
