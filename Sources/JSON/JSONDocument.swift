/// A JSON text that was read once, whole: which values it has, and where. Nothing of it is copied before it is asked for.
///
/// Sixteen bytes are held for each value and key, so at most eight times the text. Reading takes time that grows with the
/// text alone, and no more stack than `depthMax` levels need.
package final class JSONDocument: Sendable {
  /// Real manifests, configs and package lists stay far below.
  package static let depthMax = 64

  /// How a text is read that is not quite what RFC 8259 wants.
  package enum Reading {
    /// What two readers could see two things in is refused: an object with one key twice, a byte order mark, bytes that are
    /// no UTF-8.
    case exact
    /// As the tools of languages read their own files: of a key that occurs twice the last counts, a byte order mark is
    /// passed over, and what is no UTF-8 is replaced.
    case lenient
  }

  package enum Kind: UInt8 {
    case null, `true`, `false`, number
    /// Without a backslash.
    case plainText
    case escapedText
    case array, object
  }

  /// A value, or a key of an object; the values of an array or object follow it, each key before its value.
  package struct Node {
    package let kind: Kind
    /// Of a text without its quotes.
    let start: UInt32
    var end: UInt32
    /// The first node that is not part of this one.
    package internal(set) var next: UInt32
  }

  let bytes: [UInt8]
  package let nodes: [Node]

  /// Throws what is wrong with the text.
  package init(_ bytes: [UInt8], reading: Reading = .exact) throws(JSONFlaw) {
    guard let first = bytes.first(where: { !JSONParser.isBlank($0) }) else { throw JSONFlaw("it is empty") }
    if reading == .exact {
      if first == 0xef { throw JSONFlaw("it begins with a byte order mark") }
      do {
        _ = try UTF8Span(validating: bytes.span)
      } catch {
        throw JSONFlaw("it is not valid UTF-8")
      }
    }
    var parser = JSONParser(bytes, reading: reading)
    try parser.run()
    self.bytes = bytes
    nodes = parser.nodes
  }

  /// The values of an array.
  package func elements(of index: Int) -> [Int] {
    var found: [Int] = []
    let end = Int(nodes[index].next)
    var child = index + 1
    while child < end {
      found.append(child)
      child = Int(nodes[child].next)
    }
    return found
  }

  /// Keys of an object, and their values.
  package func forEachMember(of index: Int, _ body: (_ key: Int, _ value: Int) -> Bool) {
    let end = Int(nodes[index].next)
    var key = index + 1
    while key < end {
      guard body(key, key + 1) else { return }
      key = Int(nodes[key + 1].next)
    }
  }

  /// The bytes of a number, or of a text as it is written.
  package func written(_ index: Int) -> ArraySlice<UInt8> { bytes[Int(nodes[index].start)..<Int(nodes[index].end)] }

  /// What a text says; nil where a half of a surrogate pair stands alone in it.
  package func text(_ index: Int) -> String? {
    let written = written(index)
    guard nodes[index].kind == .escapedText else { return String(decoding: written, as: UTF8.self) }
    return String(validating: JSONParser.unescaped(written), as: UTF8.self)
  }

  package func isText(_ index: Int, _ text: String) -> Bool {
    switch nodes[index].kind {
    case .plainText:
      Int(nodes[index].end - nodes[index].start) == text.utf8.count && written(index).elementsEqual(text.utf8)
    case .escapedText: JSONParser.unescaped(written(index)).elementsEqual(text.utf8)
    default: false
    }
  }

  /// The value of a member by its key, the last one where there are several; nil for what is no object or has no such key.
  package func member(_ key: String, of object: Int) -> Int? {
    guard nodes[object].kind == .object else { return nil }
    var found: Int?
    forEachMember(of: object) { name, value in
      if isText(name, key) { found = value }
      return true
    }
    return found
  }

  /// The bytes that a text stands for, whether they are UTF-8 or not; nil for what is no text.
  package func textBytes(_ index: Int) -> [UInt8]? {
    switch nodes[index].kind {
    case .plainText: Array(written(index))
    case .escapedText: JSONParser.unescaped(written(index))
    default: nil
    }
  }
}
