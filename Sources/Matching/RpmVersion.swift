/// The order of rpm versions: `[epoch:]version[-release]`. A missing epoch is 0; a missing release comes before any.
enum RpmVersion {
  static func compare(_ a: String, _ b: String) -> VersionComparison {
    let left = a.utf8Span.span
    let right = b.utf8Span.span
    let leftParts = Parts(left)
    let rightParts = Parts(right)
    let epochs = left.compareNumber(leftParts.epoch, to: right, rightParts.epoch)
    if epochs != .same { return epochs }
    let versions = compareSegments(left, leftParts.version, right, rightParts.version)
    if versions != .same { return versions }
    switch (leftParts.release, rightParts.release) {
    case (nil, nil): return .same
    case (nil, _): return .older
    case (_, nil): return .newer
    case (let mine?, let theirs?): return compareSegments(left, mine, right, theirs)
    }
  }

  /// The digits before the colon; nil when the version names no epoch.
  static func epoch(of version: String) -> String? {
    let end = Parts(version.utf8Span.span).epoch.upperBound
    return end == 0 ? nil : String(decoding: version.utf8.prefix(end), as: UTF8.self)
  }

  private struct Parts {
    let epoch: Range<Int>
    let version: Range<Int>
    let release: Range<Int>?

    init(_ bytes: Span<UInt8>) {
      let digits = bytes.endOfDigits(from: 0, limit: bytes.count)
      let hasEpoch = digits < bytes.count && bytes[digits] == UInt8(ascii: ":")
      let start = hasEpoch ? digits + 1 : 0
      epoch = 0..<(hasEpoch ? digits : 0)
      let hyphen = bytes.last(UInt8(ascii: "-"), in: start..<bytes.count)
      version = start..<(hyphen ?? bytes.count)
      release = hyphen.map { ($0 + 1)..<bytes.count }
    }
  }

  /// Runs of digits and runs of letters, from the left; everything else only separates them. `~` comes before the end
  /// of the version, `^` after its end but before anything longer; a number is newer than letters.
  private static func compareSegments(
    _ a: Span<UInt8>, _ aRange: Range<Int>, _ b: Span<UInt8>, _ bRange: Range<Int>
  ) -> VersionComparison {
    var (i, j) = (aRange.lowerBound, bRange.lowerBound)
    let (aEnd, bEnd) = (aRange.upperBound, bRange.upperBound)
    while true {
      while i < aEnd, isSeparator(a[i]) { i += 1 }
      while j < bEnd, isSeparator(b[j]) { j += 1 }
      let left = i < aEnd ? Segment(a[i]) : .end
      let right = j < bEnd ? Segment(b[j]) : .end
      if left != right { return left.rawValue < right.rawValue ? .older : .newer }
      switch left {
      case .end: return .same
      case .tilde, .caret:
        i += 1
        j += 1
      case .letters:
        let (aStart, bStart) = (i, j)
        while i < aEnd, a[i].isLetter { i += 1 }
        while j < bEnd, b[j].isLetter { j += 1 }
        let order = a.compareBytes(aStart..<i, to: b, bStart..<j)
        if order != .same { return order }
      case .number:
        let (aStart, bStart) = (i, j)
        i = a.endOfDigits(from: i, limit: aEnd)
        j = b.endOfDigits(from: j, limit: bEnd)
        let order = a.compareNumber(aStart..<i, to: b, bStart..<j)
        if order != .same { return order }
      }
    }
  }

  /// What a version goes on with, in order.
  private enum Segment: Int {
    case tilde, end, caret, letters, number

    init(_ byte: UInt8) {
      switch byte {
      case UInt8(ascii: "~"): self = .tilde
      case UInt8(ascii: "^"): self = .caret
      default: self = byte.isDigit ? .number : .letters
      }
    }
  }

  private static func isSeparator(_ byte: UInt8) -> Bool {
    !byte.isDigit && !byte.isLetter && byte != UInt8(ascii: "~") && byte != UInt8(ascii: "^")
  }
}
