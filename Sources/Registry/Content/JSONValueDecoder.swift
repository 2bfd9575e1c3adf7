import JSON

/// Decodes one value of a document. As Foundation's decoder does: a number that is whole is an integer however it is
/// written; a key that is not there is `keyNotFound`, null is `valueNotFound`, anything else of the wrong kind
/// `typeMismatch`.
struct JSONValueDecoder: Decoder, SingleValueDecodingContainer {
  let document: JSONDocument
  let index: Int

  var userInfo: [CodingUserInfoKey: Any] { [:] }
  private var kind: JSONDocument.Kind { document.nodes[index].kind }

  /// Looked for when it is asked for: decoding seldom fails.
  var codingPath: [any CodingKey] {
    var path: [any CodingKey] = []
    var here = 0
    while here != index {
      switch document.nodes[here].kind {
      case .array:
        let elements = document.elements(of: here)
        guard let number = elements.lastIndex(where: { $0 <= index }) else { return path }
        path.append(JSONKey(number))
        here = elements[number]
      case .object:
        var last: (key: Int, value: Int)?
        document.forEachMember(of: here) { key, value in
          if value <= index { last = (key, value) }
          return value <= index
        }
        guard let last else { return path }
        path.append(JSONKey(document.text(last.key) ?? ""))
        here = last.value
      default: return path
      }
    }
    return path
  }

  // MARK: containers

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard kind == .object else { throw mismatch([String: Any].self, "an object") }
    return KeyedDecodingContainer(JSONObjectContainer<Key>(self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard kind == .array else { throw mismatch([Any].self, "an array") }
    return JSONArrayContainer(self)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

  // MARK: values

  func decodeNil() -> Bool { kind == .null }

  func decode(_ type: Bool.Type) throws -> Bool {
    switch kind {
    case .true: true
    case .false: false
    default: throw mismatch(type, "true or false")
    }
  }

  func decode(_ type: String.Type) throws -> String {
    guard kind == .plainText || kind == .escapedText else { throw mismatch(type, "a text") }
    guard let text = document.text(index) else { throw corrupted("half of a surrogate pair stands alone in it") }
    return text
  }

  func decode(_ type: Double.Type) throws -> Double { try real(type) }
  func decode(_ type: Float.Type) throws -> Float { try real(type) }
  func decode(_ type: Int.Type) throws -> Int { try integer(type) }
  func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
  func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
  func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
  func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
  func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }

  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try Value(from: self) }

  private func real<Value: LosslessStringConvertible & BinaryFloatingPoint>(_ type: Value.Type) throws -> Value {
    guard kind == .number else { throw mismatch(type, "a number") }
    guard let value = Value(String(decoding: document.written(index), as: UTF8.self)), value.isFinite else {
      throw corrupted("it does not fit")
    }
    return value
  }

  private func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
    guard kind == .number else { throw mismatch(type, "a number") }
    let text = String(decoding: document.written(index), as: UTF8.self)
    if let value = Value(text) { return value }
    guard let value = Double(text).flatMap({ Value(exactly: $0) }) else { throw corrupted("it does not fit") }
    return value
  }

  // MARK: errors

  private func mismatch(_ type: Any.Type, _ wanted: String) -> DecodingError {
    let context = DecodingError.Context(codingPath: codingPath, debugDescription: "\(wanted) is expected")
    return kind == .null ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  private func corrupted(_ why: String) -> DecodingError {
    .dataCorrupted(DecodingError.Context(codingPath: codingPath, debugDescription: why))
  }
}

/// A key or a place in a path.
struct JSONKey: CodingKey {
  let stringValue: String
  let intValue: Int?

  init(_ text: String) {
    stringValue = text
    intValue = nil
  }

  init(_ number: Int) {
    stringValue = String(number)
    intValue = number
  }

  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { self.init(intValue) }
}

