import TidewaiterClient
import CLIKit
import Testing

@Suite("Tables")
struct TableTests {
  private static func table() -> Table {
    var table = Table([
      .init("IMAGE", cut: .middle), .number("HIGH"), .init("DIGEST", isOptional: true), .init("REASON", cut: .end),
    ])
    table.add([
      .init("hub/team/application:1.0"), .init("7", .red), .init("0123456789ab"), .init("a long reason, too long"),
    ])
    table.add([.init("hub/数据库:1"), .init("12"), .init("ba9876543210"), .init("")])
    return table
  }

  @Test("Without a terminal nothing is cut, and columns are aligned")
  func aligns() {
    let expected = """
      IMAGE                     HIGH  DIGEST        REASON
      hub/team/application:1.0     7  0123456789ab  a long reason, too long
      hub/数据库:1                12  ba9876543210  -

      """
    #expect(Self.table().render(width: nil, colours: false) == expected)
  }

  @Test("A terminal is filled and not overrun", arguments: 30...100)
  func fits(width: Int) {
    let lines = Self.table().render(width: width, colours: false).split(separator: "\n")
    #expect(lines.count == 3)
    for line in lines { #expect(TerminalText.width(line) <= width) }
  }

  @Test("A narrow terminal goes without optional columns first")
  func dropsColumns() {
    let wide = Self.table().render(width: 75, colours: false)
    #expect(wide.contains("DIGEST") && wide.contains("hub/team/application:1.0"))
    let narrow = Self.table().render(width: 60, colours: false)
    #expect(!narrow.contains("DIGEST") && narrow.contains("hub/team/application:1.0"))
    #expect(Self.table().render(width: 40, colours: false).contains("…"))
  }

  @Test("Colours change nothing but colours")
  func colours() {
    let plain = Self.table().render(width: 60, colours: false)
    let coloured = Self.table().render(width: 60, colours: true)
    #expect(coloured.contains("\u{1b}[31m7\u{1b}[0m"))
    #expect(coloured.replacing(#/\u{1b}\[[0-9;]*m/#, with: "") == plain)
  }

  @Test(
    "What a terminal would obey or hide is shown",
    arguments: [
      ("\u{1b}[2J", "\\x1b[2J"), ("\u{1b}]52;c;aGk=\u{7}", "\\x1b]52;c;aGk=\\x07"), ("a\rb\nc\td", "a\\rb\\nc\\td"),
      ("\u{9b}31m", "\\x9b31m"), ("\u{7f}", "\\x7f"), ("a\u{202e}b\u{2066}c", "a\\u202eb\\u2066c"),
      ("a\u{200b}b\u{feff}c\u{2060}d", "a\\u200bb\\ufeffc\\u2060d"), ("\u{61c}", "\\u061c"), ("\u{ad}", "\\xad"),
      ("\u{e0041}", "\\U000e0041"), ("\u{2028}", "\\u2028"), ("\u{3164}", "\\u3164"), ("\u{e000}", "\\ue000"),
      ("plain text", "plain text"), ("naïve 数据 ✓", "naïve 数据 ✓"),
    ])
  func escapes(text: String, expected: String) {
    #expect(TerminalText.escape(text) == expected)
  }

  @Test("Every single character is harmless once escaped")
  func escapesEverything() {
    for value in UInt32(0)...0x10ffff {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let isControl = value < 0x20 || (0x7f...0x9f).contains(value)
      let isBidirectional =
        [0x61c, 0x200e, 0x200f].contains(value) || (0x202a...0x202e).contains(value)
        || (0x2066...0x2069).contains(value)
      guard isControl || isBidirectional else { continue }
      #expect(!TerminalText.escape(String(scalar)).unicodeScalars.contains(scalar))
    }
  }

  @Test("A text is cut to its columns, wide characters counted twice")
  func cuts() {
    #expect(TerminalText.fit("abcdef", columns: 6, cut: .end) == "abcdef")
    #expect(TerminalText.fit("abcdef", columns: 4, cut: .end) == "abc…")
    #expect(TerminalText.fit("abcdefgh", columns: 5, cut: .middle) == "ab…gh")
    #expect(TerminalText.fit("数据库", columns: 4, cut: .end) == "数…")
    #expect(TerminalText.fit("abc", columns: 1, cut: .middle) == "…")
    #expect(TerminalText.fit("abc", columns: 0, cut: .end) == "")
  }

  @Test("A report names what was not analysed before what was found, the worst first, and escapes both")
  func reports() throws {
    var report = Report()
    func finding(_ id: String, _ severity: Severity, _ kind: FindingKind) -> Finding {
      var finding = Finding()
      finding.id = id
      finding.kind = kind
      finding.severity = severity
      finding.package = "p\u{1b}[2J"
      finding.title = "broken\u{202e}"
      return finding
    }
    report.findings = [
      finding("CVE-1", .low, .vulnerability), finding("CVE-2", .critical, .vulnerability),
      finding("E", .unknown, .error),
    ]
    let text = ReportView.render(report, width: nil, colours: false)
    let failed = try #require(text.firstRange(of: "not analysed: broken\\u202e"))
    let critical = try #require(text.firstRange(of: "CVE-2"))
    let low = try #require(text.firstRange(of: "CVE-1"))
    #expect(failed.lowerBound < critical.lowerBound && critical.lowerBound < low.lowerBound)
    #expect(text.contains("p\\x1b[2J") && !text.contains("\u{1b}"))
  }
}
