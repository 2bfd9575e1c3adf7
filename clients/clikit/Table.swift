/// Aligned columns for people. Cells hold texts as they came: they are escaped here.
package struct Table: Sendable {
  package struct Column: Sendable {
    let title: String
    let isNumber: Bool
    /// Where cells lose characters on a terminal that is too narrow; nil for what only helps whole (a digest, a number).
    let cut: TerminalText.Cut?
    /// Whether a terminal that is too narrow goes without the column, before cells become too short to read.
    let isOptional: Bool

    package init(_ title: String, cut: TerminalText.Cut? = nil, isOptional: Bool = false) {
      self.title = title
      self.cut = cut
      self.isOptional = isOptional
      isNumber = false
    }

    private init(number title: String, isOptional: Bool) {
      self.title = title
      cut = nil
      self.isOptional = isOptional
      isNumber = true
    }

    /// Aligned to the right.
    package static func number(_ title: String, isOptional: Bool = false) -> Column {
      Column(number: title, isOptional: isOptional)
    }
  }

  package struct Cell: Sendable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    let text: String
    let colour: Colour?

    package init(_ text: String, _ colour: Colour? = nil) {
      self.text = text.isEmpty ? "-" : text
      self.colour = text.isEmpty ? nil : colour
    }

    package init(stringLiteral value: String) { self.init(value) }
  }

  /// Width below which no cell is cut, and width down to which cells stay easy to read.
  private static let narrowest = 8
  private static let comfortable = 24
  private static let gap = 2

  private let columns: [Column]
  private var rows: [[Cell]] = []

  package init(_ columns: [Column]) { self.columns = columns }

  /// `cells` has one for each column.
  package mutating func add(_ cells: [Cell]) {
    precondition(cells.count == columns.count)
    rows.append(cells)
  }

  package var isEmpty: Bool { rows.isEmpty }

  /// The table with a head line, cut to `width` columns where that is given, lines without trailing blanks.
  package func render(width: Int?, colours: Bool) -> String {
    let texts = rows.map { $0.map { TerminalText.escape($0.text) } }
    var widths = columns.map { TerminalText.width($0.title) }
    for row in texts {
      for (index, text) in row.enumerated() { widths[index] = max(widths[index], TerminalText.width(text)) }
    }
    var shown = Array(columns.indices)
    if let width {
      shown = columnsThatFit(width, widths)
      narrow(&widths, shown, to: width)
    }
    var output = line(columns.map(\.title), shown, widths) { _, text in colours ? Colour.bold.paint(text) : text }
    for (row, cells) in zip(texts, rows) {
      output += line(row, shown, widths) { index, text in
        guard colours, let colour = cells[index].colour else { return text }
        return colour.paint(text)
      }
    }
    return output
  }

  /// All columns, less the optional ones from the right until the rest fits with cells easy to read.
  private func columnsThatFit(_ width: Int, _ natural: [Int]) -> [Int] {
    var shown = Array(columns.indices)
    func needed() -> Int {
      shown.reduce(-Self.gap) { sum, index in
        sum + Self.gap + (columns[index].cut == nil ? natural[index] : min(natural[index], Self.comfortable))
      }
    }
    while needed() > width, let last = shown.lastIndex(where: { columns[$0].isOptional }) { shown.remove(at: last) }
    return shown
  }

  /// Takes width from the widest cells first, until the table fits or every column that may be cut is narrow.
  private func narrow(_ widths: inout [Int], _ shown: [Int], to width: Int) {
    let available = width - Self.gap * (shown.count - 1)
    let natural = widths
    var cap = natural.max() ?? 0
    while shown.reduce(0, { $0 + widths[$1] }) > available && cap > Self.narrowest {
      cap -= 1
      for index in shown where columns[index].cut != nil {
        widths[index] = min(natural[index], max(cap, TerminalText.width(columns[index].title)))
      }
    }
  }

  private func line(
    _ texts: [String], _ shown: [Int], _ widths: [Int], _ paint: (Int, String) -> String
  ) -> String {
    var output = ""
    var blanks = 0
    for index in shown {
      let text = texts[index]
      let fitted = columns[index].cut.map { TerminalText.fit(text, columns: widths[index], cut: $0) } ?? text
      let padding = max(widths[index] - TerminalText.width(fitted), 0)
      if columns[index].isNumber { blanks += padding }
      output += String(repeating: " ", count: blanks) + paint(index, fitted)
      blanks = Self.gap + (columns[index].isNumber ? 0 : padding)
    }
    return output + "\n"
  }
}

/// Named facts, one a line, aligned; further values of one name stand below the first.
package struct FactList: Sendable {
  private var facts: [(name: String, value: String, colour: Colour?)] = []

  package init() {}

  package mutating func add(_ name: String, _ value: String, _ colour: Colour? = nil) {
    facts.append((name, value, colour))
  }

  /// One line for each of `values`; nothing when there is none.
  package mutating func add(_ name: String, _ values: [String], _ colour: Colour? = nil) {
    for (index, value) in values.enumerated() { facts.append((index == 0 ? name : "", value, colour)) }
  }

  package func render(colours: Bool) -> String {
    let width = facts.map { TerminalText.width($0.name) }.max() ?? 0
    return facts.reduce(into: "") { output, fact in
      let padding = String(repeating: " ", count: width - TerminalText.width(fact.name) + 2)
      let value = TerminalText.escape(fact.value)
      output += colours ? Colour.bold.paint(fact.name) : fact.name
      output += padding + ((colours ? fact.colour?.paint(value) : nil) ?? value) + "\n"
    }
  }
}
