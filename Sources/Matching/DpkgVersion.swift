/// The order of Debian and Ubuntu package versions: `[epoch:]upstream[-revision]`.
enum DpkgVersion {
  static func compare(_ a: String, _ b: String) -> VersionComparison {
    let left = a.utf8Span.span
    let right = b.utf8Span.span
    let leftParts = Parts(left)
    let rightParts = Parts(right)
    let epochs = left.compareNumber(leftParts.epoch, to: right, rightParts.epoch)
    if epochs != .same { return epochs }
    let upstream = comparePart(left, leftParts.upstream, right, rightParts.upstream)
    if upstream != .same { return upstream }
    return comparePart(left, leftParts.revision, right, rightParts.revision)
  }

  /// A version taken apart. What is before the first colon is an epoch only when it is a number; the revision follows
  /// the last hyphen. An absent part is empty, and equal to "0".
  private struct Parts {
    let epoch: Range<Int>
    let upstream: Range<Int>
    let revision: Range<Int>

    init(_ bytes: Span<UInt8>) {
      let digits = bytes.endOfDigits(from: 0, limit: bytes.count)
      let hasEpoch = digits > 0 && digits < bytes.count && bytes[digits] == UInt8(ascii: ":")
      let start = hasEpoch ? digits + 1 : 0
      epoch = 0..<(hasEpoch ? digits : 0)
      let end = bytes.last(UInt8(ascii: "-"), in: start..<bytes.count)
      upstream = start..<(end ?? bytes.count)
      revision = (end.map { $0 + 1 } ?? bytes.count)..<bytes.count
    }
  }

  /// Text and numbers by turns, from the left: text byte by byte, with `~` before the end and letters before the rest;
  /// numbers by value.
  private static func comparePart(
    _ a: Span<UInt8>, _ aRange: Range<Int>, _ b: Span<UInt8>, _ bRange: Range<Int>
  ) -> VersionComparison {
    var (i, j) = (aRange.lowerBound, bRange.lowerBound)
    let (aEnd, bEnd) = (aRange.upperBound, bRange.upperBound)
    while i < aEnd || j < bEnd {
      while (i < aEnd && !a[i].isDigit) || (j < bEnd && !b[j].isDigit) {
        let left = i < aEnd ? weight(a[i]) : 0
        let right = j < bEnd ? weight(b[j]) : 0
        if left != right { return left < right ? .older : .newer }
        i += 1
        j += 1
      }
      let aDigits = i..<a.endOfDigits(from: i, limit: aEnd)
      let bDigits = j..<b.endOfDigits(from: j, limit: bEnd)
      let numbers = a.compareNumber(aDigits, to: b, bDigits)
      if numbers != .same { return numbers }
      i = aDigits.upperBound
      j = bDigits.upperBound
    }
    return .same
  }

  private static func weight(_ byte: UInt8) -> Int {
    if byte.isDigit { return 0 }
    if byte.isLetter { return Int(byte) }
    return byte == UInt8(ascii: "~") ? -1 : Int(byte) + 256
  }
}
