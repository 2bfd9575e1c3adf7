import SecretRules

/// The beginning of a value that is assigned to a name.
struct AssignedValue {
  var start: Int
  /// The quote that it stands in.
  var quote: UInt8?
  /// The rest of the name that came before.
  var nameEnd: Int
}

extension PatternMatcher {
  private static let nameBytes = 40
  private static let spaces = 12

  /// Finds the value after a name of which some was read: `name_rest" : "`, ` := '`, `=>`, `>`, `: String = "`.
  mutating func assignedValue(after position: Int) -> AssignedValue? {
    let nameEnd = endOfRun(.identifier, from: position, atMost: Self.nameBytes)
    var next = skipSpaces(skipQuotes(from: nameEnd, and: Self.brackets))
    guard let afterOperator = skipOperator(from: next) else { return nil }
    next = skipSpaces(afterOperator)
    next = skipType(from: next)
    let opening = next
    next = skipQuotes(from: next, and: [])
    let quote = next > opening ? bytes[next - 1] : nil
    return next < bytes.count ? AssignedValue(start: next, quote: quote, nameEnd: nameEnd) : nil
  }

  private static let brackets: [UInt8] = [UInt8(ascii: "]"), UInt8(ascii: ")")]
  static let quotes: [UInt8] = [UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`")]

  private mutating func skipSpaces(_ start: Int) -> Int {
    var position = start
    let end = min(bytes.count, start + Self.spaces)
    while position < end && (bytes[position] == 0x20 || bytes[position] == 0x09) { position += 1 }
    cost += position - start + 1
    return position
  }

  /// Over quotes, each perhaps with a backslash before it.
  private func skipQuotes(from start: Int, and others: [UInt8]) -> Int {
    var position = start
    while position < start + 4, let next = byte(at: position) {
      if Self.quotes.contains(next) || others.contains(next) {
        position += 1
      } else if next == UInt8(ascii: "\\"), let escaped = byte(at: position + 1), Self.quotes.contains(escaped) {
        position += 2
      } else {
        break
      }
    }
    return position
  }

  private func skipOperator(from position: Int) -> Int? {
    for text: StaticString in [":=", "=>", "?=", "->", "::", "=", ":", ">", ","] where starts(with: text, at: position)
    {
      // A comparison gives nothing to anything.
      if byte(at: position) == UInt8(ascii: "="), byte(at: position + 1) == UInt8(ascii: "=") { return nil }
      return position + text.utf8CodeUnitCount
    }
    return nil
  }

  /// Over a type and an equals sign that follow a colon.
  private mutating func skipType(from position: Int) -> Int {
    let end = endOfRun(.identifier, from: position, atMost: Self.nameBytes)
    guard end > position, byte(at: end) == 0x20, byte(at: end + 1) == UInt8(ascii: "="),
      byte(at: end + 2) == 0x20, let quote = byte(at: end + 3), Self.quotes.contains(quote)
    else { return position }
    return end + 3
  }
}
