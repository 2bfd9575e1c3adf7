import Model

/// Why a text is not a pattern, and what to write instead.
package struct PatternError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Code: String, Sendable, CaseIterable {
    case empty
    case tooLong
    /// More than one colon after the last slash, or one before it.
    case misplacedColon
    /// Nothing after the colon.
    case emptyTag
    /// A character that no name or no tag can hold, or not in that place.
    case invalidCharacter
    /// A slash at the beginning or the end, or two together.
    case emptySegment
    /// `@` and a digest: patterns choose by name and tag only.
    case digest
  }

  package let code: Code
  /// The text that was given, shortened when long.
  package let pattern: String
  /// Where in the text the offending character stands, counted from 1; nil when it is not one character that is wrong.
  package let position: Int?
  /// What is wrong with it; quotes the offending character.
  package let problem: String
  /// What to do.
  package let hint: String

  init(_ code: Code, _ pattern: String, _ problem: String, hint: String) {
    self.init(code, pattern, position: nil, problem, hint: hint)
  }

  /// What is wrong is the character at `index`: `problem` reads on after it.
  init(_ code: Code, _ pattern: String, at index: String.Index, _ problem: String, hint: String) {
    let scalars = pattern.unicodeScalars
    let position = scalars.distance(from: scalars.startIndex, to: index) + 1
    self.init(
      code, pattern, position: position, "\(Self.quote(scalars[index])) at position \(position) \(problem)", hint: hint)
  }

  private init(_ code: Code, _ pattern: String, position: Int?, _ problem: String, hint: String) {
    self.code = code
    self.pattern = pattern.excerpt()
    self.position = position
    self.problem = problem
    self.hint = hint
  }

  /// What a person would not see, or take for something else, by its number.
  private static func quote(_ scalar: Unicode.Scalar) -> String {
    if (" "..."~").contains(scalar) { return "\"\(scalar)\"" }
    let hex = String(scalar.value, radix: 16, uppercase: true)
    return "the character U+" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
  }

  package var description: String { "pattern \"\(pattern)\": \(problem); \(hint)" }
}

/// Why a list of patterns cannot be used: every bad pattern of it, or that it is too long to look at.
package struct PatternListError: Error, Hashable, Sendable, CustomStringConvertible {
  package struct Failure: Hashable, Sendable {
    /// The place in the list, from zero.
    package let index: Int
    package let error: PatternError
  }

  /// In the order of the list; empty when the list has too many patterns.
  package let failures: [Failure]
  /// How many patterns the list has.
  package let count: Int

  package var description: String {
    guard let first = failures.first else {
      return "the list has \(count) patterns; at most \(Pattern.maximumListCount) are allowed: "
        + "replace several by one with *"
    }
    let others = failures.count - 1
    return "\(first.error)" + (others == 0 ? "" : " (and \(others) more that cannot be read)")
  }
}
