import Model

/// A pattern that chooses images by the name of their repository, by tag, or by both: `name`, `name:tag` or `:tag`.
///
/// `*` stands for any number of any characters, slashes included; nothing else is special. Matching is case-sensitive
/// and covers the whole name or tag. Without a colon the pattern is a name, unless it consists of digits, dots and `*`
/// with at least one digit (`4`, `1.2.*`): then it is a tag. A name without a slash also matches the last segment of a
/// repository's path alone, so `alpine` chooses `library/alpine`.
package struct Pattern: Hashable, Sendable, CustomStringConvertible {
  /// In bytes. The longest path and the longest tag have 384 characters together.
  package static let maximumLength = 512
  package static let maximumListCount = 1_000

  /// The pattern as it was written.
  package let text: String
  /// The part that the repository's path must match; nil when any will do.
  package let name: String?
  /// The part that the tag must match; nil when any will do.
  package let tag: String?

  private let nameGlob: Glob?
  private let tagGlob: Glob?

  package init(parsing text: String) throws(PatternError) {
    guard text.utf8.count <= Self.maximumLength else {
      throw PatternError(
        .tooLong, text, "it has \(text.utf8.count) bytes, at most \(Self.maximumLength) are allowed",
        hint: "shorten it with *")
    }
    let (name, tag) = try Self.split(text)
    if let name { try Self.checkName(name, of: text) }
    if let tag { try Self.checkTag(tag, of: text) }
    self.text = text
    self.name = name.map(String.init)
    self.tag = tag.map(String.init)
    nameGlob = name.map { Glob($0) }
    tagGlob = tag.map { Glob($0) }
  }

  /// Reads a list and reports all that is wrong with it at once.
  package static func list(parsing texts: [String]) throws(PatternListError) -> [Pattern] {
    guard texts.count <= maximumListCount else { throw PatternListError(failures: [], count: texts.count) }
    var patterns: [Pattern] = []
    var failures: [PatternListError.Failure] = []
    for (index, text) in texts.enumerated() {
      do throws(PatternError) {
        patterns.append(try Pattern(parsing: text))
      } catch {
        failures.append(PatternListError.Failure(index: index, error: error))
      }
    }
    guard failures.isEmpty else { throw PatternListError(failures: failures, count: texts.count) }
    return patterns
  }

  /// Whether both parts match. `repository` is the path as users of that registry write it.
  package func matches(repository: String, tag: String) -> Bool {
    matches(repository: repository) && matches(tag: tag)
  }

  /// Whether the name part matches, or there is none.
  package func matches(repository: String) -> Bool {
    guard let nameGlob, let name else { return true }
    let path = repository.utf8
    if nameGlob.matches(path.span) { return true }
    guard !name.utf8.contains(UInt8(ascii: "/")), let slash = path.lastIndex(of: UInt8(ascii: "/")) else {
      return false
    }
    return nameGlob.matches(path[path.index(after: slash)...].span)
  }

  /// Whether the tag part matches, or there is none.
  package func matches(tag: String) -> Bool {
    tagGlob?.matches(tag.utf8.span) ?? true
  }

  package var description: String { text }

  /// How the pattern was read, for people: `name alpine`, `tag 3.*`, `name alpine, tag 3.*`.
  package var reading: String {
    [name.map { "name \($0)" }, tag.map { "tag \($0)" }].compactMap(\.self).joined(separator: ", ")
  }
}

extension Pattern {
  private static func split(_ text: String) throws(PatternError) -> (name: Substring?, tag: Substring?) {
    guard !text.isEmpty else {
      throw PatternError(.empty, text, "it is empty", hint: "write a name, name:tag or :tag, or * for everything")
    }
    if text.utf8.contains(UInt8(ascii: "@")) {
      throw PatternError(
        .digest, text, "\"@\" begins a digest, which patterns do not choose by", hint: "write a name, name:tag or :tag")
    }
    let bytes = text.utf8
    let lastSegment = bytes.lastIndex(of: UInt8(ascii: "/")).map(bytes.index(after:)) ?? bytes.startIndex
    guard !bytes[..<lastSegment].contains(UInt8(ascii: ":")) else {
      throw PatternError(
        .misplacedColon, text, "a colon before the last slash separates no tag",
        hint: "leave out the registry's host and port, and write the tag last, as in team/app:1.*")
    }
    guard let colon = bytes[lastSegment...].firstIndex(of: UInt8(ascii: ":")) else {
      return isBareTag(text) ? (nil, Substring(text)) : (Substring(text), nil)
    }
    let tag = text[bytes.index(after: colon)...]
    guard !tag.isEmpty else {
      throw PatternError(
        .emptyTag, text, "no tag follows the colon",
        hint: colon == bytes.startIndex
          ? "write :tag for a tag in any repository" : "leave out the colon to choose every tag")
    }
    guard !tag.utf8.contains(UInt8(ascii: ":")) else {
      throw PatternError(.misplacedColon, text, "it has more than one colon", hint: "write name:tag")
    }
    return (colon == bytes.startIndex ? nil : text[..<colon], tag)
  }

  /// Whether a pattern without a colon is a tag: digits, dots and stars with at least one digit.
  private static func isBareTag(_ text: String) -> Bool {
    text.utf8.contains(where: isDigit)
      && text.utf8.allSatisfy { isDigit($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "*") }
  }

  private static func checkName(_ name: Substring, of text: String) throws(PatternError) {
    let segments = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    if segments.contains(where: \.isEmpty) {
      throw PatternError(
        .emptySegment, text, "a repository has no slash at its beginning or end and no two together",
        hint: "write team/* for everything under team")
    }
    for (index, segment) in segments.enumerated() {
      // Keys of Artifactory and Nexus come first and may have capitals; paths on the wire are lower-case.
      let mayBeKey = index == 0 && segments.count > 1
      for byte in segment where !(isLowerOrDigit(byte) || "._-*".utf8.contains(byte) || (mayBeKey && isUpper(byte))) {
        throw invalidCharacter(
          in: text, "the name of a repository",
          hint: isUpper(byte)
            ? "write it in lower-case letters"
            : "use lower-case letters, digits, \".\", \"_\", \"-\", \"/\" and * for anything")
      }
    }
    try checkLength(name, maximum: Repository.maximumLength, of: text)
  }

  private static func checkTag(_ tag: Substring, of text: String) throws(PatternError) {
    for byte in tag.utf8 where !(isLowerOrDigit(byte) || isUpper(byte) || "._-*".utf8.contains(byte)) {
      throw invalidCharacter(
        in: text, "a tag", hint: "use letters, digits, \"_\", \".\", \"-\" and * for anything")
    }
    if tag.hasPrefix(".") || tag.hasPrefix("-") {
      throw PatternError(
        .invalidCharacter, text, "no tag begins with \".\" or \"-\"",
        hint: "write *\(tag.excerpt()) for a tag that ends so")
    }
    try checkLength(tag, maximum: Tag.maximumLength, of: text)
  }

  private static func checkLength(_ part: Substring, maximum: Int, of text: String) throws(PatternError) {
    let literals = part.utf8.count { $0 != UInt8(ascii: "*") }
    guard literals <= maximum else {
      throw PatternError(
        .tooLong, text, "it asks for \(literals) characters where there are at most \(maximum)",
        hint: "shorten it with *")
    }
  }

  private static func invalidCharacter(in text: String, _ what: String, hint: String) -> PatternError {
    PatternError(.invalidCharacter, text, "it has a character that \(what) cannot hold", hint: hint)
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

  private static func isUpper(_ byte: UInt8) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) }

  private static func isLowerOrDigit(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
  }
}
