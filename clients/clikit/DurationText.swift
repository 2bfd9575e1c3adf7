/// Spans of time as people write them on the command line.
package enum DurationText {
  /// Longest span: ten years, far from any overflow.
  static let maximumSeconds: Int64 = 10 * 365 * 86_400

  /// A whole number and a unit (`500ms`, `30s`, `5m`, `2h`), more than nothing.
  package static func parse(_ text: String) throws(MalformedText) -> Duration {
    let (number, unit) = try split(text, example: "500ms, 30s, 5m or 2h")
    let (perUnit, limit): (Duration, Int64) =
      switch unit {
      case "ms": (.milliseconds(1), maximumSeconds * 1000)
      case "s": (.seconds(1), maximumSeconds)
      case "m": (.seconds(60), maximumSeconds / 60)
      case "h": (.seconds(3600), maximumSeconds / 3600)
      default: throw MalformedText("\"\(unit)\" is no unit of time: use ms, s, m or h")
      }
    guard number > 0 else { throw MalformedText("must be more than nothing") }
    guard number <= limit else { throw MalformedText("is longer than ten years") }
    return perUnit * Int(number)
  }

  /// The number and what follows it.
  static func split(_ text: String, example: String) throws(MalformedText) -> (number: Int64, unit: Substring) {
    let digits = text.prefix { "0123456789".contains($0) }
    guard !digits.isEmpty, digits.count < text.count else {
      throw MalformedText("write a whole number and a unit, such as \(example)")
    }
    guard let number = Int64(digits) else { throw MalformedText("the number is too large") }
    return (number, text[digits.endIndex...])
  }

  /// For people: `2d 3h`, `5m 10s`, `40s`.
  package static func describe(seconds: Int64) -> String {
    let units: [(name: String, seconds: Int64)] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]
    var rest = max(seconds, 0)
    var parts: [String] = []
    for unit in units where rest >= unit.seconds && parts.count < 2 {
      parts.append("\(rest / unit.seconds)\(unit.name)")
      rest %= unit.seconds
    }
    return parts.isEmpty ? "0s" : parts.joined(separator: " ")
  }
}

/// A number of calendar days, months or years: `60d`, `2mo`, `1y`.
package struct Period: Equatable, Sendable {
  package enum Unit: String, Sendable {
    case days = "d"
    case months = "mo"
    case years = "y"
  }

  package let count: UInt32
  package let unit: Unit

  package init(parsing text: String) throws(MalformedText) {
    let (number, suffix) = try DurationText.split(text, example: "60d, 2mo or 1y")
    guard let unit = Unit(rawValue: String(suffix)) else {
      throw MalformedText("\"\(suffix)\" is no unit: use d (days), mo (months) or y (years)")
    }
    guard number > 0, let count = UInt32(exactly: number), count <= 36_500 else {
      throw MalformedText("must be from 1 to 36500")
    }
    self.count = count
    self.unit = unit
  }
}

/// Why a text given on the command line is not what it should be. Reads on after "the value is invalid:".
package struct MalformedText: Error, Equatable, CustomStringConvertible {
  package let description: String

  init(_ description: String) { self.description = description }
}
