import SecretRules

/// Where a secret was found.
struct SecretMatch {
  /// All that belongs to its form.
  var whole: Range<Int>
  /// The secret itself.
  var value: Range<Int>
}

/// Matches a pattern around its anchor.
struct PatternMatcher {
  let bytes: UnsafeRawBufferPointer
  /// Bytes looked at so far.
  var cost = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func match(_ pattern: SecretPattern, at anchor: Range<Int>) -> SecretMatch? {
    guard let start = matchBackwards(pattern.before, from: anchor.lowerBound) else { return nil }
    var position = anchor.upperBound
    var valueStart = start
    var valueEnd: Int?
    var last = ByteSet.alphanumeric
    var isNamed = pattern.ignoresCase
    for step in pattern.after {
      switch step {
      case .run(let run):
        let end = endOfRun(run.set, from: position, atMost: run.most)
        guard end - position >= run.least else { return nil }
        if end > position { last = run.set }
        position = end
      case .assignment:
        guard let value = assignedValue(after: position) else { return nil }
        position = value.start
        isNamed = true
      case .valueBegins: valueStart = position
      case .valueEnds: valueEnd = position
      }
    }
    if let next = byte(at: position), continues(byte(at: position - 1), with: next, last) { return nil }
    guard isNamed || isAtBeginning(start) else { return nil }
    return SecretMatch(whole: start..<position, value: valueStart..<(valueEnd ?? position))
  }

  func byte(at index: Int) -> UInt8? { bytes.indices.contains(index) ? bytes[index] : nil }

  /// The end of the bytes of a set from `start` on.
  mutating func endOfRun(_ set: ByteSet, from start: Int, atMost most: Int) -> Int {
    var position = start
    let end = min(bytes.count, start + most)
    while position < end && set.contains(bytes[position]) { position += 1 }
    cost += position - start + 1
    return position
  }

  /// The start of the bytes of a set that end before `end`.
  mutating func startOfRun(_ set: ByteSet, to end: Int, atMost most: Int) -> Int {
    var position = end
    let start = max(0, end - most)
    while position > start && set.contains(bytes[position - 1]) { position -= 1 }
    cost += end - position + 1
    return position
  }

  func starts(with text: StaticString, at position: Int) -> Bool {
    text.withUTF8Buffer { text in
      position >= 0 && bytes.count - position >= text.count
        && UnsafeRawBufferPointer(rebasing: bytes[position..<(position + text.count)]).elementsEqual(text)
    }
  }

  private mutating func matchBackwards(_ runs: [SecretPattern.Run], from end: Int) -> Int? {
    var position = end
    for run in runs {
      let start = startOfRun(run.set, to: position, atMost: run.most)
      guard position - start >= run.least else { return nil }
      position = start
    }
    return position
  }

  /// Whether a longer text of which the match is but the beginning goes on after it.
  private func continues(_ last: UInt8?, with next: UInt8, _ set: ByteSet) -> Bool {
    guard let last, ByteSet.alphanumeric.contains(last) else { return false }
    return ByteSet.alphanumeric.contains(next) || set.contains(next) || next == UInt8(ascii: "_")
  }

  /// Whether no longer text of which the match is but the end begins before it: `\n` and `%3D` are no part of one.
  private func isAtBeginning(_ start: Int) -> Bool {
    guard let first = byte(at: start), ByteSet.alphanumeric.contains(first), let before = byte(at: start - 1),
      ByteSet.alphanumeric.contains(before)
    else { return true }
    if byte(at: start - 2) == UInt8(ascii: "\\") { return "nrt".utf8.contains(before) }
    return byte(at: start - 3) == UInt8(ascii: "%") && ByteSet.hex.contains(before)
      && byte(at: start - 2).map(ByteSet.hex.contains) == true
  }
}
