import SecretRules

/// What people are shown of a secret's place: the name before it, and nothing of the secret but a prefix that all of its kind
/// have.
enum Excerpt {
  private static let contextBytes = 48
  private static let mask = "********"
  /// A word of this length with a digit in it may be a secret that no rule knows.
  private static let wordBytes = 20

  static func of(_ secret: FoundSecret, in bytes: UnsafeRawBufferPointer, masking masked: [Range<Int>]) -> String {
    let start = secret.match.value.lowerBound
    var text = ""
    var word: [UInt8] = []
    func endWord() {
      let isSuspect = word.count >= wordBytes && word.contains { (0x30...0x39).contains($0) }
      text += isSuspect ? mask : String(decoding: word, as: UTF8.self)
      word = []
    }
    var position = contextStart(before: start, in: bytes)
    while position < start {
      if let other = masked.first(where: { $0.contains(position) }) {
        word = []
        text += mask
        position = other.upperBound
        continue
      }
      let byte = bytes[position]
      if ByteSet.identifier.contains(byte) {
        word.append(byte)
      } else {
        endWord()
        text.unicodeScalars.append((0x20...0x7e).contains(byte) ? Unicode.Scalar(byte) : "?")
      }
      position += 1
    }
    endWord()
    return text + String(decoding: bytes[start..<min(start + secret.shown, bytes.count)], as: UTF8.self) + mask
  }

  /// The beginning of the line, or of a word not too far from the secret.
  private static func contextStart(before end: Int, in bytes: UnsafeRawBufferPointer) -> Int {
    var start = end
    while start > 0 && end - start < contextBytes && bytes[start - 1] != 0x0a && bytes[start - 1] != 0x0d { start -= 1 }
    // Not in the midst of a word: it may be another secret's rest.
    if start > 0, bytes[start - 1] != 0x0a, bytes[start - 1] != 0x0d {
      while start < end && bytes[start] > 0x20 { start += 1 }
    }
    return start
  }
}
