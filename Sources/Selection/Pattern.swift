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

  /// Nil where every name will do.
  private let nameGlob: Glob?
  /// Nil where every tag will do.
  let tagGlob: Glob?

  package init(parsing text: String) throws(PatternError) {
    let parts = try PatternParts(of: text)
    self.text = text
    name = parts.name.map(String.init)
    tag = parts.tag.map(String.init)
    nameGlob = parts.name.flatMap(Self.glob)
    tagGlob = parts.tag.flatMap(Self.glob)
  }

  private static func glob(_ part: Substring) -> Glob? {
    let glob = Glob(part)
    return glob.matchesEverything ? nil : glob
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
    let path = repository.utf8.span
    return matches(path: path, lastSegmentStart: Self.lastSegmentStart(of: path))
  }

  /// The same for a path whose last segment was looked for already.
  func matches(path: Span<UInt8>, lastSegmentStart: Int) -> Bool {
    guard let nameGlob else { return true }
    // A name with a slash matches no last segment, which has none.
    return nameGlob.matches(path) || (lastSegmentStart > 0 && nameGlob.matches(path.extracting(lastSegmentStart...)))
  }

  /// Where the bytes after the last slash begin; 0 without one.
  static func lastSegmentStart(of path: Span<UInt8>) -> Int {
    var start = path.count
    while start > 0 && path[start - 1] != UInt8(ascii: "/") { start -= 1 }
    return start
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
