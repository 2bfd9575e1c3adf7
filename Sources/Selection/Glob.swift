/// A wildcard pattern over bytes: `*` stands for any number of any bytes, everything else for itself.
///
/// Matching takes time linear in the text whatever the pattern. What stands before the first star and after the last is
/// compared in its place; each piece between two stars is searched for once, leftmost first, with a prepared failure
/// table (Knuth, Morris, Pratt). Backing up to the last star would be quadratic for patterns such as `*aaaab`.
struct Glob: Hashable, Sendable {
  private let hasStar: Bool
  private let prefixCount: Int
  private let suffixCount: Int
  /// The bytes of all literal parts: a text that matches has no fewer.
  private let literalCount: Int
  /// The first byte of a text that matches, where the pattern does not begin with a star.
  private let firstByte: UInt8?
  /// What stands before the first star, after the last, and the pieces in between, one after the other.
  private let literals: [UInt8]
  /// Where in `literals` the pieces end; none of them is empty.
  private let pieceEnds: [Int]
  /// For each byte of a piece, how long the longest proper beginning of the piece is that also ends there. Empty without
  /// pieces.
  private let failures: [UInt16]

  /// `pattern` must be shorter than 64 KiB; `Pattern` bounds it far below.
  init(_ pattern: Substring) {
    var parts = pattern.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false)
    let prefix = parts.removeFirst()
    let suffix = parts.popLast()
    var literals = Array(prefix) + (suffix.map(Array.init) ?? [])
    var failures = [UInt16](repeating: 0, count: literals.count)
    var pieceEnds: [Int] = []
    for piece in parts where !piece.isEmpty {
      literals += piece
      failures += Self.failures(of: Array(piece))
      pieceEnds.append(literals.count)
    }
    hasStar = suffix != nil
    prefixCount = prefix.count
    suffixCount = suffix?.count ?? 0
    literalCount = literals.count
    firstByte = prefix.first
    self.literals = literals
    self.pieceEnds = pieceEnds
    self.failures = pieceEnds.isEmpty ? [] : failures
  }

  /// Whether there is no text that does not match.
  var matchesEverything: Bool { hasStar && literalCount == 0 }

  func matches(_ text: Span<UInt8>) -> Bool {
    guard hasStar ? text.count >= literalCount : text.count == literalCount else { return false }
    if let firstByte, text[0] != firstByte { return false }
    let literals = literals.span
    for index in 0..<prefixCount where text[index] != literals[index] { return false }
    let suffixStart = text.count - suffixCount
    for index in 0..<suffixCount where text[suffixStart + index] != literals[prefixCount + index] { return false }
    return pieceEnds.isEmpty || holdsPieces(text, from: prefixCount, to: suffixStart)
  }

  private func holdsPieces(_ text: Span<UInt8>, from start: Int, to end: Int) -> Bool {
    let (literals, failures) = (literals.span, failures.span)
    var position = start
    var pieceStart = prefixCount + suffixCount
    for pieceEnd in pieceEnds {
      let first = literals[pieceStart]
      var next = pieceStart
      while next < pieceEnd {
        let last = end - (pieceEnd - next)
        if next == pieceStart {
          while position <= last && text[position] != first { position += 1 }
        }
        guard position <= last else { return false }
        let byte = text[position]
        while byte != literals[next] && next > pieceStart { next = pieceStart + Int(failures[next - 1]) }
        if byte == literals[next] { next += 1 }
        position += 1
      }
      pieceStart = pieceEnd
    }
    return true
  }

  private static func failures(of piece: [UInt8]) -> [UInt16] {
    var failures: [UInt16] = [0]
    var matched = 0
    for index in piece.indices.dropFirst() {
      while matched > 0 && piece[index] != piece[matched] { matched = Int(failures[matched - 1]) }
      if piece[index] == piece[matched] { matched += 1 }
      failures.append(UInt16(matched))
    }
    return failures
  }
}
