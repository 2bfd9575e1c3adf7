/// Texts of strangers (package names, titles, file names) on a terminal.
package enum TerminalText {
  /// `text` with every character that a terminal obeys or does not show (controls, C1, bidirectional marks, zero-width
  /// and other invisible ones, line and paragraph separators, private use) written as an escape, on one line.
  package static func escape(_ text: String) -> String {
    if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) { return text }
    var output = ""
    for scalar in text.unicodeScalars {
      if isHarmless(scalar) {
        output.unicodeScalars.append(scalar)
        continue
      }
      switch scalar {
      case "\n": output += "\\n"
      case "\r": output += "\\r"
      case "\t": output += "\\t"
      default:
        let (letter, width) =
          switch scalar.value {
          case ..<0x100: ("x", 2)
          case ..<0x1_0000: ("u", 4)
          default: ("U", 8)
          }
        let hex = String(scalar.value, radix: 16)
        output += "\\" + letter + String(repeating: "0", count: width - hex.count) + hex
      }
    }
    return output
  }

  private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7f }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse: return false
    default: return !scalar.properties.isDefaultIgnorableCodePoint
    }
  }

  /// Columns that `text`, escaped, takes up on a terminal.
  package static func width(_ text: some StringProtocol) -> Int {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
    return text.unicodeScalars.reduce(0) { $0 + width(of: $1) }
  }

  private static func width(of scalar: Unicode.Scalar) -> Int {
    if scalar.isASCII { return 1 }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark: return 0
    default: break
    }
    // East Asian wide and emoji, in the large blocks; a miss only costs alignment.
    switch scalar.value {
    case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f,
      0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f900...0x1f9ff, 0x2_0000...0x3_fffd:
      return 2
    default: return 1
    }
  }

  /// Where a text that is too long loses characters.
  package enum Cut: Sendable {
    case end, middle
  }

  /// `text`, escaped already, in at most `columns` columns, with `…` for what was cut.
  package static func fit(_ text: String, columns: Int, cut: Cut) -> String {
    guard width(text) > columns else { return text }
    guard columns > 1 else { return columns == 1 ? "…" : "" }
    switch cut {
    case .end: return prefix(text, columns - 1) + "…"
    case .middle:
      let tail = (columns - 1) / 2
      let reversed = String(String.UnicodeScalarView(text.unicodeScalars.reversed()))
      let end = String.UnicodeScalarView(prefix(reversed, tail).unicodeScalars.reversed())
      return prefix(text, columns - 1 - tail) + "…" + String(end)
    }
  }

  private static func prefix(_ text: String, _ columns: Int) -> String {
    var output = String.UnicodeScalarView()
    var used = 0
    for scalar in text.unicodeScalars {
      used += width(of: scalar)
      if used > columns { break }
      output.append(scalar)
    }
    return String(output)
  }
}

/// Colours of a terminal, as SGR parameters.
package enum Colour: String, Sendable {
  case bold = "1"
  case dim = "2"
  case red = "31"
  case green = "32"
  case yellow = "33"
  case cyan = "36"
  case boldRed = "1;31"

  /// `text` in this colour, and the terminal's own after it.
  package func paint(_ text: String) -> String { "\u{1b}[\(rawValue)m\(text)\u{1b}[0m" }
}
