import Testing

@testable import Selection

struct GlobTests {
  /// By definition: a star is nothing, or one byte and a star again. One row of answers per byte of the text.
  static func naive(_ pattern: String, _ text: String) -> Bool {
    var row = [true]
    for byte in pattern.utf8 { row.append((row.last ?? false) && byte == UInt8(ascii: "*")) }
    for byte in text.utf8 {
      var next = [false]
      for (index, wanted) in pattern.utf8.enumerated() {
        next.append(wanted == UInt8(ascii: "*") ? next[index] || row[index + 1] : wanted == byte && row[index])
      }
      row = next
    }
    return row.last ?? false
  }

  static func matches(_ pattern: String, _ text: String) -> Bool { Glob(pattern[...]).matches(text.utf8.span) }

  @Test(arguments: [
    ("", "", true), ("", "a", false), ("a", "", false), ("a", "a", true), ("a", "A", false), ("*", "", true),
    ("*", "a/b", true), ("**", "", true), ("a*", "a", true), ("*a", "a", true), ("a*a", "a", false),
    ("a*a", "aa", true), ("ab*ba", "aba", false), ("ab*ba", "abba", true), ("*ab*", "aab", true),
    ("*aab*aab*", "aaabaab", true), ("*aab*aab*", "aaab", false), ("*abab*", "abaabab", true),
    ("*aabaaac*", "aabaaabaaac", true),
    ("?", "a", false), ("[a]", "a", false), ("é", "e\u{301}", false),
    ("*b", String(repeating: "a", count: 1 << 20), false),
  ])
  func table(pattern: String, text: String, expected: Bool) {
    #expect(Self.matches(pattern, text) == expected)
    if text.utf8.count < 100 { #expect(Self.naive(pattern, text) == expected) }
  }

  /// Few letters and many stars make overlaps, which is where such matchers go wrong.
  @Test(arguments: [UInt64(1), 2, 3, 4])
  func agreesWithTheDefinition(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let alphabet = seed.isMultiple(of: 2) ? ["a", "b", "*"] : ["a", "a", "b", "/", ".", "*", "é"]
    var matched = 0
    for _ in 0..<4_000 {
      let pattern = random.text(of: alphabet, count: 0...12)
      // Half of the texts are made from the pattern, so that many match.
      let text =
        Bool.random(using: &random)
        ? random.text(of: alphabet.filter { $0 != "*" }, count: 0...20)
        : pattern.split(separator: "*", omittingEmptySubsequences: false)
          .joined(separator: random.text(of: ["a", "b"], count: 0...3))
      let expected = Self.naive(pattern, text)
      if expected { matched += 1 }
      guard Self.matches(pattern, text) == expected else {
        Issue.record("pattern \(pattern), text \(text): expected \(expected)")
        return
      }
    }
    #expect((1_000...3_500).contains(matched))
  }

  @Test func hostilePatternsEnd() {
    let long = String(repeating: "a", count: 1 << 20)
    #expect(!Self.matches("*a*a*a*a*a*b", long))
    #expect(!Self.matches("*" + String(repeating: "a", count: 500) + "b*", long))
    #expect(Self.matches("*" + String(repeating: "a", count: 500) + "*", long))
    let name = String(repeating: "a", count: 60)
    let glob = Glob("*a*a*a*a*a*b")
    #expect((0..<100_000).allSatisfy { _ in !glob.matches(name.utf8.span) })
  }
}
