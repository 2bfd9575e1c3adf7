/// The natural order of version-like texts: runs of digits compare as numbers of any length, everything else byte by
/// byte, so that `1.9` comes before `1.10`. Texts that differ only in leading zeros compare byte by byte as a whole, which
/// makes the order total.
package enum NaturalOrder {
  package static func precedes(_ a: String, _ b: String) -> Bool {
    let (left, right) = (a.utf8.span, b.utf8.span)
    var (i, j) = (0, 0)
    while i < left.count && j < right.count {
      if isDigit(left[i]) && isDigit(right[j]) {
        let (leftRun, rightRun) = (number(in: left, at: i), number(in: right, at: j))
        if leftRun.count != rightRun.count { return leftRun.count < rightRun.count }
        for (k, l) in zip(leftRun, rightRun) where left[k] != right[l] { return left[k] < right[l] }
        (i, j) = (leftRun.upperBound, rightRun.upperBound)
      } else {
        if left[i] != right[j] { return left[i] < right[j] }
        (i, j) = (i + 1, j + 1)
      }
    }
    if i < left.count || j < right.count { return i == left.count }
    for k in 0..<min(left.count, right.count) where left[k] != right[k] { return left[k] < right[k] }
    return left.count < right.count
  }

  /// Where the run of digits at `start` lies, without leading zeros; empty for zero.
  private static func number(in bytes: Span<UInt8>, at start: Int) -> Range<Int> {
    var first = start
    while first < bytes.count && bytes[first] == UInt8(ascii: "0") { first += 1 }
    var end = first
    while end < bytes.count && isDigit(bytes[end]) { end += 1 }
    return first..<end
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
