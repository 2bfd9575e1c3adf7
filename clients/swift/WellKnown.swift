public import FoundationEssentials
package import ProtobufRuntime

extension Timestamp {
  public init(_ date: Date) {
    self.init()
    let whole = date.timeIntervalSince1970.rounded(.down)
    seconds = Int64(whole)
    nanos = Int32(Swift.min((date.timeIntervalSince1970 - whole) * 1e9, 999_999_999))
  }

  public var date: Date { Date(timeIntervalSince1970: Double(seconds) + Double(nanos) / 1e9) }
}

extension Timestamp: JSONRepresentable {
  /// RFC 3339, UTC, whole seconds.
  package var json: JSONValue {
    .string(Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601))
  }
}

extension ProtoDuration {
  /// Whole seconds, such as `Integration.scanTimeout` takes.
  public init(seconds: Int64) {
    self.init()
    self.seconds = seconds
  }

  public var duration: Duration { .seconds(seconds) + .nanoseconds(Int64(nanos)) }
}

extension ProtoDuration: JSONRepresentable {
  /// Seconds.
  package var json: JSONValue { .number(Double(seconds) + Double(nanos) / 1e9) }
}

extension FieldMask: JSONRepresentable {
  package var json: JSONValue { .string(paths.joined(separator: ",")) }
}
