import Selection
import Testing

struct PatternTests {
  @Test(
    arguments: [
      ("alpine", "alpine", nil), ("library/alpine", "library/alpine", nil), ("alpine:3.18", "alpine", "3.18"),
      (":latest", nil, "latest"), ("*", "*", nil), ("*:*", "*", "*"), (":*", nil, "*"),
      ("team/*:v1.*", "team/*", "v1.*"),
      // Digits, dots and stars with at least one digit are a tag.
      ("4", nil, "4"), ("1.2.*", nil, "1.2.*"), ("*1*", nil, "*1*"), ("1.2.3", nil, "1.2.3"), ("*.5", nil, "*.5"),
      // All else without a colon is a name.
      ("1.2-rc", "1.2-rc", nil), ("*.*", "*.*", nil), ("*-rc*", "*-rc*", nil), ("v1.2", "v1.2", nil),
      ("1/2", "1/2", nil),
      ("4:5", "4", "5"), ("my_app__x-y.z", "my_app__x-y.z", nil), (":V1_-.", nil, "V1_-."),
      ("Docker-Local/app", "Docker-Local/app", nil), ("Docker-*", "Docker-*", nil), ("*-Local*", "*-Local*", nil),
      ("Hosted*:1", "Hosted*", "1"),
      (String(repeating: "*", count: 512), String(repeating: "*", count: 512), nil),
    ] as [(String, String?, String?)])
  func reads(text: String, name: String?, tag: String?) throws {
    let pattern = try Pattern(parsing: text)
    #expect(pattern.text == text && pattern.description == text)
    #expect(pattern.name == name)
    #expect(pattern.tag == tag)
  }

  @Test(
    arguments: [
      ("", .empty, "name:tag"), (":", .emptyTag, ":tag"), ("alpine:", .emptyTag, "leave out the colon"),
      ("library/alpine:", .emptyTag, "leave out the colon"), ("a:b:c", .misplacedColon, "name:tag"),
      ("::", .misplacedColon, "name:tag"), (":a:", .misplacedColon, "name:tag"),
      ("host:5000/alpine", .misplacedColon, "host and port"), ("host:5000/alpine:3", .misplacedColon, "host and port"),
      (":a/b", .misplacedColon, "tag last"), ("alpine@sha256:00", .digest, "name:tag"), ("a@b", .digest, "name:tag"),
      ("al pine", .invalidCharacter, "lower-case letters, digits"), (" alpine", .invalidCharacter, "lower-case"),
      ("alpine\n", .invalidCharacter, "lower-case"), ("al\0pine", .invalidCharacter, "lower-case"),
      ("\u{1b}[2J", .invalidCharacter, "lower-case"), ("alpin\u{e9}", .invalidCharacter, "lower-case"),
      ("alpine\u{200b}", .invalidCharacter, "lower-case"), ("Alpine", .invalidCharacter, "in lower-case letters"),
      ("*Alpine", .invalidCharacter, "in lower-case letters"), ("a/B*", .invalidCharacter, "in lower-case letters"),
      ("library/Alpine", .invalidCharacter, "in lower-case letters"), ("alp?ne", .invalidCharacter, "* for anything"),
      ("[ab]", .invalidCharacter, "* for anything"), ("!alpine", .invalidCharacter, "* for anything"),
      ("a+b", .invalidCharacter, "* for anything"), ("%2e", .invalidCharacter, "* for anything"),
      ("\\*", .invalidCharacter, "* for anything"),
      (":a b", .invalidCharacter, "* for anything"), ("alpine:1+2", .invalidCharacter, "* for anything"),
      (":-rc", .invalidCharacter, "write :*-rc "), (":.5", .invalidCharacter, "write :*.5 "),
      (".5", .invalidCharacter, "write *.5 "), ("a/b:-rc", .invalidCharacter, "write a/b:*-rc "),
      ("/alpine", .emptySegment, "team/*"), ("library/", .emptySegment, "team/*"), ("a//b", .emptySegment, "team/*"),
      ("/", .emptySegment, "team/*"), ("https://host/alpine", .misplacedColon, "host and port"),
      (String(repeating: "a", count: 513), .tooLong, "shorten"),
      (String(repeating: "a", count: 256), .tooLong, "shorten"),
      (":\(String(repeating: "a", count: 129))", .tooLong, "shorten"),
      (String(repeating: "é", count: 1 << 19), .tooLong, "shorten"),
    ] as [(String, PatternError.Code, String)])
  func refuses(text: String, code: PatternError.Code, hint: String) {
    let error = #expect(throws: PatternError.self) { try Pattern(parsing: text) }
    #expect(error?.code == code)
    #expect(error?.hint.contains(hint) == true)
    #expect((error?.description.utf8.count ?? .max) < 500)
  }

