import Testing
import YAML

struct YAMLAccessTests {
  private enum Colour: String, CaseIterable { case red, green }

  /// What stands after `value:` on the third line.
  private func value(_ text: String) throws -> YAMLNode {
    let document = try YAMLDocument("# two\n# lines\nouter: {value: \(text)}\n")
    let outer = try #require(document.root).mapping(keys: ["outer"]).required("outer")
    return try #require(outer.mapping(keys: ["value"]).entries.first).value
  }

  @Test func `Any scalar is text as it is written`() throws {
    #expect(try value("wheel").string() == "wheel")
    #expect(try value("0600").string() == "0600")
    #expect(try value("true").string() == "true")
    #expect(try value("''").string() == "")
    #expect(try value("'null'").string() == "null")
    #expect(try value("[a, 1, 'b c']").strings() == ["a", "1", "b c"])
    #expect(try value("[]").strings() == [])
  }

  @Test(arguments: [("0", 0), ("-1", -1), ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min)])
  func `A whole number is decimal digits`(text: String, number: Int) throws {
    #expect(try value(text).integer() == number)
  }

  @Test(arguments: [
    "many", "'5'", "010", "0x10", "1_000", "1.0", "1e3", "+5", "9223372036854775808", "''", "~", "[1]", "{a: 1}", "-0",
  ])
  func `What does not read as a whole number is refused with path and line`(text: String) throws {
    let node = try value(text)
    let refusal = try #require(throws: YAMLError.self) { try node.integer() }
    #expect(refusal.code == .wrongType)
    #expect(refusal.description.hasPrefix("line 3: outer.value: expected a whole number, found "))
  }

  @Test func `Truth is true or false alone`() throws {
    #expect(try value("true").boolean())
    #expect(try !value("false").boolean())
    for text in ["yes", "on", "True", "'true'", "1", "~"] {
      let node = try value(text)
      #expect(throws: YAMLError.self) { try node.boolean() }
    }
  }

  @Test func `A choice names what there is to choose`() throws {
    #expect(try value("green").choice(of: Colour.self) == .green)
    let node = try value("blue")
    let refusal = #expect(throws: YAMLError.self) { try node.choice(of: Colour.self) }
    #expect(refusal?.description == "line 3: outer.value: expected one of red, green, found blue")
  }

  @Test func `What was found is told in short and without control characters`() throws {
    let long = try value(String(repeating: "x", count: 5000))
    let refusal = #expect(throws: YAMLError.self) { try long.integer() }
    #expect(refusal.map { $0.message.utf8.count < 150 } == true)
    let escape = try value(#""\e[2J""#)
    #expect(
      throws: YAMLError(
        .wrongType, line: 3, "outer.value: expected a list, found \"\u{FFFD}[2J\"",
        hint: "write [a, b], or a line \"- a\" for each")
    ) { try escape.items() }
    for (text, found) in [("~", "nothing"), ("{a: 1}", "keys and values")] {
      let node = try value(text)
      #expect(#expect(throws: YAMLError.self) { try node.items() }?.message.hasSuffix("found \(found)") == true)
    }
    let list = try value("[a, [b]]")
    let inner = #expect(throws: YAMLError.self) { try list.strings() }
    #expect(inner?.message == "outer.value[1]: expected text, found a list")
  }

  @Test func `An unknown key is refused by name with what exists`() throws {
    let root = try #require(try YAMLDocument("a: 1\nouter:\n  b: 2\n  c: 3\n").root)
    let outer = try root.mapping(keys: ["a", "outer"]).required("outer")
    let refusal = #expect(throws: YAMLError.self) { try outer.mapping(keys: ["b", "d"], noun: "setting") }
    #expect(refusal?.code == .unknownKey)
    #expect(refusal?.description == "line 4: unknown setting outer.c")
    #expect(refusal?.hint == "settings here: b, d")
    #expect(throws: YAMLError.self) { try root.mapping(keys: ["a"]).required("outer") }
  }

  @Test func `A key that is absent or says nothing is missing`() throws {
    let root = try #require(try YAMLDocument("a:\nb: ''\n").root)
    let mapping = try root.mapping(keys: ["a", "b", "c"])
    #expect(mapping["a"] == nil)
    #expect(mapping["c"] == nil)
    #expect(try mapping["b"]?.string() == "")
    for key in ["a", "c"] {
      let refusal = #expect(throws: YAMLError.self) { try mapping.required(key) }
      #expect(refusal?.code == .missingKey)
      #expect(refusal?.description == "line 1: \(key): is missing")
    }
    #expect(throws: YAMLError.self) { try root.items() }
    #expect(throws: YAMLError.self) { try root.string() }
  }
}
