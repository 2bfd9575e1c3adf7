/// What a secret looks like around a text that every one of them holds, its anchor. Written much like a regular
/// expression but read from left to right without ever going back, so that a match costs what its longest form has of
/// bytes and no more:
///
/// - `<text>` is the anchor, `<i:text>` one in which case does not matter; a pattern without either begins with it.
/// - `[a-z_]` one of these; `\d` a digit, `\h` a lower-case and `\x` any hexadecimal digit, `\A` an upper-case letter or digit,
///   `\w` a letter or digit, `\b` one of base64, `\u` one of base64url; a backslash before anything else takes it literally.
/// - `{n}`, `{n,m}`, `?` how many of them; always as many as there are.
/// - `%` what stands between a name and its value: the name's rest, quotes, `=`, `:` or `=>`.
/// - `(` and `)` around the secret, where that is not all.
///
/// What comes before the anchor is matched from it backwards.
package struct SecretPattern: Sendable {
  package struct Run: Sendable {
    package var set: ByteSet
    package var least: Int
    package var most: Int
  }

  package enum Step: Sendable {
    case run(Run)
    case assignment
    case valueBegins
    case valueEnds
  }

  package private(set) var anchor: [UInt8] = []
  package private(set) var ignoresCase = false
  /// Nearest to the anchor first.
  package private(set) var before: [Run] = []
  package private(set) var after: [Step] = []
  /// The pattern begins with the anchor, by which a reader knows what it is about.
  package var hasPrefix: Bool { before.isEmpty && !ignoresCase }

  package init(_ text: StaticString) {
    var reader = Reader(text)
    if let marked = reader.takeAnchor() {
      var first = Reader(bytes: marked.before)
      while let run = first.takeRun() { before.append(run) }
      before.reverse()
      anchor = marked.text
      ignoresCase = marked.ignoresCase
    } else {
      anchor = reader.takeLiterals()
    }
    while !reader.isAtEnd {
      if reader.take("%") {
        after.append(.assignment)
      } else if reader.take("(") {
        after.append(.valueBegins)
      } else if reader.take(")") {
        after.append(.valueEnds)
      } else if let run = reader.takeRun() {
        after.append(.run(run))
      }
    }
    precondition(anchor.count >= 3, "an anchor of fewer than three bytes occurs everywhere")
  }

  private struct Reader {
    private var bytes: ArraySlice<UInt8>

    init(_ text: StaticString) { bytes = text.withUTF8Buffer { ArraySlice($0) } }
    init(bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    var isAtEnd: Bool { bytes.isEmpty }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
      guard bytes.first == UInt8(ascii: character) else { return false }
      bytes.removeFirst()
      return true
    }

    /// An anchor in angle brackets and what is before it; leaves what is after it.
    mutating func takeAnchor() -> (before: ArraySlice<UInt8>, text: [UInt8], ignoresCase: Bool)? {
      guard let open = bytes.firstIndex(of: UInt8(ascii: "<")), let close = bytes.firstIndex(of: UInt8(ascii: ">"))
      else { return nil }
      var text = bytes[(open + 1)..<close]
      let ignoresCase = text.starts(with: "i:".utf8)
      if ignoresCase { text = text.dropFirst(2) }
      let before = bytes[..<open]
      bytes = bytes[(close + 1)...]
      return (before, Array(text), ignoresCase)
    }

    /// The characters that stand for themselves up to the first that does not, or that may occur more than once.
    mutating func takeLiterals() -> [UInt8] {
      var taken: [UInt8] = []
      while let byte = bytes.first, !"[({%\\?".utf8.contains(byte) {
        let next = bytes.dropFirst().first
        if next == UInt8(ascii: "{") || next == UInt8(ascii: "?") { break }
        taken.append(byte)
        bytes.removeFirst()
      }
      return taken
    }

    mutating func takeRun() -> Run? {
      guard let set = takeSet() else { return nil }
      if take("?") { return Run(set: set, least: 0, most: 1) }
      guard take("{") else { return Run(set: set, least: 1, most: 1) }
      let least = takeNumber()
      let most = take(",") ? takeNumber() : least
      precondition(take("}") && least <= most && most > 0, "a count is {n} or {n,m}")
      return Run(set: set, least: least, most: most)
    }

    private mutating func takeSet() -> ByteSet? {
      guard let byte = bytes.popFirst() else { return nil }
      if byte == UInt8(ascii: "\\") { return takeNamedSet() }
      var set = ByteSet()
      guard byte == UInt8(ascii: "[") else {
        set.insert(byte)
        return set
      }
      while let member = bytes.popFirst(), member != UInt8(ascii: "]") {
        if bytes.first == UInt8(ascii: "-"), let end = bytes.dropFirst().first, end != UInt8(ascii: "]") {
          bytes.removeFirst(2)
          set.insert(member...end)
        } else {
          set.insert(member)
        }
      }
      return set
    }

    private mutating func takeNamedSet() -> ByteSet? {
      guard let name = bytes.popFirst() else { return nil }
      switch Unicode.Scalar(name) {
      case "d": return .digits
      case "h": return .lowerHex
      case "x": return .hex
      case "A": return .upperAlphanumeric
      case "w": return .alphanumeric
      case "b": return .base64
      case "u": return .base64URL
      default:
        var set = ByteSet()
        set.insert(name)
        return set
      }
    }

    private mutating func takeNumber() -> Int {
      var number = 0
      while let digit = bytes.first, (0x30...0x39).contains(digit) {
        number = number * 10 + Int(digit - 0x30)
        bytes.removeFirst()
      }
      return number
    }
  }
}
