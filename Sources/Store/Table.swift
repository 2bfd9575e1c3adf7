import ProtobufRuntime

/// One table of an environment: its name, what its keys and values are, and who owns it. Rooms declare theirs as
/// constants; an environment is opened with the list of all of them, and the schema document is checked against it.
package struct Table<Key: TableKey, Value: TableValue>: Sendable {
  package let name: String
  package let purpose: String

  package init(_ name: String, _ purpose: String) {
    self.name = name
    self.purpose = purpose
  }

  /// The same table for those who look at keys alone: nothing of its values is read.
  package var keysOnly: Table<Key, UnreadValue> { Table<Key, UnreadValue>(name, purpose) }

  package var description: TableDescription {
    TableDescription(name: name, key: Key.layout, value: Value.layout, purpose: purpose)
  }
}

/// What the schema document says of a table.
package struct TableDescription: Sendable, Equatable {
  package let name: String
  package let key: String
  package let value: String
  package let purpose: String
}

/// How a type is written as an LMDB value.
package protocol TableValue: Sendable {
  static var layout: String { get }
  func encodedValue() -> [UInt8]
  /// Throws when the bytes are none of this type's.
  init(decodingValue bytes: UnsafeRawBufferPointer) throws
}

/// A stored protobuf message: any message of `proto/storage.proto` is one.
extension TableValue where Self: ProtoMessage {
  package static var layout: String { "message \(Self.messageName)" }
  package func encodedValue() -> [UInt8] { packed() }
  package init(decodingValue bytes: UnsafeRawBufferPointer) throws { try self.init(packed: bytes, limits: .storage) }
}

struct MalformedValue: Error {}

extension UInt64: TableValue {
  package func encodedValue() -> [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
  package init(decodingValue bytes: UnsafeRawBufferPointer) throws {
    guard bytes.count == 8 else { throw MalformedValue() }
    self = bytes.reduce(0) { $0 << 8 | UInt64($1) }
  }
}

/// Bytes as they are.
package struct RawValue: TableValue, Equatable {
  package let bytes: [UInt8]
  package init(_ bytes: [UInt8]) { self.bytes = bytes }
  package static var layout: String { "bytes" }
  package func encodedValue() -> [UInt8] { bytes }
  package init(decodingValue bytes: UnsafeRawBufferPointer) throws { self.bytes = Array(bytes) }
}

/// A value that was not looked at. Writing one is a programmer error: it would take the place of what is there.
package struct UnreadValue: TableValue {
  package static var layout: String { "unread" }
  package func encodedValue() -> [UInt8] { preconditionFailure("a value that was not read is written") }
  package init(decodingValue bytes: UnsafeRawBufferPointer) {}
}

/// No value: the key says it all.
package struct NoValue: TableValue, Equatable {
  package init() {}
  package static var layout: String { "none" }
  package func encodedValue() -> [UInt8] { [] }
  package init(decodingValue bytes: UnsafeRawBufferPointer) throws {
    guard bytes.isEmpty else { throw MalformedValue() }
  }
}
