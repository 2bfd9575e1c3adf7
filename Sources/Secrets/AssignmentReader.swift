import SecretRules

/// The reader of values that only their names call secret. Strict, as names that hold "token" are many and secrets are few:
/// the value must look random, and stand as a string where it stands in a program.
extension PatternMatcher {
  private static let valueBytes = 256
  private static let nameBytes = 48

  /// `isPassword`: people make these up; all else comes from a generator.
  mutating func assignment(at anchor: Range<Int>, isPassword: Bool, isConfiguration: Bool) -> SecretMatch? {
    guard let value = assignedValue(after: anchor.upperBound), isConfiguration || value.quote != nil else { return nil }
    let end = endOfRun(Self.valueCharacters, from: value.start, atMost: Self.valueBytes)
    guard isWhole(value, end: end) else { return nil }
    var valueEnd = end
    if value.quote == nil, let last = byte(at: end - 1), ",;".utf8.contains(last) { valueEnd -= 1 }
    let text = UnsafeRawBufferPointer(rebasing: bytes[value.start..<max(value.start, valueEnd)])
    guard looksRandom(text, isPassword: isPassword, isQuoted: value.quote != nil) else { return nil }
    let nameStart = startOfRun(.identifier, to: anchor.lowerBound, atMost: Self.nameBytes)
    guard !isOtherName(nameStart..<anchor.lowerBound, Self.otherStarts),
      !isOtherName(anchor.upperBound..<value.nameEnd, Self.otherEnds), !Allowances.isPlaceholder(text),
      !Self.hasTokenPrefix(text)
    else { return nil }
    return SecretMatch(whole: nameStart..<valueEnd, value: value.start..<valueEnd)
  }

  /// What is visible, without quotes and brackets that hold other things together.
  private static let valueCharacters: ByteSet = {
    var set = ByteSet.alphanumeric
    "-_.~!#$%&*+,/:;=?@^|".utf8.forEach { set.insert($0) }
    return set
  }()

  private func isWhole(_ value: AssignedValue, end: Int) -> Bool {
    guard let next = byte(at: end) else { return value.quote == nil }
    if let quote = value.quote { return next == quote || next == UInt8(ascii: "\\") }
    return next == 0x0a || next == 0x0d || next == 0x20 || next == 0x09 || next == UInt8(ascii: "<")
  }

  private func looksRandom(_ text: UnsafeRawBufferPointer, isPassword: Bool, isQuoted: Bool) -> Bool {
    guard TokenChecks.isMixed(text) else { return false }
    let turns = Randomness.turns(text)
    let entropy = Randomness.entropy(text)
    if isPassword {
      guard text.count >= 8, text.count <= 80 else { return false }
      // Paths, addresses and members of objects are no passwords.
      let isPlain = !text.contains(UInt8(ascii: "/")) && !TokenChecks.contains(Array(text), "::")
      return isPlain && !Self.isTerm(text) && entropy >= 2.8 && turns >= 0.2 && Randomness.longestWord(text) <= 9
    }
    guard text.count >= 16, text.allSatisfy(Self.tokenCharacters.contains) else { return false }
    let isHex = text.allSatisfy(ByteSet.hex.contains)
    return entropy >= (isHex ? 3 : 3.6) && turns >= 0.25 && Randomness.longestWord(text) <= 6 && !isUUID(text)
  }

  /// `scram-sha-256`, `user-password`: words and numbers, each in lower case and apart from the others.
  static func isTerm(_ text: UnsafeRawBufferPointer) -> Bool {
    text.split(whereSeparator: { "-_.".utf8.contains($0) }).allSatisfy { part in
      part.allSatisfy { (0x61...0x7a).contains($0) } || part.allSatisfy(ByteSet.digits.contains)
    }
  }

  private static let tokenCharacters: ByteSet = {
    var set = ByteSet.base64URL
    "+/=.~".utf8.forEach { set.insert($0) }
    return set
  }()

  /// What begins as a kind's tokens do would have been found as one, were it whole.
  private static func hasTokenPrefix(_ text: UnsafeRawBufferPointer) -> Bool {
    tokenPrefixes.contains { text.starts(with: $0) }
  }

  private static let tokenPrefixes: [[UInt8]] = SecretRules.all.compactMap { rule in
    let pattern = rule.pattern
    guard pattern.hasPrefix, let last = pattern.anchor.last, "_-".utf8.contains(last) else { return nil }
    return pattern.anchor
  }

  private func isUUID(_ text: UnsafeRawBufferPointer) -> Bool {
    text.count == 36 && [8, 13, 18, 23].allSatisfy { text[$0] == UInt8(ascii: "-") }
  }

  /// Before the word: it is not what keeps something from others.
  private static let otherStarts: [StaticString] = [
    "public", "csrf", "cancel", "next", "page", "cursor", "continuation", "syntax", "lex", "hash", "sha", "md5",
    "checksum",
    "integrity", "digest", "commit", "no_", "non",
  ]
  /// After it: it is about a secret but none.
  private static let otherEnds: [StaticString] = [
    "url", "uri", "path", "file", "dir", "name", "type", "label", "expir", "ttl", "length", "size", "count", "prefix",
    "suffix",
    "regex", "pattern", "param", "header", "field", "arn", "endpoint", "ize", "izing", "ization", "policy", "format",
    "message",
    "error", "version", "hint", "help", "text", "placeholder", "ref", "lookup", "env", "_id", "-id", ".id", "keyid",
    "hash", "sha",
    "md5", "digest", "created", "updated", "date", "time", "provider", "algorithm", "method", "class", "manager",
    "service", "host",
    "location", "index", "offset", "issuer", "scheme", "rotation", "public", "mount", "store",
  ]

  private func isOtherName(_ range: Range<Int>, _ parts: [StaticString]) -> Bool {
    guard !range.isEmpty else { return false }
    let name = bytes[range].map(\.asciiLowercased)
    return parts.contains { TokenChecks.contains(name, $0) }
  }
}
