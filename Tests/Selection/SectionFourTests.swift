import Model
import Selection
import Testing

/// Section 4 of the design, sentence by sentence: each row names the one that it is an example of. What D12 says of images
/// that were pulled is the poller's, and tested with it.
struct SectionFourTests {
  // MARK: - How a pattern is read

  struct Reading: Sendable, CustomTestStringConvertible {
    let sentence: String
    let pattern: String
    let name: String?
    let tag: String?
    /// As clients show it.
    let shown: String

    var testDescription: String { "\(sentence): \(pattern)" }

    init(_ sentence: String, _ pattern: String, name: String? = nil, tag: String? = nil, _ shown: String) {
      self.sentence = sentence
      self.pattern = pattern
      self.name = name
      self.tag = tag
      self.shown = shown
    }
  }

  @Test(arguments: [
    Reading("grammar, 1: a name", "team/app", name: "team/app", "name team/app"),
    Reading("grammar, 1: both", "team/app:stable", name: "team/app", tag: "stable", "name team/app, tag stable"),
    Reading("grammar, 1: a tag", ":stable", tag: "stable", "tag stable"),
    Reading("D8, 1: no colon, a name", "alpine", name: "alpine", "name alpine"),
    Reading("D8, 1: no colon, a name with stars", "*-dev", name: "*-dev", "name *-dev"),
    Reading("D8, 1: the first example", "4", tag: "4", "tag 4"),
    Reading("D8, 1: the second example", "1.2.*", tag: "1.2.*", "tag 1.2.*"),
    Reading("D8, 1: digits and dots", "20260105.1", tag: "20260105.1", "tag 20260105.1"),
    Reading("D8, 1: a star first", "*.04", tag: "*.04", "tag *.04"),
    Reading("D8, 1: a star within", "1*2", tag: "1*2", "tag 1*2"),
    Reading("D8, 1: no digit", "*", name: "*", "name *"),
    Reading("D8, 1: no digit, a dot", "*.*", name: "*.*", "name *.*"),
    Reading("D8, 1: a letter besides", "v4", name: "v4", "name v4"),
    Reading("D8, 1: a dash besides", "1.2-3", name: "1.2-3", "name 1.2-3"),
    Reading("D8, 1: a slash besides", "1/2", name: "1/2", "name 1/2"),
    Reading("D8, 1: a colon, so digits are a name", "4:*", name: "4", tag: "*", "name 4, tag *"),
    Reading("D9, 2: the colon after the last slash", "a/b/c:1", name: "a/b/c", tag: "1", "name a/b/c, tag 1"),
  ])
  func reading(_ row: Reading) throws {
    let pattern = try Pattern(parsing: row.pattern)
    #expect(pattern.name == row.name)
    #expect(pattern.tag == row.tag)
    // D8, 2.
    #expect(pattern.reading == row.shown)
  }

  struct Malformed: Sendable, CustomTestStringConvertible {
    let sentence: String
    let pattern: String
    let code: PatternError.Code
    let position: Int?

    var testDescription: String { "\(sentence): \(pattern)" }

    init(_ sentence: String, _ pattern: String, _ code: PatternError.Code, at position: Int?) {
      self.sentence = sentence
      self.pattern = pattern
      self.code = code
      self.position = position
    }
  }

  @Test(arguments: [
    Malformed("malformed: the first example", "a:b:c", .misplacedColon, at: 4),
    Malformed("malformed: the second example", ":", .emptyTag, at: 1),
    Malformed("malformed: the third example", "alpine:", .emptyTag, at: 7),
    Malformed("malformed: no character of a name", "al pine", .invalidCharacter, at: 3),
    Malformed("malformed: no character of a name", "alpine?", .invalidCharacter, at: 7),
    Malformed("malformed: no character of a name on the wire", "library/Alpine", .invalidCharacter, at: 9),
    Malformed("malformed: no character of a tag", "alpine:3+1", .invalidCharacter, at: 9),
    Malformed("malformed: no character of a tag", ":é", .invalidCharacter, at: 2),
    Malformed("malformed: no first character of a tag", ":.5", .invalidCharacter, at: 2),
    Malformed("D9, 2: no tag before a slash", "registry:5000/alpine", .misplacedColon, at: 9),
    Malformed("malformed: nothing", "", .empty, at: nil),
  ])
  func malformed(_ row: Malformed) {
    let error = #expect(throws: PatternError.self) { try Pattern(parsing: row.pattern) }
    #expect(error?.code == row.code)
    #expect(error?.position == row.position)
  }

  // MARK: - What a pattern matches

  struct Matching: Sendable, CustomTestStringConvertible {
    let sentence: String
    let pattern: String
    let reference: String
    let isMatch: Bool

    var testDescription: String { "\(sentence): \(pattern) and \(reference)" }

