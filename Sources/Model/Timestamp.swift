/// A moment in UTC, between the years 0 and 9999: what RFC 3339 can say. Moments outside are moved to the nearer end, so
/// that arithmetic on dates that others wrote never overflows.
package struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Whole seconds since 1970, rounded down.
  package let seconds: Int64
  /// 0 to 999,999,999, counted up from `seconds`.
  package let nanoseconds: Int32

  package static let secondsPerDay: Int64 = 86_400
  /// 0000-01-01T00:00:00Z.
  package static let earliest = Timestamp(seconds: Int64.min)
  /// 9999-12-31T23:59:59.999999999Z.
  package static let latest = Timestamp(seconds: Int64.max)

  private static let firstSecond: Int64 = -62_167_219_200
  private static let lastSecond: Int64 = 253_402_300_799
  private static let nanosecondsPerSecond: Int64 = 1_000_000_000

  /// `nanoseconds` is brought into its range without carrying.
  package init(seconds: Int64, nanoseconds: Int32 = 0) {
    if seconds < Self.firstSecond {
      self.seconds = Self.firstSecond
      self.nanoseconds = 0
    } else if seconds > Self.lastSecond {
      self.seconds = Self.lastSecond
      self.nanoseconds = 999_999_999
    } else {
      self.seconds = seconds
      self.nanoseconds = min(max(nanoseconds, 0), 999_999_999)
    }
  }

  package init(nanosecondsSince1970 total: Int64) {
    let (quotient, remainder) = total.quotientAndRemainder(dividingBy: Self.nanosecondsPerSecond)
    self.init(
      seconds: remainder < 0 ? quotient - 1 : quotient,
      nanoseconds: Int32(remainder < 0 ? remainder + Self.nanosecondsPerSecond : remainder))
  }

  /// As the store writes it. Moments before 1677 and after 2262 do not fit and become the smallest and the largest value.
  package var nanosecondsSince1970: Int64 {
    let (product, overflow) = seconds.multipliedReportingOverflow(by: Self.nanosecondsPerSecond)
    let (sum, carry) = product.addingReportingOverflow(Int64(nanoseconds))
    return overflow || carry ? (seconds < 0 ? Int64.min : Int64.max) : sum
  }

  /// The moment so many seconds later (negative: earlier).
  package func advanced(bySeconds delta: Int64) -> Timestamp {
    let (sum, overflow) = seconds.addingReportingOverflow(delta)
    return overflow ? (delta < 0 ? .earliest : .latest) : Timestamp(seconds: sum, nanoseconds: nanoseconds)
  }

  /// The day in UTC.
  package var date: CivilDate { CivilDate(daysSince1970: days) }

  /// The same time of day on another day.
  package func onDate(_ date: CivilDate) -> Timestamp {
    Timestamp(
      seconds: Int64(date.daysSince1970) * Self.secondsPerDay + secondOfDay, nanoseconds: nanoseconds)
  }

  /// RFC 3339 in UTC, to the second.
  package var description: String {
    let (hours, minutes, seconds) = (secondOfDay / 3_600, secondOfDay / 60 % 60, secondOfDay % 60)
    return "\(date)T\(padded(hours)):\(padded(minutes)):\(padded(seconds))Z"
  }

  package static func < (a: Timestamp, b: Timestamp) -> Bool {
    (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
  }

  private var days: Int {
    Int((seconds - Self.firstSecond) / Self.secondsPerDay + Self.firstSecond / Self.secondsPerDay)
  }

  private var secondOfDay: Int64 { (seconds - Self.firstSecond) % Self.secondsPerDay }

  private func padded(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
}

extension Timestamp {
  /// The longest text looked at; a date with nanoseconds and offset has 35 characters.
  package static let maximumLength = 64

  /// Reads an RFC 3339 date and time, such as `2024-05-01T12:30:00.5+02:00`. As some tools write them: a space or a
  /// lower-case letter for `T` and `Z`, any number of digits of a fraction (those past the ninth are dropped), and no
  /// zone at all, which is taken for UTC. A leap second is the first second of the next minute. Nil for all else.
  package init?(rfc3339 text: some StringProtocol) {
    guard text.utf8.count <= Self.maximumLength else { return nil }
    var reader = Reader(bytes: Array(String(text).utf8))
    guard let year = reader.number(digits: 4), reader.take("-"),
      let month = reader.number(digits: 2), reader.take("-"),
      let day = reader.number(digits: 2), let date = CivilDate(year: year, month: month, day: day),
      reader.take("T") || reader.take("t") || reader.take(" "),
      let hour = reader.number(digits: 2), hour <= 23, reader.take(":"),
      let minute = reader.number(digits: 2), minute <= 59, reader.take(":"),
      let second = reader.number(digits: 2), second <= 60,
      let nanoseconds = reader.fraction(),
      let offset = reader.offset(), reader.isAtEnd
    else { return nil }
    let ofDay = hour * 3_600 + minute * 60 + second - offset
    self.init(
      seconds: Int64(date.daysSince1970) * Self.secondsPerDay + Int64(ofDay), nanoseconds: Int32(nanoseconds))
  }

  private struct Reader {
    let bytes: [UInt8]
    var position = 0

    var isAtEnd: Bool { position == bytes.count }

    private var digit: Int? {
      guard position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) else {
        return nil
      }
      return Int(bytes[position] - UInt8(ascii: "0"))
    }

    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
      guard position < bytes.count, bytes[position] == UInt8(ascii: scalar) else { return false }
      position += 1
      return true
    }

    mutating func number(digits: Int) -> Int? {
      var value = 0
      for _ in 0..<digits {
        guard let digit else { return nil }
        value = value * 10 + digit
        position += 1
      }
      return value
    }

    /// Nanoseconds; zero when there is no fraction, nil when a point has no digit after it.
    mutating func fraction() -> Int? {
      guard take(".") else { return 0 }
      guard digit != nil else { return nil }
      var value = 0
      var unit = 100_000_000
      while let digit {
        value += digit * unit
        unit /= 10
        position += 1
      }
      return value
    }

    /// Seconds east of UTC.
    mutating func offset() -> Int? {
      if isAtEnd || take("Z") || take("z") { return 0 }
      let sign: Int
      if take("+") {
        sign = 1
      } else if take("-") {
        sign = -1
      } else {
        return nil
      }
      guard let hours = number(digits: 2), hours <= 23, take(":"), let minutes = number(digits: 2), minutes <= 59 else {
        return nil
      }
      return sign * (hours * 3_600 + minutes * 60)
    }
  }
}
