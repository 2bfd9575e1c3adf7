import Model

/// When an automatic integration is polled, as a person wrote it (D4).
package enum Schedule: Sendable, Hashable {
  /// Every so many minutes.
  case every(minutes: Int)
  /// At that minute after midnight.
  case daily(minute: Int)
  /// On those days, Sunday being 0, at that minute after midnight.
  case weekly(days: NumberSet, minute: Int)
  case cron(CronExpression)

  /// What is wrong with a text, where in it, and what would be right.
  package struct Malformed: Error, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }

    /// `part` is what is wrong in `text`; `reason` goes on after it.
    init(_ part: Substring, of text: String, _ reason: String) {
      let place = text.unicodeScalars.distance(from: text.startIndex, to: part.startIndex) + 1
      let subject = part.isEmpty ? "nothing" : "\"\(part.excerpt())\""
      description = "\"\(text.excerpt())\": \(subject) at character \(place) \(reason)"
    }
  }

  package static let kinds = ["every", "daily", "weekly", "cron"]
  /// Longest period of `every`: a year.
  package static let minutesMaximum = 366 * 24 * 60
  static let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

  /// Reads `6h` (`m`, `h`, `d`), `02:30`, `mon,thu@02:30` or five fields of cron; nil for a kind that is none.
  package init?(kind: String, value: String) throws(Malformed) {
    guard value.utf8.count <= 256 else { throw Malformed("is longer than 256 bytes") }
    switch kind {
    case "every": self = try Self.every(value)
    case "daily": self = .daily(minute: try Self.minute(value[...], of: value))
    case "weekly": self = try Self.weekly(value)
    case "cron": self = .cron(try CronExpression(value))
    default: return nil
    }
  }

  private static func every(_ text: String) throws(Malformed) -> Schedule {
    let units: [Character: Int] = ["m": 1, "h": 60, "d": 24 * 60]
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard !digits.isEmpty else {
      throw Malformed(digits, of: text, "is no number: use one and a unit, such as 30m, 6h or 1d")
    }
    let rest = text[digits.endIndex...]
    guard rest.count == 1, let letter = rest.first, let unit = units[letter] else {
      throw Malformed(rest, of: text, "is no unit: use m, h or d for minutes, hours or days, such as 30m, 6h or 1d")
    }
    guard let count = number(digits), count > 0, count <= minutesMaximum / unit else {
      throw Malformed(digits, of: text, "must be from 1 to \(minutesMaximum / unit) with the unit \(letter)")
    }
    return .every(minutes: count * unit)
  }

  private static func weekly(_ text: String) throws(Malformed) -> Schedule {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      throw Malformed("\"\(text.excerpt())\" must be days, an @ and a time, such as mon,thu@02:30")
    }
    var found: NumberSet = []
    for name in parts[0].split(separator: ",", omittingEmptySubsequences: false) {
      guard let day = days.firstIndex(of: name.lowercased()) else {
        throw Malformed(name, of: text, "is no day: use \(days.joined(separator: ", ")), such as mon,thu@02:30")
      }
      found.insert(day)
    }
    return .weekly(days: found, minute: try minute(parts[1], of: text))
  }

  private static func minute(_ time: Substring, of text: String) throws(Malformed) -> Int {
    let parts = time.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2 else { throw Malformed(time, of: text, "is no time: use HH:MM, such as 02:30") }
    guard parts[0].utf8.count == 2, let hour = number(parts[0]), hour < 24 else {
      throw Malformed(parts[0], of: text, "is no hour: use two digits from 00 to 23, such as 02:30")
    }
    guard parts[1].utf8.count == 2, let minute = number(parts[1]), minute < 60 else {
      throw Malformed(parts[1], of: text, "is no minute: use two digits from 00 to 59, such as 02:30")
    }
    return hour * 60 + minute
  }

  /// Digits alone.
  static func number(_ text: Substring) -> Int? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
  }
}
