/// Ids of jobs. Ids are given in a row, so sixty-four neighbours share a word: a million of them take some hundred kilobytes.
struct JobIDSet: Sendable {
  /// By id / 64; no word is 0.
  private var words: [UInt64: UInt64] = [:]

  var isEmpty: Bool { words.isEmpty }

  private static func place(of id: UInt64) -> (word: UInt64, bit: UInt64) { (id >> 6, 1 << (id & 63)) }

  func contains(_ id: UInt64) -> Bool {
    let (word, bit) = Self.place(of: id)
    return words[word, default: 0] & bit != 0
  }

  mutating func insert(_ id: UInt64) {
    let (word, bit) = Self.place(of: id)
    words[word, default: 0] |= bit
  }

  mutating func remove(_ id: UInt64) {
    let (word, bit) = Self.place(of: id)
    guard let known = words[word] else { return }
    let left = known & ~bit
    words[word] = left == 0 ? nil : left
  }
}
