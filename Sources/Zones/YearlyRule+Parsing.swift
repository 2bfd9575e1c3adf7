extension YearlyRule {
  /// Reads a TZ text as footers have it: with a rule wherever it names a second abbreviation. Nil for another.
  init?(_ text: some Sequence<UInt8>) {
    var reader = Reader(bytes: Array(text))
    guard reader.skipName(), let west = reader.clock(hours: 24) else { return nil }
    let standard = -west
    guard Zone.offsetsAllowed.contains(standard) else { return nil }
    if reader.isAtEnd {
      self.init(standard: standard, daylight: nil)
      return
    }
    guard reader.skipName() else { return nil }
    var offset = standard + 3_600
    if !reader.isNext(",") {
      guard let west = reader.clock(hours: 24) else { return nil }
      offset = -west
    }
    guard Zone.offsetsAllowed.contains(offset), let start = reader.change(), let end = reader.change(), reader.isAtEnd
    else { return nil }
    self.init(standard: standard, daylight: Daylight(offset: offset, start: start, end: end))
  }

  private struct Reader {
    let bytes: [UInt8]
    var position = 0

    var isAtEnd: Bool { position == bytes.count }

    func isNext(_ scalar: Unicode.Scalar) -> Bool { position < bytes.count && bytes[position] == UInt8(ascii: scalar) }

    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
      guard isNext(scalar) else { return false }
      position += 1
      return true
    }

    /// An abbreviation: letters, or anything but its end between `<` and `>`.
    mutating func skipName() -> Bool {
      let isQuoted = take("<")
      let start = position
      while position < bytes.count {
        let byte = bytes[position]
        let isLetter = (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        let isOfQuoted = (0x30...0x39).contains(byte) || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")
        guard isLetter || (isQuoted && isOfQuoted) else { break }
        position += 1
      }
      return position - start >= 3 && (!isQuoted || take(">"))
    }

    mutating func number(atMost limit: Int) -> Int? {
      let start = position
      var value = 0
      while position < bytes.count, position - start < 3, (0x30...0x39).contains(bytes[position]) {
        value = value * 10 + Int(bytes[position] - 0x30)
        position += 1
      }
      return position > start && value <= limit ? value : nil
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    mutating func clock(hours: Int) -> Int64? {
      let sign: Int64 = take("-") ? -1 : 1
      if sign == 1 { _ = take("+") }
      guard let hours = number(atMost: hours) else { return nil }
      var seconds = hours * 3_600
      if take(":") {
        guard let minutes = number(atMost: 59) else { return nil }
        seconds += minutes * 60
        if take(":") {
          guard let rest = number(atMost: 59) else { return nil }
          seconds += rest
        }
      }
      return sign * Int64(seconds)
    }

    /// `,date[/time]`; at 02:00 when nothing is said.
    mutating func change() -> Change? {
      guard take(","), let day = day() else { return nil }
      guard take("/") else { return Change(day: day, time: 7_200) }
      return clock(hours: 167).map { Change(day: day, time: $0) }
    }

    private mutating func day() -> Day? {
      if take("J") { return number(atMost: 365).flatMap { $0 >= 1 ? .julian($0) : nil } }
      guard take("M") else { return number(atMost: 365).map { .ofYear($0) } }
      guard let month = number(atMost: 12), month >= 1, take("."), let week = number(atMost: 5), week >= 1, take("."),
        let weekday = number(atMost: 6)
      else { return nil }
      return .ofMonth(month, week: week, weekday: weekday)
    }
  }
}
