/// The order of Alpine package versions: `number{.number}[letter]{_suffix[number]}[-rN]`.
///
/// For every pair that apk-tools calls valid the answer is that of `apk version -t`. What is invalid from some place on
/// sorts there after everything valid, by its bytes.
enum ApkVersion {
  static func compare(_ a: String, _ b: String) -> VersionComparison {
    let left = a.utf8Span.span
    let right = b.utf8Span.span
    var leftTokens = Tokens()
    var rightTokens = Tokens()
    while true {
      let mine = leftTokens.next(left)
      let theirs = rightTokens.next(right)
      if mine.kind != theirs.kind { return mine.kind.rawValue < theirs.kind.rawValue ? .older : .newer }
      switch mine.kind {
      case .end: return .same
      case .invalid: return left.compareBytes(mine.range, to: right, theirs.range)
      default: break
      }
      if mine.value != theirs.value { return mine.value < theirs.value ? .older : .newer }
      let numbers = left.compareNumber(mine.range, to: right, theirs.range)
      if numbers != .same { return numbers }
    }
  }

  /// What stands at a place of a version, in order: a version that ends is newer than one that goes on with a
  /// pre-release suffix, and older than one that goes on with anything else.
  private enum Kind: Int {
    case preSuffix, end, revision, suffixNumber, postSuffix, letter, number, dottedNumber, invalid
  }

  /// One step of a version. `value` orders letters, suffixes and leading zeros; `range` holds the digits of a number.
  private struct Token {
    let kind: Kind
    var value = 0
    var range = 0..<0
  }

  /// What may be read next, in the order in which it may appear.
  private enum Expected: Int {
    case dottedNumber, number, letter, suffix, suffixNumber, revision, end, invalid
  }

  private struct Tokens {
    private var position = 0
    private var expected = Expected.number

    mutating func next(_ bytes: Span<UInt8>) -> Token {
      switch expected {
      case .dottedNumber:
        // Leading zeros count by themselves, before any number: 1.05 < 1.5.
        var zeros = position
        while zeros < bytes.count, bytes[zeros] == UInt8(ascii: "0") { zeros += 1 }
        if zeros > position {
          defer { position = zeros }
          expected = .number
          return Token(kind: .dottedNumber, value: position - zeros)
        }
        // Nothing after a dot counts as a number, zero, only before another dot.
        if position == bytes.count || !(bytes[position].isDigit || bytes[position] == UInt8(ascii: ".")) {
          advance(bytes)
          return Token(kind: .dottedNumber, value: Int.min)
        }
        return number(.dottedNumber, bytes)
      case .number: return number(.number, bytes)
      case .suffixNumber: return number(.suffixNumber, bytes)
      case .revision: return number(.revision, bytes)
      case .letter:
        let letter = Int(bytes[position])
        position += 1
        advance(bytes)
        return Token(kind: .letter, value: letter)
      case .suffix: return suffix(bytes)
      case .end: return Token(kind: .end)
      case .invalid: return Token(kind: .invalid, range: position..<bytes.count)
      }
    }

    private mutating func number(_ kind: Kind, _ bytes: Span<UInt8>) -> Token {
      let start = position
      position = bytes.endOfDigits(from: start, limit: bytes.count)
      let range = start..<position
      advance(bytes)
      return Token(kind: kind, range: range)
    }

    private mutating func suffix(_ bytes: Span<UInt8>) -> Token {
      if position == bytes.count {
        // A version that ends in "_" reads as if it ended in the first of the later suffixes.
        expected = .end
        return Token(kind: .postSuffix)
      }
      for (kind, names) in [(Kind.preSuffix, ApkVersion.preSuffixes), (.postSuffix, ApkVersion.postSuffixes)] {
        for (index, name) in names.enumerated() where starts(bytes, with: name) {
          position += name.utf8CodeUnitCount
          advance(bytes)
          return Token(kind: kind, value: index)
        }
      }
      expected = .invalid
      return Token(kind: .invalid, range: position..<bytes.count)
    }

    private func starts(_ bytes: Span<UInt8>, with name: StaticString) -> Bool {
      guard bytes.count - position >= name.utf8CodeUnitCount else { return false }
      return name.withUTF8Buffer { name in name.indices.allSatisfy { bytes[position + $0] == name[$0] } }
    }

    /// Decides what follows the token just read, and steps over its separator.
    private mutating func advance(_ bytes: Span<UInt8>) {
      guard position < bytes.count else {
        expected = .end
        return
      }
      let byte = bytes[position]
      switch expected {
      case .dottedNumber where byte.isLowercase, .number where byte.isLowercase:
        expected = .letter
        return
      case .letter where byte.isDigit:
        expected = .number
        return
      case .suffix where byte.isDigit:
        expected = .suffixNumber
        return
      default: break
      }
      var found = Expected.invalid
      var width = 1
      switch byte {
      case UInt8(ascii: "."): found = .dottedNumber
      case UInt8(ascii: "_"): found = .suffix
      case UInt8(ascii: "-") where position + 1 < bytes.count && bytes[position + 1] == UInt8(ascii: "r"):
        found = .revision
        width = 2
      default: break
      }
      let isInOrder =
        found.rawValue >= expected.rawValue || (found == .dottedNumber && expected == .number)
        || (found == .suffix && expected == .suffixNumber)
      if found != .invalid && isInOrder {
        position += width
        expected = found
      } else {
        expected = .invalid
      }
    }
  }

  private static let preSuffixes: [StaticString] = ["alpha", "beta", "pre", "rc"]
  private static let postSuffixes: [StaticString] = ["cvs", "svn", "git", "hg", "p"]
}
