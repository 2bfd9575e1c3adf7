package import FoundationEssentials
package import ProtobufRuntime

extension Timestamp {
  /// From nanoseconds since 1970; nil for 0, which stands for "never" in the store.
  package init?(nanoseconds: Int64) {
    if nanoseconds == 0 { return nil }
    self.init()
    let (quotient, remainder) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    seconds = remainder < 0 ? quotient - 1 : quotient
    nanos = Int32(remainder < 0 ? remainder + 1_000_000_000 : remainder)
  }

  package var date: Date { Date(timeIntervalSince1970: Double(seconds) + Double(nanos) / 1e9) }
}

extension Timestamp: JSONRepresentable {
  /// RFC 3339, UTC, whole seconds.
  package var json: JSONValue {
    .string(Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601))
  }
}

extension ProtoDuration {
  package init(_ duration: Duration) {
    self.init()
    seconds = duration.components.seconds
    nanos = Int32(duration.components.attoseconds / 1_000_000_000)
  }
}

extension ProtoDuration: JSONRepresentable {
  package init(seconds: Int64) {
    self.init()
    self.seconds = seconds
  }

  /// Seconds.
  package var json: JSONValue { .number(Double(seconds) + Double(nanos) / 1e9) }
}

extension FieldMask: JSONRepresentable {
  package var json: JSONValue { .string(paths.joined(separator: ",")) }
}