    init(_ sentence: String, _ pattern: String, matches reference: String) {
      (self.sentence, self.pattern, self.reference, isMatch) = (sentence, pattern, reference, true)
    }

    init(_ sentence: String, _ pattern: String, not reference: String) {
      (self.sentence, self.pattern, self.reference, isMatch) = (sentence, pattern, reference, false)
    }
  }

  @Test(arguments: [
    Matching("grammar, 1: both parts", "team/app:1.*", matches: "team/app:1.2"),
    Matching("grammar, 1: both parts", "team/app:1.*", not: "team/app:2.1"),
    Matching("grammar, 1: both parts", "team/app:1.*", not: "team/other:1.2"),
    Matching("grammar, 1: a name, any tag", "team/app", matches: "team/app:anything"),
    Matching("grammar, 1: a tag, any name", ":stable", matches: "any/name:stable"),
    Matching("grammar, 1: a star for none", "team/app*", matches: "team/app:1"),
    Matching("grammar, 1: a star for one", "team/a*p", matches: "team/app:1"),
    Matching("grammar, 1: a star for many", "t*p", matches: "team/app:1"),
    Matching("grammar, 1: a star for slashes", "team/*", matches: "team/a/b/c:1"),
    Matching("grammar, 1: a star alone", "*", matches: "team/app:1"),
    Matching("grammar, 1: several stars", "*/a*-*:*-rc*", matches: "team/app-x:1.0-rc2"),
    Matching("grammar, 1: a dot is a dot", ":1.2", not: "app:1x2"),
    Matching("grammar, 1: case in names", "Hosted/app", not: "hosted/app:1"),
    Matching("grammar, 1: case in tags", ":Stable", not: "app:stable"),
    Matching("grammar, 1: the whole name", "team/app", not: "team/app-x:1"),
    Matching("grammar, 1: the whole name", "team/app", not: "my-team/app:1"),
    Matching("grammar, 1: the whole tag", ":1.2", not: "app:1.2.3"),
    Matching("grammar, 1: the whole tag", ":1.2", not: "app:v1.2"),
    Matching("D8, 1: digits match tags", "4", matches: "team/app:4"),
    Matching("D8, 1: digits match no names", "4", not: "4:latest"),
    Matching("D8, 1: digits and a star match tags", "1.2.*", matches: "team/app:1.2.7"),
    Matching("D8, 1: digits and a star, the whole tag", "1.2.*", not: "team/app:11.2.7"),
    Matching("D9, 1: the key of artifactory and nexus", "docker-local/team/app", matches: "docker-local/team/app:1"),
    Matching("D9, 1: the key of artifactory and nexus", "team/app", not: "docker-local/team/app:1"),
    Matching("D9, 1: a key with capitals, a star for its slash", "Docker-*", matches: "Docker-Local/app:1"),
    Matching("D9, 1: the project of harbor and gitlab", "project/*", matches: "project/group/app:1"),
    Matching("D9, 1: the namespace of docker-hub and quay", "library/*", matches: "library/alpine:3"),
    Matching("D9, 3: the first example", "alpine", matches: "alpine:3"),
    Matching("D9, 3: the second example", "alpine", matches: "library/alpine:3"),
    Matching("D9, 3: the third example", "alpine", matches: "mirror/alpine:3"),
    Matching("D9, 3: the last segment, with a tag", "alpine:3", matches: "mirror/alpine:3"),
    Matching("D9, 3: the last segment, with a star", "alp*", matches: "mirror/x/alpine:3"),
    Matching("D9, 3: no other segment", "mirror", not: "mirror/alpine:3"),
    Matching("D9, 3: the whole last segment", "alpine", not: "mirror/alpine-x:3"),
    Matching("D9, 3: or the whole path", "mirror*", matches: "mirror/alpine:3"),
    Matching("D9, 3: with a slash the whole path", "library/alpine", matches: "library/alpine:3"),
    Matching("D9, 3: with a slash the whole path", "library/alpine", not: "mirror/library/alpine:3"),
    Matching("D9, 3: with a slash the whole path", "library/alpine", not: "alpine:3"),
  ])
  func matching(_ row: Matching) throws {
    let parts = row.reference.split(separator: ":").map(String.init)
    try #require(parts.count == 2)
    #expect(try Pattern(parsing: row.pattern).matches(repository: parts[0], tag: parts[1]) == row.isMatch)
    // What the pattern says in the lists.
    let criteria = try Criteria([row.pattern]).screen(repository: parts[0], tag: parts[1])
    #expect(criteria.shown == (row.isMatch ? "+ criteria: \"\(row.pattern)\"" : "- no criteria matches"))
    let never = try Criteria(never: [row.pattern]).screen(repository: parts[0], tag: parts[1])
    #expect(never.shown == (row.isMatch ? "- never: \"\(row.pattern)\"" : "+ no criteria: every tag is taken"))
  }
}
