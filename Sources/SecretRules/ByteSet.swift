extension UInt8 {
  package var asciiLowercased: UInt8 { (0x41...0x5a).contains(self) ? self | 0x20 : self }
}

/// A set of ASCII characters.
package struct ByteSet: Sendable, Equatable {
  private var low: UInt64 = 0
  private var high: UInt64 = 0

  package init() {}

  package mutating func insert(_ byte: UInt8) {
    if byte < 64 {
      low |= 1 << UInt64(byte)
    } else if byte < 128 {
      high |= 1 << UInt64(byte - 64)
    }
  }

  package mutating func insert(_ range: ClosedRange<UInt8>) { range.forEach { insert($0) } }

  @inline(__always)
  package func contains(_ byte: UInt8) -> Bool {
    if byte < 64 { return low >> UInt64(byte) & 1 == 1 }
    return byte < 128 && high >> UInt64(byte - 64) & 1 == 1
  }

  package static let digits = ByteSet(ranges: [0x30...0x39])
  package static let lowerHex = ByteSet(ranges: [0x30...0x39, 0x61...0x66])
  package static let hex = ByteSet(ranges: [0x30...0x39, 0x41...0x46, 0x61...0x66])
  package static let upperAlphanumeric = ByteSet(ranges: [0x30...0x39, 0x41...0x5a])
  package static let alphanumeric = ByteSet(ranges: [0x30...0x39, 0x41...0x5a, 0x61...0x7a])
  package static let base64 = ByteSet(ranges: [0x30...0x39, 0x41...0x5a, 0x61...0x7a], "+/")
  package static let base64URL = ByteSet(ranges: [0x30...0x39, 0x41...0x5a, 0x61...0x7a], "-_")
  /// What names in programs and configuration files are made of.
  package static let identifier = ByteSet(ranges: [0x30...0x39, 0x41...0x5a, 0x61...0x7a], "-_.")

  private init(ranges: [ClosedRange<UInt8>], _ others: StaticString = "") {
    for range in ranges { insert(range) }
    others.withUTF8Buffer { $0.forEach { insert($0) } }
  }
}
