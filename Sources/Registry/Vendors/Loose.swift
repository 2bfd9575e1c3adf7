import Model

/// A field that is good to have: of a wrong type it counts as missing, and the rest of the entry stands.
struct Loose<Value: Decodable & Sendable>: Decodable, Sendable {
  let value: Value?

  init(from decoder: any Decoder) throws {
    do {
      value = try decoder.singleValueContainer().decode(Value.self)
    } catch is DecodingError {
      value = nil
    }
  }
}

extension Loose<String> {
  /// The moment that it says, by RFC 3339.
  var date: Timestamp? { value.flatMap { Timestamp(rfc3339: $0) } }
}
