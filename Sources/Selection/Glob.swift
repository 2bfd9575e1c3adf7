/// A wildcard pattern over bytes: `*` stands for any number of any bytes, everything else for itself.
///
/// Each literal piece between two stars is searched for once, leftmost first, with a prepared failure table
/// (Knuth, Morris, Pratt), so matching takes time linear in the text whatever the pattern; backing up to the last star
/// would be quadratic for patterns such as `*aaaab`.
struct Glob: Hashable, Sendable {
  private let prefix: [UInt8]
  /// The pieces that lie between two stars, none empty.
  private let pieces: [Piece]
  /// What follows the last star; nil when the pattern has no star, and `prefix` is all of it.
  private let suffix: [UInt8]?

  /// `pattern` must be shorter than 64 KiB; `Pattern` bounds it far below.
  init(_ pattern: Substring) {
    var parts = pattern.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map(Array.init)
    prefix = parts.removeFirst()
    suffix = parts.popLast()
    pieces = parts.filter { !$0.isEmpty }.map(Piece.init)
  }

  func matches(_ text: Span<UInt8>) -> Bool {
    guard let suffix else { return text.count == prefix.count && Self.occurs(prefix, in: text, at: 0) }
    let end = text.count - suffix.count
    guard end >= prefix.count, Self.occurs(prefix, in: text, at: 0), Self.occurs(suffix, in: text, at: end) else {
      return false
    }
    var position = prefix.count
    for piece in pieces {
      guard let next = piece.firstOccurrenceEnd(in: text, from: position, to: end) else { return false }
      position = next
    }
    return true
  }

  private static func occurs(_ bytes: [UInt8], in text: Span<UInt8>, at start: Int) -> Bool {
    for index in bytes.indices where text[start + index] != bytes[index] { return false }
    return true
  }

  private struct Piece: Hashable, Sendable {
    let bytes: [UInt8]
    /// For each place, how long the longest proper beginning of `bytes` is that also ends there.
    let failure: [UInt16]

    init(_ bytes: [UInt8]) {
      var failure: [UInt16] = [0]
      var matched = 0
      for index in bytes.indices.dropFirst() {
        while matched > 0 && bytes[index] != bytes[matched] { matched = Int(failure[matched - 1]) }
        if bytes[index] == bytes[matched] { matched += 1 }
        failure.append(UInt16(matched))
      }
      self.bytes = bytes
      self.failure = failure
    }

    func firstOccurrenceEnd(in text: Span<UInt8>, from start: Int, to end: Int) -> Int? {
      var matched = 0
      var position = start
      while position < end {
        let byte = text[position]
        while matched > 0 && byte != bytes[matched] { matched = Int(failure[matched - 1]) }
        if byte == bytes[matched] { matched += 1 }
        position += 1
        if matched == bytes.count { return position }
      }
      return nil
    }
  }
}