private struct JSONObjectContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
  /// Objects with more members are looked into by a table.
  private static var fewMembers: Int { 12 }

  private let decoder: JSONValueDecoder
  /// Values by key; nil where there are few.
  private let table: [String: Int]?

  init(_ decoder: JSONValueDecoder) {
    self.decoder = decoder
    var count = 0
    decoder.document.forEachMember(of: decoder.index) { _, _ in
      count += 1
      return count <= Self.fewMembers
    }
    guard count > Self.fewMembers else {
      table = nil
      return
    }
    var all: [String: Int] = [:]
    decoder.document.forEachMember(of: decoder.index) { key, value in
      if let text = decoder.document.text(key) { all[text] = value }
      return true
    }
    table = all
  }

  var codingPath: [any CodingKey] { decoder.codingPath }

  var allKeys: [Key] {
    var keys: [Key] = []
    decoder.document.forEachMember(of: decoder.index) { key, _ in
      if let key = decoder.document.text(key).flatMap({ Key(stringValue: $0) }) { keys.append(key) }
      return true
    }
    return keys
  }

  private func find(_ key: Key) -> Int? {
    let name = key.stringValue
    if let table { return table[name] }
    var found: Int?
    decoder.document.forEachMember(of: decoder.index) { key, value in
      if decoder.document.isText(key, name) { found = value }
      return found == nil
    }
    return found
  }

  private func value(_ key: Key) throws -> JSONValueDecoder {
    guard let index = find(key) else {
      throw DecodingError.keyNotFound(
        key, DecodingError.Context(codingPath: codingPath, debugDescription: "it is not there"))
    }
    return JSONValueDecoder(document: decoder.document, index: index)
  }

  /// Nil for what is not there, and for null.
  private func valueIfPresent(_ key: Key) -> JSONValueDecoder? {
    guard let index = find(key), decoder.document.nodes[index].kind != .null else { return nil }
    return JSONValueDecoder(document: decoder.document, index: index)
  }

  func contains(_ key: Key) -> Bool { find(key) != nil }
  func decodeNil(forKey key: Key) throws -> Bool { try value(key).decodeNil() }
  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try value(key).decode(type) }
  func decode(_ type: String.Type, forKey key: Key) throws -> String { try value(key).decode(type) }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try value(key).decode(type) }
  func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try value(key).decode(type) }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try value(key).decode(type) }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try value(key).decode(type) }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try value(key).decode(type) }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try value(key).decode(type) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try value(key).decode(type) }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try value(key).decode(type) }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try value(key).decode(type) }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try value(key).decode(type) }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try value(key).decode(type) }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try value(key).decode(type) }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
    try Value(from: try value(key))
  }

  // By default each of these looks for the key three times.
  func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? { try valueIfPresent(key)?.decode(type) }
  func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? { try valueIfPresent(key)?.decode(type) }
  func decodeIfPresent<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value? {
    guard let value = valueIfPresent(key) else { return nil }
    return try Value(from: value)
  }

  func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<NestedKey> {
    try value(key).container(keyedBy: type)
  }

  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try value(key).unkeyedContainer()
  }

  func superDecoder() throws -> any Decoder { decoder }
  func superDecoder(forKey key: Key) throws -> any Decoder { try value(key) }
}

private struct JSONArrayContainer: UnkeyedDecodingContainer {
  private let decoder: JSONValueDecoder
  private let end: Int
  private var next: Int
  private(set) var currentIndex = 0

  init(_ decoder: JSONValueDecoder) {
    self.decoder = decoder
    end = Int(decoder.document.nodes[decoder.index].next)
    next = decoder.index + 1
  }

  var codingPath: [any CodingKey] { decoder.codingPath }
  /// Not told: it would have to be counted.
  var count: Int? { nil }
  var isAtEnd: Bool { next >= end }

  private mutating func take() throws -> JSONValueDecoder {
    let value = try current()
    next = Int(decoder.document.nodes[next].next)
    currentIndex += 1
    return value
  }

  private func current() throws -> JSONValueDecoder {
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        Any.self, DecodingError.Context(codingPath: codingPath, debugDescription: "the array has no more values"))
    }
    return JSONValueDecoder(document: decoder.document, index: next)
  }

  mutating func decodeNil() throws -> Bool {
    guard try current().decodeNil() else { return false }
    _ = try take()
    return true
  }

  mutating func decode(_ type: Bool.Type) throws -> Bool { try take().decode(type) }
  mutating func decode(_ type: String.Type) throws -> String { try take().decode(type) }
  mutating func decode(_ type: Double.Type) throws -> Double { try take().decode(type) }
  mutating func decode(_ type: Float.Type) throws -> Float { try take().decode(type) }
  mutating func decode(_ type: Int.Type) throws -> Int { try take().decode(type) }
  mutating func decode(_ type: Int8.Type) throws -> Int8 { try take().decode(type) }
  mutating func decode(_ type: Int16.Type) throws -> Int16 { try take().decode(type) }
  mutating func decode(_ type: Int32.Type) throws -> Int32 { try take().decode(type) }
  mutating func decode(_ type: Int64.Type) throws -> Int64 { try take().decode(type) }
  mutating func decode(_ type: UInt.Type) throws -> UInt { try take().decode(type) }
  mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try take().decode(type) }
  mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try take().decode(type) }
  mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try take().decode(type) }
  mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try take().decode(type) }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try Value(from: try take()) }

  mutating func nestedContainer<NestedKey: CodingKey>(
    keyedBy type: NestedKey.Type
  ) throws -> KeyedDecodingContainer<NestedKey> {
    try take().container(keyedBy: type)
  }

  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try take().unkeyedContainer() }
  mutating func superDecoder() throws -> any Decoder { try take() }
}
