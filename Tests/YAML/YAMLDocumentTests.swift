import Testing
import YAML

struct YAMLDocumentTests {
  private func refusal(_ text: String, _ change: (inout YAMLDocument.Limits) -> Void = { _ in }) throws -> YAMLError {
    var limits = YAMLDocument.Limits()
    change(&limits)
    return try #require(throws: YAMLError.self) { try YAMLDocument(text, limits: limits) }
  }

  @Test(arguments: ["", "\n\n", "# nothing yet\n", "---\n", "~", "null", "\u{FEFF}", "%YAML 1.2\n---\n"])
  func `A text that says nothing has no root`(text: String) throws {
    #expect(try YAMLDocument(text).root == nil)
  }

  @Test func `Scalars, sequences and mappings come with their place and their path`() throws {
    let root = try #require(
      try YAMLDocument(
        """
        # first
        name: über
        list:
          - one
          - {two: 'zwei'}
          - three: |
              3
        """
      ).root)
    let mapping = try root.mapping(keys: ["name", "list"])
    #expect(mapping.entries.map(\.key) == ["name", "list"])
    #expect(mapping.entries.map(\.line) == [2, 3])
    let name = try mapping.required("name")
    #expect(try name.string() == "über")
    #expect((name.line, name.column, name.path.description) == (2, 7, "name"))
    let items = try mapping.required("list").items()
    #expect(items.map(\.path.description) == ["list[0]", "list[1]", "list[2]"])
    let two = try items[1].mapping(keys: ["two"]).required("two")
    #expect((two.line, two.column, two.path.description) == (5, 11, "list[1].two"))
    #expect(try two.string() == "zwei")
    #expect(try items[2].mapping(keys: ["three"]).required("three").string() == "3")
  }

  @Test(arguments: [
    ("a: 1\nb: &x 2", 2, "an anchor"), ("a: 1\nb: &x [2]", 2, "an anchor"), ("a: 1\nb: &x {c: 2}", 2, "an anchor"),
    ("a: 1\nb: *x", 2, "an alias"), ("b: !!str 2", 1, "a tag"), ("b: ! 2", 1, "a tag"), ("b: !x [2]", 1, "a tag"),
    ("b: !x {c: 2}", 1, "a tag"), ("%TAG ! tag:x,2000:\n---\nb: 2", 1, "%TAG"),
    ("a: 1\n---\nb: 2", 2, "a second document"), ("a: 1\n...\n---\n", 3, "a second document"),
    ("[a]: 1", 1, "as a key"), ("a: 1\n? {b: c}\n: d", 2, "as a key"), ("a: \"\\0\"", 1, "NUL"),
  ])
  func `What a file of settings has no use for is refused with its line`(
    text: String, line: Int, message: String
  ) throws {
    let refusal = try refusal(text)
    #expect(refusal.code == .unsupported)
    #expect(refusal.line == line)
    #expect(refusal.message.contains(message))
  }

  @Test(arguments: [
    ("a: b: c", 1), ("a:\n  - b\n c: d\n", 3), ("a: [1, 2", 2), ("a: 'b", 1), ("a: 1\n\tb: 2", 2), ("a: \"\\q\"", 1),
    ("a: 1\nb: \u{0}", 2), ("a\u{1b}[2J: 1", 1), ("a: 1\n@b", 2),
  ])
  func `What is no YAML is refused with its line`(text: String, line: Int) throws {
    let refusal = try refusal(text)
    #expect(refusal.code == .syntax)
    #expect(refusal.line == line)
    #expect(refusal.description.hasPrefix("line \(line): "))
    #expect(refusal.description(in: "x.yaml").hasPrefix("x.yaml, line \(line): "))
    #expect(!refusal.hint.isEmpty)
  }

  @Test(
    arguments: [[0xff, 0xfe, 0x61, 0x00], [0x61, 0x3a, 0x20, 0xc0, 0x80], [0x61, 0xed, 0xa0, 0x80]] as [[UInt8]])
  func `Bytes that are not UTF-8 are refused`(bytes: [UInt8]) {
    let refusal = #expect(throws: YAMLError.self) { try YAMLDocument(bytes) }
    #expect(refusal?.code == .syntax)
    #expect(refusal?.line == 1)
  }

  @Test func `A key that is there twice is refused with both lines`() throws {
    let refusal = try refusal("a:\n  b: 1\n  c: 2\n  \"b\": 3\n")
    #expect(refusal.code == .duplicateKey)
    #expect(refusal.description == "line 4: a.b: is there twice, first on line 2")
  }

  @Test func `Length, depth and number are bounded`() throws {
    #expect(try refusal("a: 12345") { $0.bytes = 7 }.description == "longer than 7 bytes")
    #expect(throws: Never.self) { try YAMLDocument("a: 12345", limits: .init()) }
    let nested = String(repeating: "[", count: 32) + String(repeating: "]", count: 32)
    #expect(throws: Never.self) { try YAMLDocument(nested) }
    #expect(try refusal("[" + nested + "]").code == .limit)
    #expect(try refusal(String(repeating: "- ", count: 33) + "x").code == .limit)
    #expect(try refusal("a: [1, 2]") { $0.nodes = 4 }.code == .limit)
    #expect(try refusal("{a: 1, b: 2}") { $0.nodes = 4 }.code == .limit)
    #expect(throws: Never.self) {
      var limits = YAMLDocument.Limits()
      limits.nodes = 5
      _ = try YAMLDocument("{a: 1, b: 2}", limits: limits)
    }
  }

  @Test(arguments: ["[", "{", "- ", "? ", "{a: ", "\"", "'", "#", "a: &x\n", "[a, ", "a:\n ", "!", "|\n", "%A\n"])
  func `A megabyte of what opens and never closes is refused or read at once`(text: String) {
    let long = String(repeating: text, count: (1 << 20) / text.utf8.count)
    let outcome = Result { try YAMLDocument(long) }
    if case .failure(let error) = outcome { #expect(error is YAMLError) }
  }

  @Test func `Many keys are read in their order`() throws {
    let text = (0..<20_000).map { "key\($0): \($0)\n" }.joined()
    let root = try #require(try YAMLDocument(text).root)
    guard case .mapping(let entries) = root.content else { throw root.error("is no mapping", hint: "") }
    #expect(entries.count == 20_000)
    #expect(entries.last?.line == 20_000)
  }
}
