/// Header fields in order of receipt; names are compared without case. Kept as they came: of most answers few are asked for.
package struct HTTPHeaders: Sendable {
  /// Where a field lies in `bytes`: its name, in lower case, and its value right behind it.
  private struct Field {
    let start: Int
    let nameEnd: Int
    let end: Int
  }

  private var bytes: [UInt8] = []
  private var fields: [Field] = []

  init() {}

  mutating func append(_ name: String, _ value: String) { append(name.utf8, value.utf8) }

  mutating func append(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    if fields.isEmpty {
      fields.reserveCapacity(12)
      bytes.reserveCapacity(512)
    }
    let start = bytes.count
    bytes.append(contentsOf: name)
    let nameEnd = bytes.count
    for index in start..<nameEnd where (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(bytes[index]) {
      bytes[index] |= 0x20
    }
    bytes.append(contentsOf: value)
    fields.append(Field(start: start, nameEnd: nameEnd, end: bytes.count))
  }

  /// The first field of that name, which is in lower case.
  package subscript(_ name: String) -> String? { fields.first { isNamed($0, name) }.map(value) }

  /// Of that name, which is in lower case.
  package func all(_ name: String) -> [String] { fields.filter { isNamed($0, name) }.map(value) }

  /// Whether a field's name begins with one of these, in lower case.
  func hasName(beginningWith prefixes: [StaticString]) -> Bool {
    fields.contains { field in
      prefixes.contains { prefix in
        prefix.withUTF8Buffer { bytes[field.start..<field.nameEnd].starts(with: $0) }
      }
    }
  }

  private func isNamed(_ field: Field, _ name: String) -> Bool {
    field.nameEnd - field.start == name.utf8.count && bytes[field.start..<field.nameEnd].elementsEqual(name.utf8)
  }

  private func value(_ field: Field) -> String { String(decoding: bytes[field.nameEnd..<field.end], as: UTF8.self) }
}
