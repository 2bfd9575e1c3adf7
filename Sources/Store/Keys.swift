import Glibc

/// How a type is written as an LMDB key. Keys of one table sort by their bytes, so numbers are big-endian and every
/// text but the last ends with a NUL (which no text of ours holds: a key with one is refused, since it could be read as
/// another key).
package protocol TableKey: Sendable {
  /// What the schema document says of the key.
  static var layout: String { get }
  func encode(into key: inout KeyWriter)
  init?(from key: inout KeyReader)
}

package struct KeyWriter {
  /// Longest key that LMDB takes.
  static let lengthMaximum = 511

  /// Of most keys.
  private static let lengthUsual = 160

  package private(set) var bytes: [UInt8] = []
  private var holdsNUL = false

  init() { bytes.reserveCapacity(Self.lengthUsual) }

  /// Whether a table can hold the key.
  var isStorable: Bool { !bytes.isEmpty && bytes.count <= Self.lengthMaximum && !holdsNUL }

  package mutating func append(_ number: UInt64) {
    withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
  }
  package mutating func append(_ number: UInt8) { bytes.append(number) }
  /// A text that something follows.
  package mutating func append(terminated text: String) {
    append(last: text)
    bytes.append(0)
  }
  /// A text at the key's end.
  package mutating func append(last text: String) {
    var text = text
    text.withUTF8 { utf8 in
      guard let start = utf8.baseAddress else { return }
      bytes.append(contentsOf: utf8)
      if memchr(start, 0, utf8.count) != nil { holdsNUL = true }
    }
  }
}

package struct KeyReader {
  private var rest: Slice<UnsafeRawBufferPointer>

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes[...] }

  package mutating func number() -> UInt64? {
    guard rest.count >= 8 else { return nil }
    defer { rest = rest.dropFirst(8) }
    return rest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
  package mutating func byte() -> UInt8? { rest.popFirst() }
  package mutating func terminatedText() -> String? {
    guard let end = rest.firstIndex(of: 0) else { return nil }
    defer { rest = rest[(end + 1)...] }
    return String(validating: rest[..<end], as: UTF8.self)
  }
  package mutating func lastText() -> String? {
    defer { rest = rest[rest.endIndex...] }
    return String(validating: rest, as: UTF8.self)
  }
  var isAtEnd: Bool { rest.isEmpty }
}

extension UInt64: TableKey {
  package static var layout: String { "number, 8 bytes big-endian" }
  package func encode(into key: inout KeyWriter) { key.append(self) }
  package init?(from key: inout KeyReader) {
    guard let number = key.number() else { return nil }
    self = number
  }
}

extension String: TableKey {
  package static var layout: String { "text" }
  package func encode(into key: inout KeyWriter) { key.append(last: self) }
  package init?(from key: inout KeyReader) {
    guard let text = key.lastText() else { return nil }
    self = text
  }
}