  @Test(
    arguments: [
      ("al pine", 3, "\" \" at position 3 cannot be in the name of a repository"),
      ("tëam/äpp", 2, "the character U+00EB at position 2 cannot be in the name"),
      ("*\u{1f433}", 2, "the character U+1F433 at position 2"), ("\u{1b}[2J", 1, "the character U+001B at position 1"),
      ("library/Alpine", 9, "\"A\" at position 9 cannot be in the name"),
      ("alpine:3+1", 9, "\"+\" at position 9 cannot be in a tag"),
      ("alpine:-rc", 8, "\"-\" at position 8 cannot begin"),
      ("a:b:c:d", 4, "\":\" at position 4 is a second colon"),
      ("alpine:", 7, "\":\" at position 7 has no tag after it"),
      ("é:1/alpine", 2, "\":\" at position 2 stands before the last slash"),
      ("alpine@sha256:00", 7, "\"@\" at position 7 begins a digest"),
      ("/alpine", 1, "\"/\" at position 1 has nothing before it"),
      ("a//b", 3, "\"/\" at position 3 has nothing before it"),
      ("library/:1", 8, "\"/\" at position 8 has nothing after it"), ("", nil, "it is empty"),
      ("a:\(String(repeating: "a", count: 129))", nil, "its tag asks for 129 characters where there are at most 128"),
      (String(repeating: "a", count: 256), nil, "its name asks for 256 characters where there are at most 255"),
      (String(repeating: "a", count: 600), nil, "it has 600 bytes, at most 512 are allowed"),
    ] as [(String, Int?, String)])
  func saysWhere(text: String, position: Int?, problem: String) {
    let error = #expect(throws: PatternError.self) { try Pattern(parsing: text) }
    #expect(error?.position == position)
    #expect(error?.problem.hasPrefix(problem) == true)
  }

  @Test(arguments: [
    ("alpine", "name alpine"), ("1.2.*", "tag 1.2.*"), (":x", "tag x"), ("a/b:3.*", "name a/b, tag 3.*"),
  ])
  func saysHowItWasRead(text: String, reading: String) throws {
    #expect(try Pattern(parsing: text).reading == reading)
  }

  @Test(arguments: [
    ("alpine", "alpine", "3", true), ("alpine", "library/alpine", "3", true), ("alpine", "mirror/x/alpine", "3", true),
    ("alpine", "alpine/tools", "3", false), ("alpine", "alpine2", "3", false), ("alpine", "myalpine", "3", false),
    ("library/alpine", "library/alpine", "3", true), ("library/alpine", "alpine", "3", false),
    ("library/alpine", "mirror/library/alpine", "3", false), ("*/alpine", "mirror/library/alpine", "3", true),
    ("*/alpine", "alpine", "3", false), ("library/*", "library/a/b", "3", true), ("alp*", "alpine/x/y", "3", true),
    ("alp*", "x/alpine", "3", true), ("alp*", "x/alpine/y", "3", false), ("*", "a/b", "x", true),
    ("alpine:3", "library/alpine", "3", true), ("alpine:3", "library/alpine", "3.1", false),
    ("alpine:3*", "library/alpine", "3.1", true), (":3", "any/thing", "3", true), ("3", "any/thing", "3", true),
    ("3", "3", "4", false), ("1.2.*", "x", "1.2.", true), ("1.2.*", "x", "1.2", false), ("1.2.*", "x", "1.20.0", false),
    (":V*", "x", "v1", false), (":v*", "x", "v1", true), (":*-rc*", "x", "1.0-rc1", true),
    ("*-rc*", "x", "1.0-rc1", false),
    ("Hosted/app", "Hosted/app", "1", true), ("Hosted/app", "hosted/app", "1", false),
    // Names as a careless registry may give them.
    ("alpine", "", "", false), ("alpine", "a/alpine/", "", false), ("*", "", "", true), (":*", "\u{1b}", "\0", true),
  ])
  func matches(text: String, repository: String, tag: String, expected: Bool) throws {
    let pattern = try Pattern(parsing: text)
    #expect(pattern.matches(repository: repository, tag: tag) == expected)
    #expect((pattern.matches(repository: repository) && pattern.matches(tag: tag)) == expected)
  }

  @Test func aListReportsAllThatIsBad() throws {
    #expect(try Pattern.list(parsing: []).isEmpty)
    #expect(try Pattern.list(parsing: ["b", "a", "4"]).map(\.text) == ["b", "a", "4"])
    let error = #expect(throws: PatternListError.self) { try Pattern.list(parsing: ["a", "a:", "b", "", "A"]) }
    #expect(error?.failures.map(\.index) == [1, 3, 4])
    #expect(error?.failures.map(\.error.code) == [.emptyTag, .empty, .invalidCharacter])
    #expect(error?.description.contains("and 2 more") == true)
  }

  @Test func aListIsBounded() throws {
    let allowed = [String](repeating: "a", count: Pattern.maximumListCount)
    #expect(try Pattern.list(parsing: allowed).count == 1_000)
    let error = #expect(throws: PatternListError.self) {
      try Pattern.list(parsing: [String](repeating: ":", count: 100_000))
    }
    #expect(error?.failures.isEmpty == true && error?.count == 100_000)
    #expect(error?.description.contains("at most 1000") == true)
  }
}
