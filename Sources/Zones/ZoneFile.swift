import Model

/// A file of the tz database: TZif of version 2 or later (RFC 8536).
enum ZoneFile {
  /// The longest one read; the database's own have less than 4 KiB.
  static let bytesMaximum = 64 * 1024
  private static let headerLength = 44

  struct Malformed: Error, Equatable {
    let reason: String
    var isUnsupported = false
  }

  /// The zone that `bytes` describe. Abbreviations and what only says where a change came from are left out.
  static func parse(_ bytes: [UInt8], name: String) throws(Malformed) -> Zone {
    var reader = Reader(bytes: bytes[...])
    let old = try header(&reader)
    guard old.version >= UInt8(ascii: "2") else {
      throw Malformed(reason: "it is of version 1, which tells no time after 2037", isUnsupported: true)
    }
    // The data of version 1 once more, for readers that know no other.
    try reader.skip(old.length(timeSize: 4))
    let header = try header(&reader)
    guard header.leapSeconds == 0 else {
      throw Malformed(reason: "it counts leap seconds, which this system's clock does not", isUnsupported: true)
    }
    let times = try reader.take(header.times * 8)
    let kinds = try reader.take(header.times)
    let types = try reader.take(header.types * 6)
    try reader.skip(header.length(timeSize: 8) - header.times * 9 - header.types * 6)
    return try zone(name, times, kinds, try offsets(types), try rule(&reader))
  }

  private struct Header {
    let version: UInt8
    let utcMarks: Int
    let standardMarks: Int
    let leapSeconds: Int
    let times: Int
    let types: Int
    let characters: Int

    func length(timeSize: Int) -> Int {
      times * (timeSize + 1) + types * 6 + characters + leapSeconds * (timeSize + 4) + standardMarks + utcMarks
    }
  }

  private static func header(_ reader: inout Reader) throws(Malformed) -> Header {
    let bytes = try reader.take(headerLength)
    guard bytes.starts(with: "TZif".utf8) else { throw Malformed(reason: "it is no file of time zones") }
    func count(_ index: Int) -> Int { Int(Reader.number(bytes.dropFirst(20 + index * 4).prefix(4))) }
    let header = Header(
      version: bytes[bytes.startIndex + 4], utcMarks: count(0), standardMarks: count(1), leapSeconds: count(2),
      times: count(3), types: count(4), characters: count(5))
    guard (1...256).contains(header.types) else { throw Malformed(reason: "it has no kind of local time, or too many") }
    return header
  }

  private static func offsets(_ types: ArraySlice<UInt8>) throws(Malformed) -> [Int64] {
    var offsets: [Int64] = []
    for start in stride(from: types.startIndex, to: types.endIndex, by: 6) {
      let offset = Int64(Int32(truncatingIfNeeded: Reader.number(types[start..<start + 4])))
      guard Zone.offsetsAllowed.contains(offset) else {
        throw Malformed(reason: "it has clocks \(offset) seconds from UTC, more than a day")
      }
      offsets.append(offset)
    }
    return offsets
  }

  /// The footer: a TZ text between two line feeds; empty where nothing is known of later times.
  private static func rule(_ reader: inout Reader) throws(Malformed) -> YearlyRule? {
    let rest = reader.bytes
    guard rest.first == UInt8(ascii: "\n"), let end = rest.dropFirst().firstIndex(of: UInt8(ascii: "\n")) else {
      throw Malformed(reason: "its end is missing")
    }
    let text = rest[rest.startIndex + 1..<end]
    guard !text.isEmpty else { return nil }
    guard let rule = YearlyRule(text) else {
      throw Malformed(reason: "its rule \"\(String(decoding: text, as: UTF8.self).excerpt())\" is none")
    }
    return rule
  }

  private static func zone(
    _ name: String, _ times: ArraySlice<UInt8>, _ kinds: ArraySlice<UInt8>, _ offsets: [Int64], _ rule: YearlyRule?
  ) throws(Malformed) -> Zone {
    var changes: [Int64] = []
    // The first kind holds before all changes.
    var held = [offsets[0]]
    var last = Int64.min
    for (index, kind) in kinds.enumerated() {
      let start = times.startIndex + index * 8
      let time = Int64(bitPattern: Reader.number(times[start..<start + 8]))
      guard time > last, Zone.instants.contains(time) else { throw Malformed(reason: "its changes are out of order") }
      guard Int(kind) < offsets.count else {
        throw Malformed(reason: "a change leads to a local time that is not there")
      }
      last = time
      changes.append(time)
      held.append(offsets[Int(kind)])
    }
    // Without a table the rule alone holds.
    return Zone(name: name, changes: changes, offsets: held, rule: rule)
  }

  private struct Reader {
    var bytes: ArraySlice<UInt8>

    mutating func take(_ count: Int) throws(Malformed) -> ArraySlice<UInt8> {
      guard bytes.count >= count else { throw Malformed(reason: "it is cut short") }
      defer { bytes = bytes.dropFirst(count) }
      return bytes.prefix(count)
    }

    mutating func skip(_ count: Int) throws(Malformed) { _ = try take(count) }

    /// Big-endian.
    static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
  }
}
