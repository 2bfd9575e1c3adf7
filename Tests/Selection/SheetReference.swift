import Foundation
import Model
import Selection

/// Section 4 of the design once more, as plainly as can be and with none of the code that is tested: patterns are regular
/// expressions, versions are compared with padded numbers, calendars are Foundation's.
struct SheetReference {
  var criteria: [String] = []
  var never: [String] = []
  var always: [String] = []
  var condition = Asked.nothing

  enum Asked {
    case nothing
    case days(Int), months(Int), years(Int)
    case latest(Int)
  }

  // MARK: - Patterns

  /// The whole of the text, a star being anything.
  static func matches(_ glob: String, _ text: String) throws -> Bool {
    let expression = glob.unicodeScalars.map { scalar in
      scalar == "*" ? ".*" : "\\x{" + String(scalar.value, radix: 16) + "}"
    }
    return try NSRegularExpression(pattern: "\\A" + expression.joined() + "\\z", options: .dotMatchesLineSeparators)
      .firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
  }

  static func matches(_ pattern: String, repository: String, tag: String) throws -> Bool {
    let isBareTag =
      try NSRegularExpression(pattern: "\\A[0-9.*]*[0-9][0-9.*]*\\z")
      .firstMatch(in: pattern, range: NSRange(pattern.startIndex..., in: pattern)) != nil
    let halves = pattern.components(separatedBy: ":")
    let wantedTag = halves.count == 2 ? halves[1] : isBareTag ? pattern : "*"
    let wantedName = halves.count == 2 ? halves[0] : isBareTag ? "" : pattern
    guard try matches(wantedTag, tag) else { return false }
    if try wantedName.isEmpty || matches(wantedName, repository) { return true }
    guard !wantedName.contains("/") else { return false }
    return try matches(wantedName, repository.components(separatedBy: "/").last ?? "")
  }

  // MARK: - Dates

  private func isPlaceholder(_ date: Timestamp?, _ now: Timestamp) -> Bool {
    guard let date else { return true }
    return date.description < "1990-01-01T00:00:00Z" || date.seconds - now.seconds > 86_400
      || (date.seconds - now.seconds == 86_400 && date.nanoseconds > now.nanoseconds)
  }

  private func created(_ image: TaggedImage, _ now: Timestamp) -> (date: Timestamp, source: String) {
    let stated = image.configs.filter { !isPlaceholder($0, now) }.compactMap(\.self)
    if let newest = stated.sorted(by: >).first { return (newest, "from the image config") }
    if let pushed = image.pushed, !isPlaceholder(pushed, now) { return (pushed, "from the registry's push date") }
    return (image.firstSeen, "first seen by the daemon")
  }

  private func start(_ component: Calendar.Component, _ count: Int, before now: Timestamp) -> Timestamp? {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .gmt
    return calendar.date(byAdding: component, value: -count, to: Date(timeIntervalSince1970: Double(now.seconds)))
      .map { Timestamp(seconds: Int64($0.timeIntervalSince1970), nanoseconds: now.nanoseconds) }
  }

  private func day(_ date: Timestamp) -> String { String(date.description.prefix(10)) }

  // MARK: - Decisions

  /// For each image `+` or `-` and the reason.
  func decisions(repository: String, _ images: [TaggedImage], now: Timestamp) throws -> [String] {
    var decisions: [String: String] = [:]
    var left: [TaggedImage] = []
    for image in images {
      func first(_ patterns: [String]) throws -> String? {
        try patterns.first { try Self.matches($0, repository: repository, tag: image.tag) }
      }
      if let pattern = try first(always) {
        decisions[image.tag] = "+ always: \"\(pattern)\""
      } else if let pattern = try first(never) {
        decisions[image.tag] = "- never: \"\(pattern)\""
      } else if criteria.isEmpty {
        decisions[image.tag] = "+ no criteria: every tag is taken"
        left.append(image)
      } else if let pattern = try first(criteria) {
        decisions[image.tag] = "+ criteria: \"\(pattern)\""
        left.append(image)
      } else {
        decisions[image.tag] = "- no criteria matches"
      }
    }
    switch condition {
    case .nothing: break
    case .days(let count): decide(left, now, count, "day", start(.day, count, before: now), &decisions)
    case .months(let count): decide(left, now, count, "month", start(.month, count, before: now), &decisions)
    case .years(let count): decide(left, now, count, "year", start(.year, count, before: now), &decisions)
    case .latest(let count):
      for (place, image) in newestFirst(left, now).enumerated() {
        let (date, source) = created(image, now)
        let verdict = place < count ? "+ among" : "- not among"
        decisions[image.tag] = "\(verdict) the newest \(count) (created \(day(date)), \(source))"
      }
    }
    return images.map { decisions[$0.tag] ?? "" }
  }

  private func decide(
    _ images: [TaggedImage], _ now: Timestamp, _ count: Int, _ unit: String, _ start: Timestamp?,
    _ decisions: inout [String: String]
  ) {
    guard let start else { return }
    let period = "\(count) \(unit)\(count == 1 ? "" : "s")"
    for image in images {
      if let pushed = image.pushed, !isPlaceholder(pushed, now), pushed < start {
        decisions[image.tag] = "- older than \(period) (pushed \(day(pushed)), from the registry's push date)"
        continue
      }
      let (date, source) = created(image, now)
      let verdict = date < start ? "- older than" : "+ within"
      decisions[image.tag] = "\(verdict) \(period) (created \(day(date)), \(source))"
    }
  }

  func newestFirst(_ images: [TaggedImage], _ now: Timestamp) -> [TaggedImage] {
    let keyed = images.map { image in
      let (date, source) = created(image, now)
      // Of a first sight only the day counts.
      let seconds = source == "first seen by the daemon" ? date.seconds - date.seconds % 86_400 : date.seconds
      let nanoseconds = source == "first seen by the daemon" ? 0 : date.nanoseconds
      return (image: image, key: [Int(seconds), Int(nanoseconds)], version: Self.padded(image.tag))
    }
    return keyed.sorted { a, b in
      if a.key != b.key { return b.key.lexicographicallyPrecedes(a.key) }
      if a.version != b.version { return b.version.lexicographicallyPrecedes(a.version) }
      return b.image.tag.utf8.lexicographicallyPrecedes(a.image.tag.utf8)
    }.map(\.image)
  }

  /// With every number written in 40 digits, so that texts compare as versions.
  static func padded(_ tag: String) -> [UInt8] {
    var padded = ""
    var number = ""
    for character in tag + "\0" {
      if character.isNumber {
        number.append(character)
        continue
      }
      if !number.isEmpty { padded += String(repeating: "0", count: 40 - number.count) + number }
      number = ""
      padded.append(character)
    }
    return Array(padded.dropLast().utf8)
  }
}
