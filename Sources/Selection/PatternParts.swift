import Model

/// The parts of a pattern, checked: what no name and no tag can hold is refused, with its place in the text.
struct PatternParts {
  let name: Substring?
  let tag: Substring?

  init(of text: String) throws(PatternError) {
    guard text.utf8.count <= Pattern.maximumLength else {
      throw PatternError(
        .tooLong, text, "it has \(text.utf8.count) bytes, at most \(Pattern.maximumLength) are allowed",
        hint: "shorten it with *")
    }
    guard !text.isEmpty else {
      throw PatternError(.empty, text, "it is empty", hint: "write a name, name:tag or :tag, or * for everything")
    }
    (name, tag) = try Self.split(text)
    if let name { try Self.checkName(name, of: text) }
    if let tag { try Self.checkTag(tag, of: text) }
  }

  private static func split(_ text: String) throws(PatternError) -> (name: Substring?, tag: Substring?) {
    let bytes = text.utf8
    if let at = bytes.firstIndex(of: UInt8(ascii: "@")) {
      throw PatternError(
        .digest, text, at: at, "begins a digest, which patterns do not choose by",
        hint: "write a name, name:tag or :tag")
    }
    let lastSegment = bytes.lastIndex(of: UInt8(ascii: "/")).map(bytes.index(after:)) ?? bytes.startIndex
    if let colon = bytes[..<lastSegment].firstIndex(of: UInt8(ascii: ":")) {
      throw PatternError(
        .misplacedColon, text, at: colon, "stands before the last slash, where no tag begins",
        hint: "leave out the registry's host and port, and write the tag last, as in team/app:1.*")
    }
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else {
      return isBareTag(text) ? (nil, text[...]) : (text[...], nil)
    }
    let tag = text[bytes.index(after: colon)...]
    guard !tag.isEmpty else {
      throw PatternError(
        .emptyTag, text, at: colon, "has no tag after it",
        hint: colon == bytes.startIndex
          ? "write :tag for a tag in any repository" : "leave out the colon to choose every tag")
    }
    if let second = tag.utf8.firstIndex(of: UInt8(ascii: ":")) {
      throw PatternError(.misplacedColon, text, at: second, "is a second colon", hint: "write name:tag")
    }
    return (colon == bytes.startIndex ? nil : text[..<colon], tag)
  }

  /// Whether a pattern without a colon is a tag: digits, dots and stars with at least one digit.
  private static func isBareTag(_ text: String) -> Bool {
    text.utf8.contains(where: isDigit) && text.utf8.allSatisfy { isDigit($0) || ".*".utf8.contains($0) }
  }

  private static func checkName(_ name: Substring, of text: String) throws(PatternError) {
    let bytes = name.utf8
    var mayBeInKey = true
    var follows = UInt8(ascii: "/")
    for index in bytes.indices {
      let byte = bytes[index]
      if byte == UInt8(ascii: "/") {
        mayBeInKey = false
        if follows == byte { throw emptySegment(of: text, at: index, "has nothing before it") }
      } else if isUpper(byte) {
        // Keys of Artifactory and Nexus come first and may have capitals; paths on the wire are lower-case. A star may
        // stand for the slash that ends the key.
        guard mayBeInKey, bytes[index...].contains(where: { "/*".utf8.contains($0) }) else {
          throw PatternError(
            .invalidCharacter, text, at: index, "cannot be in the name of a repository",
            hint: "write it in lower-case letters")
        }
      } else if !(isLowerOrDigit(byte) || "._-*".utf8.contains(byte)) {
        throw PatternError(
          .invalidCharacter, text, at: index, "cannot be in the name of a repository",
          hint: "use lower-case letters, digits, \".\", \"_\", \"-\", \"/\" and * for anything")
      }
      follows = byte
    }
    if let last = bytes.indices.last, follows == UInt8(ascii: "/") {
      throw emptySegment(of: text, at: last, "has nothing after it")
    }
    try checkLength(name, "name", maximum: Repository.maximumLength, of: text)
  }

  private static func emptySegment(of text: String, at index: String.Index, _ problem: String) -> PatternError {
    PatternError(.emptySegment, text, at: index, problem, hint: "write team/* for everything under team")
  }

  private static func checkTag(_ tag: Substring, of text: String) throws(PatternError) {
    let bytes = tag.utf8
    for index in bytes.indices {
      let byte = bytes[index]
      guard isLowerOrDigit(byte) || isUpper(byte) || "._-*".utf8.contains(byte) else {
        throw PatternError(
          .invalidCharacter, text, at: index, "cannot be in a tag",
          hint: "use letters, digits, \"_\", \".\", \"-\" and * for anything")
      }
    }
    if let first = bytes.first, ".-".utf8.contains(first) {
      throw PatternError(
        .invalidCharacter, text, at: bytes.startIndex, "cannot begin a tag",
        hint: "write \((text[..<bytes.startIndex] + "*" + tag).excerpt()) for a tag that ends so")
    }
    try checkLength(tag, "tag", maximum: Tag.maximumLength, of: text)
  }

  private static func checkLength(
    _ part: Substring, _ what: String, maximum: Int, of text: String
  ) throws(PatternError) {
    let literals = part.utf8.count { $0 != UInt8(ascii: "*") }
    guard literals <= maximum else {
      throw PatternError(
        .tooLong, text, "its \(what) asks for \(literals) characters where there are at most \(maximum)",
        hint: "shorten it with *")
    }
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

  private static func isUpper(_ byte: UInt8) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) }

  private static func isLowerOrDigit(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
  }
}
