import Inventory

/// The records of one pax extended header that matter to reading (POSIX pax, "pax Extended Header"). Values are bytes:
/// their character set is the writer's affair.
struct PaxRecords {
  private(set) var path: [UInt8]?
  private(set) var linkPath: [UInt8]?
  private(set) var size: Int?
  /// The real name of a sparse file, whose `path` is made up (GNU.sparse.name).
  private(set) var sparseName: [UInt8]?
  private(set) var isSparse = false

  var isEmpty: Bool { path == nil && linkPath == nil && size == nil && sparseName == nil && !isSparse }

  /// Reads `LENGTH KEY=VALUE\n` over and over; linear in the body.
  init(parsing body: [UInt8]) throws(LayerError) {
    var rest = body[...]
    while let first = rest.first {
      // Some writers fill the rest of the body with NULs.
      if first == 0 && rest.allSatisfy({ $0 == 0 }) { return }
      let record = try Self.takeRecord(&rest)
      guard let equals = record.firstIndex(of: UInt8(ascii: "=")), equals > record.startIndex else {
        throw Self.malformed("a record has no keyword")
      }
      try apply(record[..<equals], Array(record[(equals + 1)...]))
    }
  }

  private mutating func apply(_ key: ArraySlice<UInt8>, _ value: [UInt8]) throws(LayerError) {
    if key.elementsEqual("path".utf8) {
      path = value.isEmpty ? nil : value
    } else if key.elementsEqual("linkpath".utf8) {
      linkPath = value.isEmpty ? nil : value
    } else if key.elementsEqual("size".utf8) {
      size = value.isEmpty ? nil : try Self.decimal(value[...])
    } else if key.starts(with: "GNU.sparse.".utf8) {
      isSparse = true
      if key.elementsEqual("GNU.sparse.name".utf8) { sparseName = value.isEmpty ? nil : value }
    }
  }

  private static func takeRecord(_ rest: inout ArraySlice<UInt8>) throws(LayerError) -> ArraySlice<UInt8> {
    // A length has at most 7 digits, as the body is bounded.
    guard let space = rest.prefix(20).firstIndex(of: UInt8(ascii: " ")) else {
      throw malformed("a record has no length")
    }
    let length = try decimal(rest[..<space])
    let headLength = space + 1 - rest.startIndex
    guard length > headLength, length <= rest.count else { throw malformed("a record's length is wrong") }
    let end = rest.startIndex + length
    guard rest[end - 1] == UInt8(ascii: "\n") else { throw malformed("a record does not end with a line break") }
    let record = rest[(space + 1)..<(end - 1)]
    rest = rest[end...]
    return record
  }

  private static func decimal(_ digits: ArraySlice<UInt8>) throws(LayerError) -> Int {
    guard !digits.isEmpty, digits.count <= 18 else { throw malformed("a number is empty or too long") }
    var value = 0
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else {
        throw malformed("a number has other characters")
      }
      value = value * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return value
  }

  private static func malformed(_ reason: String) -> LayerError {
    LayerError(.tarMalformed, "a pax header is malformed: \(reason)")
  }
}
