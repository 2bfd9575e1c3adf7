package import CMessages
import Glibc

/// A message of `proto/`, as a Swift value. The conformances are generated; they build and read protobuf-c's structs,
/// which nothing else sees.
@usableFromInline
package protocol ProtoMessage: Sendable, Equatable {
  /// Full proto name, e.g. `tidewaiter.v1.Job`.
  static var messageName: String { get }
  /// Size of protobuf-c's struct, in bytes.
  static var structSize: Int { get }
  /// Runs protobuf-c's init function on `structSize` bytes.
  static func initialise(_ message: UnsafeMutableRawPointer)

  /// The message with every field at its default.
  init()
  /// Reads protobuf-c's struct; throws for a text that is not UTF-8 or holds a NUL.
  init(reading message: UnsafeRawPointer) throws(MalformedMessage)
  /// Fills an initialised struct; what it points to lives as long as the arena.
  func write(to message: UnsafeMutableRawPointer, _ arena: borrowing MessageArena)
}

/// Bytes that are no message of the type that was expected.
@usableFromInline
package struct MalformedMessage: Error, Equatable, CustomStringConvertible {
  /// `tidewaiter.v1.Integration.name`, or the message alone.
  package let field: String
  package let reason: String

  package init(field: String, reason: String) {
    self.field = field
    self.reason = reason
  }

  @usableFromInline
  package var description: String { "\(field): \(reason)" }
}

/// Bounds on decoding, checked before anything is allocated.
package struct MessageLimits: Sendable {
  /// Messages in messages.
  package var depth: UInt32
  /// Fields of all messages together.
  package var elements: UInt32
  /// Memory of the decoded structs, in bytes.
  package var memoryBytes: Int

  /// For messages of clients.
  package static let rpc = MessageLimits(depth: 16, elements: 200_000, memoryBytes: 32 << 20)
  /// For what the store and workers hold.
  package static let storage = MessageLimits(depth: 16, elements: 20_000_000, memoryBytes: 2 << 30)
}

extension ProtoMessage {
  package func packed() -> [UInt8] {
    let arena = MessageArena(ceiling: .max)
    let message = arena.make(Self.self)
    write(to: message, arena)
    let base = UnsafePointer(message.assumingMemoryBound(to: ProtobufCMessage.self))
    return [UInt8](unsafeUninitializedCapacity: protobuf_c_message_get_packed_size(base)) { buffer, count in
      count = buffer.baseAddress.map { protobuf_c_message_pack(base, $0) } ?? 0
    }
  }

  package init(packed bytes: [UInt8], limits: MessageLimits) throws(MalformedMessage) {
    let arena = MessageArena(ceiling: limits.memoryBytes)
    let message = try bytes.withUnsafeBufferPointer { buffer throws(MalformedMessage) in
      try Self.unpack(UnsafeRawBufferPointer(buffer), limits, arena)
    }
    try self.init(message)
  }

  package init(packed bytes: UnsafeRawBufferPointer, limits: MessageLimits) throws(MalformedMessage) {
    let arena = MessageArena(ceiling: limits.memoryBytes)
    try self.init(try Self.unpack(bytes, limits, arena))
  }

  private init(_ message: UnsafeRawPointer?) throws(MalformedMessage) {
    if let message { try self.init(reading: message) } else { self.init() }
  }

  /// The struct, in the arena. Nil for no bytes, which are a message too: every field has its default.
  private static func unpack(
    _ bytes: UnsafeRawBufferPointer, _ limits: MessageLimits, _ arena: borrowing MessageArena
  ) throws(MalformedMessage) -> UnsafeRawPointer? {
    guard let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), !bytes.isEmpty else { return nil }
    let scratch = arena.make(Self.self)
    let descriptor = scratch.assumingMemoryBound(to: ProtobufCMessage.self).pointee.descriptor
    var place: UnsafePointer<CChar>?
    var field: UInt32 = 0
    let verdict = cmessages_check(
      descriptor, start, bytes.count, cmessages_limits(depth: limits.depth, elements: limits.elements), &place, &field)
    if verdict != cmessages_fine {
      let name = place.map { String(cString: $0) } ?? messageName
      throw MalformedMessage(field: field == 0 ? name : "\(name) field \(field)", reason: reason(verdict))
    }
    guard let message = cmessages_unpack(descriptor, arena.handle, start, bytes.count) else {
      throw MalformedMessage(field: messageName, reason: "does not decode, or needs more memory than allowed")
    }
    return UnsafeRawPointer(message)
  }

  private static func reason(_ verdict: cmessages_verdict) -> String {
    switch verdict {
    case cmessages_cut_short: "is cut short"
    case cmessages_wrong_wire_type: "has the wrong wire type"
    case cmessages_bad_tag: "is no field tag"
    case cmessages_too_deep: "is nested too deep"
    case cmessages_too_many: "has too many elements"
    case cmessages_repeated_message: "occurs more than once"
    default: "does not decode"
    }
  }
}

