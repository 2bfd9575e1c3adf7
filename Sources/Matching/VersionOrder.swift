/// How one version stands to another.
package enum VersionComparison: Int, Sendable {
  case older = -1
  case same = 0
  case newer = 1
}

/// The order of a packaging system's versions. Every order is total over all strings: what the system itself would
/// refuse as a version still has one place, so that hostile text can neither crash a comparison nor make it depend on
/// its direction. Time is linear in the length of both.
package enum VersionOrder: Sendable {
  case apk, dpkg, rpm

  /// How `a` stands to `b`.
  package func compare(_ a: String, _ b: String) -> VersionComparison {
    switch self {
    case .apk: ApkVersion.compare(a, b)
    case .dpkg: DpkgVersion.compare(a, b)
    case .rpm: RpmVersion.compare(a, b)
    }
  }
}

extension Span<UInt8> {
  /// The end of the run of ASCII digits that starts at `start`, at most `limit`.
  func endOfDigits(from start: Int, limit: Int) -> Int {
    var position = start
    while position < limit, self[position].isDigit { position += 1 }
    return position
  }

  /// Compares two runs of digits as numbers of any length; an empty run is zero.
  func compareNumber(_ range: Range<Int>, to other: Span<UInt8>, _ otherRange: Range<Int>) -> VersionComparison {
    let mine = withoutLeadingZeros(range)
    let theirs = other.withoutLeadingZeros(otherRange)
    if mine.count != theirs.count { return mine.count < theirs.count ? .older : .newer }
    return compareBytes(mine, to: other, theirs)
  }

  /// Compares byte by byte; a prefix comes first.
  func compareBytes(_ range: Range<Int>, to other: Span<UInt8>, _ otherRange: Range<Int>) -> VersionComparison {
    for offset in 0..<Swift.min(range.count, otherRange.count) {
      let mine = self[range.lowerBound + offset]
      let theirs = other[otherRange.lowerBound + offset]
      if mine != theirs { return mine < theirs ? .older : .newer }
    }
    if range.count == otherRange.count { return .same }
    return range.count < otherRange.count ? .older : .newer
  }

  private func withoutLeadingZeros(_ range: Range<Int>) -> Range<Int> {
    var start = range.lowerBound
    while start < range.upperBound, self[start] == UInt8(ascii: "0") { start += 1 }
    return start..<range.upperBound
  }

  /// The first `byte` in `range`.
  func first(_ byte: UInt8, in range: Range<Int>) -> Int? { range.first { self[$0] == byte } }

  /// The last `byte` in `range`.
  func last(_ byte: UInt8, in range: Range<Int>) -> Int? { range.last { self[$0] == byte } }
}

extension UInt8 {
  var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }
  var isLowercase: Bool { self >= UInt8(ascii: "a") && self <= UInt8(ascii: "z") }
  var isLetter: Bool { (self | 0x20).isLowercase }
}
