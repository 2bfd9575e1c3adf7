/// Random numbers that are the same in every run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}

/// Versions made up of a packaging system's own pieces, in pairs that are often close to each other.
struct VersionGenerator {
  let pieces: [String]
  let starts: [String]
  private var random: SeededGenerator

  init(starts: [String], pieces: [String], seed: UInt64) {
    self.starts = starts
    self.pieces = pieces
    random = SeededGenerator(seed: seed)
  }

  static func dpkg(seed: UInt64) -> VersionGenerator {
    VersionGenerator(
      starts: ["0", "1", "10", "1.2", "1:0", "2:1.2", "0:3", "007", "2023.10"],
      pieces: [
        ".", "1", "0", "00", "9", "10", "+", "~", "~~", "a", "Z", "rc1", "~rc1", "+dfsg", "-1", "-0", "-1ubuntu2",
        "~bpo11+1",
        "+deb12u3", "+b1", "-", "20240101",
      ], seed: seed)
  }

  static func rpm(seed: UInt64) -> VersionGenerator {
    VersionGenerator(
      starts: ["0", "1", "10", "1.2", "1:0", "2:1.2", "0:3", "007", "a", "^1", "~1", "1.el9"],
      pieces: [
        ".", "1", "0", "00", "9", "10", "+", "~", "^", "~~", "^^", "a", "Z", "rc1", "~rc1", "^git1", "-1", "-1.el9",
        ".el9_2",
        ".alma.1", "_", "..", "-",
      ], seed: seed)
  }

  mutating func pairs(_ count: Int) -> [(String, String)] {
    (0..<count).map { _ in
      let start = one(of: starts)
      let a = start + tail()
      return Bool.random(using: &random) ? (a, start + tail()) : (a, one(of: starts) + tail())
    }
  }

  private mutating func tail() -> String {
    (0..<Int.random(in: 0...4, using: &random)).map { _ in one(of: pieces) }.joined()
  }

  private mutating func one(of texts: [String]) -> String {
    texts[Int.random(in: 0..<texts.count, using: &random)]
  }
}
