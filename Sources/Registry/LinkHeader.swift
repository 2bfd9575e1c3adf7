/// The `Link` header of a page: where the next one is.
enum LinkHeader {
  static let bytesMax = 8 * 1024

  /// The address of the link with the relation `next`, as written; nil when there is none. Servers leave out quotes and
  /// even brackets.
  static func next(in headers: [String]) -> String? {
    for header in headers where header.utf8.count <= bytesMax {
      for link in split(header, at: ",") {
        let parts = split(link, at: ";")
        guard let address = parts.first.map({ trimmed($0) }) else { continue }
        let isNext = parts.dropFirst().contains { parameter in
          let sides = parameter.split(separator: "=", maxSplits: 1).map { trimmed($0) }
          guard sides.count == 2, sides[0].lowercased() == "rel" else { return false }
          let relations = sides[1].filter { $0 != "\"" }.lowercased()
          return relations.split(separator: " ").contains("next")
        }
        guard isNext else { continue }
        if address.hasPrefix("<"), address.hasSuffix(">") { return String(address.dropFirst().dropLast()) }
        return address
      }
    }
    return nil
  }

  /// Cuts `text` at `separator` where that stands neither in brackets nor in quotes.
  private static func split(_ text: some StringProtocol, at separator: Character) -> [String] {
    var parts: [String] = []
    var part = ""
    var isInBrackets = false
    var isInQuotes = false
    for character in text {
      switch character {
      case "<" where !isInQuotes: isInBrackets = true
      case ">" where !isInQuotes: isInBrackets = false
      case "\"" where !isInBrackets: isInQuotes.toggle()
      case separator where !isInBrackets && !isInQuotes:
        parts.append(part)
        part = ""
        continue
      default: break
      }
      part.append(character)
    }
    return parts + [part]
  }

  /// Without the blanks around it.
  static func trimmed(_ text: some StringProtocol) -> String {
    let start = text.drop { $0 == " " || $0 == "\t" }
    guard let last = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
    return String(start[...last])
  }
}
