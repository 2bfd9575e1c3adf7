/// Text that somebody else chose, made fit for a message: bounded, and with nothing in it that a terminal or a log obeys.
enum ForeignText {
  static let lengthMax = 300

  /// Control characters, line and paragraph separators and direction marks become `\u{…}`; long text ends in "…".
  static func escaped(_ text: some StringProtocol, lengthMax: Int = lengthMax) -> String {
    var result = ""
    var length = 0
    for scalar in text.unicodeScalars {
      guard length < lengthMax else { return result + "…" }
      length += 1
      if isHarmless(scalar) {
        result.unicodeScalars.append(scalar)
      } else {
        result += "\\u{\(String(scalar.value, radix: 16))}"
      }
    }
    return result
  }

  static func escaped(_ bytes: some Collection<UInt8>, lengthMax: Int = lengthMax) -> String {
    escaped(String(decoding: bytes.prefix(lengthMax * 4), as: UTF8.self), lengthMax: lengthMax)
  }

  private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
    default: true
    }
  }

  /// The first `lengthMax` bytes of `text`, cut between characters, with "…" when something was cut.
  static func clipped(_ text: String, to lengthMax: Int) -> String {
    guard text.utf8.count > lengthMax else { return text }
    var end = text.utf8.index(text.startIndex, offsetBy: lengthMax)
    while end > text.startIndex, end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
    return text[..<end] + "…"
  }
}
