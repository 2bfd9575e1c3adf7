import Glibc

/// The protobuf messages of ttrpc itself, read and written by hand: five known fields need no arena, and the payload
/// is handed on without another copy.
package struct RequestEnvelope: Sendable, Equatable {
  package var service = ""
  package var method = ""
  package var payload: [UInt8] = []
  /// Nanoseconds the caller still waits; 0 no deadline, negative already over.
  package var timeoutNanoseconds: Int64 = 0
  package var metadata: [Metadata] = []

  package struct Metadata: Sendable, Equatable {
    package var key: String
    package var value: String
    package init(key: String, value: String) {
      self.key = key
      self.value = value
    }
  }

  /// Most metadata entries of a call.
  static let metadataMaximum = 256

  package init() {}

  package init(decoding bytes: some Collection<UInt8>) throws(MalformedEnvelope) {
    self = try Array(bytes).withUnsafeBytes { buffer in
      Result { () throws(MalformedEnvelope) in try RequestEnvelope(reading: buffer) }
    }.get()
  }

  package init(reading bytes: UnsafeRawBufferPointer) throws(MalformedEnvelope) {
    let view = try RequestView(bytes)
    service = try view.serviceName
    method = try view.methodName
    payload = Array(view.payload)
    timeoutNanoseconds = view.timeoutNanoseconds
    metadata = view.metadata
  }

  package func encoded() -> [UInt8] {
    var writer = EnvelopeWriter()
    writer.bytes(1, service.utf8)
    writer.bytes(2, method.utf8)
    writer.bytes(3, payload)
    writer.varint(4, UInt64(bitPattern: timeoutNanoseconds))
    for pair in metadata {
      var inner = EnvelopeWriter()
      inner.bytes(1, pair.key.utf8)
      inner.bytes(2, pair.value.utf8)
      writer.bytes(5, inner.output, evenIfEmpty: true)
    }
    return writer.output
  }
}

/// A request in place: most calls need neither its names as texts nor a copy of its payload. Lives as long as the bytes
/// it was read from.
struct RequestView {
  private(set) var service = UnsafeRawBufferPointer(start: nil, count: 0)
  private(set) var method = UnsafeRawBufferPointer(start: nil, count: 0)
  private(set) var payload = UnsafeRawBufferPointer(start: nil, count: 0)
  private(set) var timeoutNanoseconds: Int64 = 0
  private(set) var metadata: [RequestEnvelope.Metadata] = []

  var serviceName: String { get throws(MalformedEnvelope) { try EnvelopeReader.string(service, of: 1) } }
  var methodName: String { get throws(MalformedEnvelope) { try EnvelopeReader.string(method, of: 2) } }

  init(_ bytes: UnsafeRawBufferPointer) throws(MalformedEnvelope) {
    var reader = EnvelopeReader(bytes)
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let text)): service = text
      case (2, .bytes(let text)): method = text
      case (3, .bytes(let data)): payload = data
      case (4, .varint(let value)): timeoutNanoseconds = Int64(bitPattern: value)
      case (5, .bytes(let entry)):
        guard metadata.count < RequestEnvelope.metadataMaximum else {
          throw MalformedEnvelope("more than \(RequestEnvelope.metadataMaximum) metadata entries")
        }
        metadata.append(try Self.metadata(entry))
      case (1...5, _): throw MalformedEnvelope("field \(field.number) of the request has the wrong wire type")
      default: break
      }
    }
  }

  private static func metadata(_ entry: UnsafeRawBufferPointer) throws(MalformedEnvelope) -> RequestEnvelope.Metadata {
    var pair = RequestEnvelope.Metadata(key: "", value: "")
    var reader = EnvelopeReader(entry)
    while let part = try reader.next() {
      switch (part.number, part.value) {
      case (1, .bytes(let text)): pair.key = try EnvelopeReader.string(text, of: 1)
      case (2, .bytes(let text)): pair.value = try EnvelopeReader.string(text, of: 2)
      case (1...2, _): throw MalformedEnvelope("a metadata field has the wrong wire type")
      default: break
      }
    }
    return pair
  }
}

