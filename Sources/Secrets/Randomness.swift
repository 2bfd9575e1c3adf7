import Glibc

/// How random a text looks.
enum Randomness {
  /// Shannon's entropy, in bits a byte. The most that a text can have is the logarithm of its length.
  static func entropy(_ text: UnsafeRawBufferPointer) -> Float {
    guard !text.isEmpty else { return 0 }
    return withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 256) { counts in
      counts.initialize(repeating: 0)
      for byte in text.prefix(4_096) { counts[Int(byte)] += 1 }
      let total = Float(min(text.count, 4_096))
      return counts.reduce(Float(0)) { sum, count in
        guard count > 0 else { return sum }
        let share = Float(count) / total
        return sum - share * log2f(share)
      }
    }
  }

  private enum Kind {
    case lower, upper, digit, other
  }

  private static func kind(_ byte: UInt8) -> Kind {
    switch byte {
    case 0x61...0x7a: .lower
    case 0x41...0x5a: .upper
    case 0x30...0x39: .digit
    default: .other
    }
  }

  /// How often a letter, a capital, a digit and anything else take turns, for each byte: words and names do so seldom,
  /// what is random about every second time.
  static func turns(_ text: UnsafeRawBufferPointer) -> Float {
    var turns = 0
    for index in text.indices.dropLast() where kind(text[index]) != kind(text[index + 1]) { turns += 1 }
    return Float(turns) / Float(max(1, text.count - 1))
  }

  /// The longest stretch of lower-case letters that reads like a word: one vowel in four at least.
  static func longestWord(_ text: UnsafeRawBufferPointer) -> Int {
    var longest = 0
    var length = 0
    var vowels = 0
    for byte in text {
      guard (0x61...0x7a).contains(byte) else {
        length = 0
        vowels = 0
        continue
      }
      length += 1
      if "aeiouy".utf8.contains(byte) { vowels += 1 }
      if vowels * 4 >= length { longest = max(longest, length) }
    }
    return longest
  }
}
