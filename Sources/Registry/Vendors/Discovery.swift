import Synchronization

/// Something about a registry that only asking tells: found out once, kept, and asked for anew after a failure.
///
/// Whoever waits for it may hold a permit of the session, so `find` must take none (`VendorAPI.withoutPermit`).
final class Discovery<Value: Sendable>: Sendable {
  private let find: @Sendable () async throws -> Value
  private let found = Mutex<Value?>(nil)
  private let flight = SingleFlight<String, Value>()

  init(_ find: @escaping @Sendable () async throws -> Value) { self.find = find }

  func value() async throws -> Value {
    if let known = found.withLock({ $0 }) { return known }
    return try await flight.value(for: "") {
      if let known = found.withLock({ $0 }) { return known }
      let value = try await find()
      found.withLock { $0 = value }
      return value
    }
  }
}