package enum ResponseEnvelope {
  /// How long a response with this payload is.
  static func length(ofSuccess payload: [UInt8]) -> Int {
    payload.isEmpty ? 0 : 1 + (70 - UInt64(payload.count).leadingZeroBitCount) / 7 + payload.count
  }

  /// As `encode`, without a copy in between.
  static func append(success payload: [UInt8], to output: inout [UInt8]) {
    if payload.isEmpty { return }
    output.append(2 << 3 | 2)
    var rest = payload.count
    while rest >= 0x80 {
      output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    output.append(UInt8(rest))
    output.append(contentsOf: payload)
  }

  package static func encode(_ result: Result<[UInt8], RPCError>) -> [UInt8] {
    var writer = EnvelopeWriter()
    switch result {
    case .success(let payload): writer.bytes(2, payload)
    case .failure(let error):
      var status = EnvelopeWriter()
      // A failure with code OK would read as a success.
      let code = error.code == .ok ? RPCError.Code.unknown : error.code
      status.varint(1, UInt64(bitPattern: Int64(code.rawValue)))
      status.bytes(2, error.message.utf8)
      for detail in error.details {
        var any = EnvelopeWriter()
        any.bytes(1, detail.typeURL.utf8)
        any.bytes(2, detail.value)
        status.bytes(3, any.output, evenIfEmpty: true)
      }
      writer.bytes(1, status.output, evenIfEmpty: true)
    }
    return writer.output
  }

  package static func decode(_ bytes: some Collection<UInt8>) throws(MalformedEnvelope) -> Result<[UInt8], RPCError> {
    try Array(bytes).withUnsafeBytes { buffer in
      Result { () throws(MalformedEnvelope) in try read(buffer) }
    }.get()
  }

  private static func read(_ bytes: UnsafeRawBufferPointer) throws(MalformedEnvelope) -> Result<[UInt8], RPCError> {
    var payload: [UInt8] = []
    var failure: RPCError?
    var reader = EnvelopeReader(bytes)
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (1, .bytes(let status)): failure = try decodeStatus(status)
      case (2, .bytes(let data)): payload = Array(data)
      case (1...2, _): throw MalformedEnvelope("field \(field.number) of the response has the wrong wire type")
      default: break
      }
    }
    return failure.map { .failure($0) } ?? .success(payload)
  }

  /// Nil for code 0: an explicit OK.
  private static func decodeStatus(_ bytes: UnsafeRawBufferPointer) throws(MalformedEnvelope) -> RPCError? {
    var code: Int32 = 0
    var message = ""
    var details: [RPCError.Detail] = []
    var reader = EnvelopeReader(bytes)
    while let field = try reader.next() {
      switch (field.number, field.value) {
      case (1, .varint(let value)): code = Int32(truncatingIfNeeded: value)
      case (2, .bytes(let text)): message = String(decoding: text, as: UTF8.self)
      case (3, .bytes(let any)):
        var typeURL = ""
        var value: [UInt8] = []
        var inner = EnvelopeReader(any)
        while let part = try inner.next() {
          switch (part.number, part.value) {
          case (1, .bytes(let text)): typeURL = String(decoding: text, as: UTF8.self)
          case (2, .bytes(let data)): value = Array(data)
          default: break
          }
        }
        details.append(RPCError.Detail(typeURL: typeURL, value: value))
      case (1...3, _): throw MalformedEnvelope("field \(field.number) of the status has the wrong wire type")
      default: break
      }
    }
    return code == 0 ? nil : RPCError(RPCError.Code(rawValue: code) ?? .unknown, message, details: details)
  }
}

package struct MalformedEnvelope: Error, Equatable {
  package let reason: String
  init(_ reason: String) { self.reason = reason }
}

private struct EnvelopeReader {
  enum Value {
    case varint(UInt64)
    case bytes(UnsafeRawBufferPointer)
    case fixed
  }

  struct Field {
    let number: UInt64
    let value: Value
  }

  /// The text of field `number`.
  static func string(_ bytes: UnsafeRawBufferPointer, of number: UInt64) throws(MalformedEnvelope) -> String {
    // `String(validating:)` takes several times as long. What decoding repairs is not the same any more.
    var text = String(decoding: bytes, as: UTF8.self)
    let isSame = text.withUTF8 { utf8 in
      guard let copy = utf8.baseAddress, let original = bytes.baseAddress else { return bytes.isEmpty }
      return utf8.count == bytes.count && memcmp(copy, original, utf8.count) == 0
    }
    guard isSame else { throw MalformedEnvelope("field \(number) is not UTF-8") }
    return text
  }

  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  /// Reads `bytes` in place: they must outlive the reader.
  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  private var left: Int { bytes.count - position }

  /// The next field; nil at the end. Groups, field 0 and cut fields are refused.
  mutating func next() throws(MalformedEnvelope) -> Field? {
    if left == 0 { return nil }
    let key = try varint()
    let number = key >> 3
    guard number > 0, number < 1 << 29 else { throw MalformedEnvelope("field number \(number)") }
    switch key & 7 {
    case 0: return Field(number: number, value: .varint(try varint()))
    case 1: return Field(number: number, value: try skip(8))
    case 2:
      let length = try varint()
      guard length <= UInt64(left) else { throw MalformedEnvelope("field \(number) is cut short") }
      let value = UnsafeRawBufferPointer(rebasing: bytes[position..<position + Int(length)])
      position += Int(length)
      return Field(number: number, value: .bytes(value))
    case 5: return Field(number: number, value: try skip(4))
    default: throw MalformedEnvelope("field \(number) has wire type \(key & 7)")
    }
  }

  private mutating func skip(_ count: Int) throws(MalformedEnvelope) -> Value {
    guard left >= count else { throw MalformedEnvelope("a fixed-size field is cut short") }
    position += count
    return .fixed
  }

  private mutating func varint() throws(MalformedEnvelope) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard left > 0 else { throw MalformedEnvelope("a number is cut short") }
      let byte = bytes[position]
      position += 1
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    throw MalformedEnvelope("a number is longer than ten bytes")
  }
}

extension RPCError {
  /// This error with a google.rpc.ErrorInfo that says where to go on; unchanged without a cursor.
  func withCursor(_ cursor: String?, reason: String) -> RPCError {
    guard let cursor else { return self }
    var entry = EnvelopeWriter()
    entry.bytes(1, "cursor".utf8)
    entry.bytes(2, cursor.utf8)
    var info = EnvelopeWriter()
    info.bytes(1, reason.utf8)
    info.bytes(2, Self.domain.utf8)
    info.bytes(3, entry.output)
    let detail = Detail(typeURL: "type.googleapis.com/google.rpc.ErrorInfo", value: info.output)
    return RPCError(code, message, details: details + [detail])
  }
}

private struct EnvelopeWriter {
  var output: [UInt8] = []

  mutating func varint(_ number: UInt64, _ value: UInt64) {
    if value == 0 { return }
    raw(number << 3)
    raw(value)
  }

  mutating func bytes(_ number: UInt64, _ value: some Collection<UInt8>, evenIfEmpty: Bool = false) {
    if value.isEmpty && !evenIfEmpty { return }
    raw(number << 3 | 2)
    raw(UInt64(value.count))
    output.append(contentsOf: value)
  }

  private mutating func raw(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    output.append(UInt8(rest))
  }
}
