/// The natural order of version-like texts: runs of digits compare as numbers of any length, everything else byte by
/// byte, so that `1.9` comes before `1.10`. Texts that differ only in leading zeros compare byte by byte as a whole, which
/// makes the order total.
package enum NaturalOrder {
  package static func precedes(_ a: String, _ b: String) -> Bool {
    let (left, right) = (Array(a.utf8), Array(b.utf8))
    var (i, j) = (0, 0)
    while i < left.count && j < right.count {
      if isDigit(left[i]) && isDigit(right[j]) {
        let (leftRun, rightRun) = (number(in: left, at: i), number(in: right, at: j))
        if leftRun.count != rightRun.count { return leftRun.count < rightRun.count }
        if let difference = zip(leftRun, rightRun).first(where: { $0 != $1 }) { return difference.0 < difference.1 }
        (i, j) = (leftRun.endIndex, rightRun.endIndex)
      } else {
        if left[i] != right[j] { return left[i] < right[j] }
        (i, j) = (i + 1, j + 1)
      }
    }
    if i < left.count || j < right.count { return i == left.count }
    return left.lexicographicallyPrecedes(right)
  }

  /// The run of digits at `start` without leading zeros; empty for zero.
  private static func number(in bytes: [UInt8], at start: Int) -> ArraySlice<UInt8> {
    let first = bytes[start...].firstIndex { $0 != UInt8(ascii: "0") } ?? bytes.endIndex
    let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.endIndex
    return bytes[first..<end]
  }

  private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}
