import Model

/// Makes files of time zones, sound ones and others.
struct ZoneBytes {
  var version: UInt8 = UInt8(ascii: "2")
  /// When, and which of `offsets` from then on.
  var changes: [(time: Int64, kind: UInt8)] = []
  var offsets: [Int32] = [0]
  var footer = "\nUTC0\n"
  var leapSeconds = 0

  var bytes: [UInt8] { block(timeSize: 4, version: version, isOld: true) + newer }

  private var newer: [UInt8] { block(timeSize: 8, version: version, isOld: false) + Array(footer.utf8) }

  private func block(timeSize: Int, version: UInt8, isOld: Bool) -> [UInt8] {
    let changes = isOld ? [] : changes
    var bytes = Array("TZif".utf8) + [version] + [UInt8](repeating: 0, count: 15)
    for count in [0, 0, leapSeconds, changes.count, offsets.count, 4] { bytes += Self.bigEndian(UInt32(count)) }
    for change in changes { bytes += Self.bigEndian(UInt64(bitPattern: change.time)) }
    bytes += changes.map(\.kind)
    for offset in offsets { bytes += Self.bigEndian(UInt32(bitPattern: offset)) + [0, 0] }
    bytes += Array("LMT\0".utf8)
    bytes += [UInt8](repeating: 0, count: leapSeconds * (timeSize + 4))
    return bytes
  }

  private static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }
}

/// Seconds since 1970 of an RFC 3339 time.
func seconds(_ text: String) -> Int64 { Timestamp(rfc3339: text)?.seconds ?? .min }