/// Where protobuf-c's structs live while a message is packed or read. What is generic is inlinable: unspecialised, it
/// would look its types up at run time for each field.
@usableFromInline
package struct MessageArena: ~Copyable {
  fileprivate let handle: OpaquePointer

  fileprivate init(ceiling: Int) {
    guard let handle = cmessages_arena_new(ceiling) else { preconditionFailure("out of memory") }
    self.handle = handle
  }

  deinit { cmessages_arena_free(handle) }

  @usableFromInline
  package func allocate(_ size: Int) -> UnsafeMutableRawPointer {
    guard let memory = cmessages_arena_alloc(handle, size) else { preconditionFailure("out of memory") }
    return memory
  }

  /// An initialised struct for a message of type `M`.
  @inlinable
  package func make<M: ProtoMessage>(_: M.Type) -> UnsafeMutableRawPointer {
    let message = allocate(M.structSize)
    M.initialise(message)
    return message
  }

  package func copy(_ text: String) -> ProtobufCBinaryData {
    var text = text
    return text.withUTF8 { copy(UnsafeRawBufferPointer($0)) }
  }

  package func copy(_ bytes: [UInt8]) -> ProtobufCBinaryData { bytes.withUnsafeBytes { copy($0) } }

  private func copy(_ bytes: UnsafeRawBufferPointer) -> ProtobufCBinaryData {
    guard let source = bytes.baseAddress, !bytes.isEmpty else { return ProtobufCBinaryData(len: 0, data: nil) }
    let memory = allocate(bytes.count)
    memory.copyMemory(from: source, byteCount: bytes.count)
    return ProtobufCBinaryData(len: bytes.count, data: memory.assumingMemoryBound(to: UInt8.self))
  }

  /// A C array of `elements`.
  @inlinable
  package func array<E, T>(_ elements: [E], _ convert: (E) -> T) -> UnsafeMutablePointer<T>? {
    if elements.isEmpty { return nil }
    let array = allocate(MemoryLayout<T>.stride * elements.count).bindMemory(to: T.self, capacity: elements.count)
    for index in elements.indices { (array + index).initialize(to: convert(elements[index])) }
    return array
  }

  /// A C array of pointers to messages.
  @inlinable
  package func array<M: ProtoMessage, C>(_ messages: [M]) -> UnsafeMutablePointer<UnsafeMutablePointer<C>?>? {
    array(messages) { packedStruct($0) }
  }

  /// The struct of one message, or nil.
  @inlinable
  package func pointer<M: ProtoMessage, C>(_ message: M?) -> UnsafeMutablePointer<C>? {
    message.map { packedStruct($0) }
  }

  @inlinable
  package func packedStruct<M: ProtoMessage, C>(_ message: M) -> UnsafeMutablePointer<C> {
    let memory = make(M.self)
    message.write(to: memory, self)
    return memory.assumingMemoryBound(to: C.self)
  }
}

// MARK: - What generated readers are made of

package func readText(_ data: ProtobufCBinaryData, _ field: StaticString) throws(MalformedMessage) -> String {
  guard let start = data.data, data.len > 0 else { return "" }
  // `String(validating:)` takes several times as long. What decoding repairs is not the same any more.
  var text = String(decoding: UnsafeBufferPointer(start: start, count: data.len), as: UTF8.self)
  let isSame = text.withUTF8 { utf8 in
    utf8.count == data.len && utf8.baseAddress.map { memcmp($0, start, data.len) == 0 } ?? false
  }
  guard isSame else { throw MalformedMessage(field: "\(field)", reason: "is not UTF-8") }
  // A NUL ends texts in keys and C strings: no text of ours may hold one.
  guard memchr(start, 0, data.len) == nil else {
    throw MalformedMessage(field: "\(field)", reason: "holds a NUL character")
  }
  return text
}

package func readBytes(_ data: ProtobufCBinaryData) -> [UInt8] {
  Array(UnsafeBufferPointer(start: data.data, count: data.data == nil ? 0 : data.len))
}

package func readTexts(
  _ array: UnsafeMutablePointer<ProtobufCBinaryData>?, _ count: Int, _ field: StaticString
) throws(MalformedMessage) -> [String] {
  var texts: [String] = []
  texts.reserveCapacity(count)
  for data in UnsafeBufferPointer(start: array, count: count) { texts.append(try readText(data, field)) }
  return texts
}

package func readBytes(_ array: UnsafeMutablePointer<ProtobufCBinaryData>?, _ count: Int) -> [[UInt8]] {
  UnsafeBufferPointer(start: array, count: count).map(readBytes)
}

@inlinable
package func readNumbers<T>(_ array: UnsafeMutablePointer<T>?, _ count: Int) -> [T] {
  Array(UnsafeBufferPointer(start: array, count: count))
}

@inlinable
package func readMessage<M: ProtoMessage, C>(_ message: UnsafeMutablePointer<C>?) throws(MalformedMessage) -> M? {
  guard let message else { return nil }
  return try M(reading: UnsafeRawPointer(message))
}

@inlinable
package func readMessages<M: ProtoMessage, C>(
  _ array: UnsafeMutablePointer<UnsafeMutablePointer<C>?>?, _ count: Int
) throws(MalformedMessage) -> [M] {
  var messages: [M] = []
  messages.reserveCapacity(count)
  for message in UnsafeBufferPointer(start: array, count: count) {
    guard let message else { continue }
    messages.append(try M(reading: UnsafeRawPointer(message)))
  }
  return messages
}
