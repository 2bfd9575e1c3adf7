/// A JSON text that was read once, whole: which values it has, and where. Nothing of it is copied before it is asked for.
///
/// Sixteen bytes are held for each value and key, so at most eight times the text. Reading takes time that grows with the
/// text alone, and no more stack than `JSONReader.depthMax` levels need.
final class JSONDocument: Sendable {
  enum Kind: UInt8 {
    case null, `true`, `false`, number
    /// Without a backslash.
    case plainText
    case escapedText
    case array, object
  }

  /// A value, or a key of an object; the values of an array or object follow it, each key before its value.
  struct Node {
    let kind: Kind
    /// Of a text without its quotes.
    let start: UInt32
    var end: UInt32
    /// The first node that is not part of this one.
    var next: UInt32
  }

  let bytes: [UInt8]
  let nodes: [Node]

  /// Throws what is wrong with the text.
  init(_ bytes: [UInt8]) throws(JSONFlaw) {
    guard let first = bytes.first(where: { !JSONParser.isBlank($0) }) else { throw JSONFlaw("it is empty") }
    if first == 0xef { throw JSONFlaw("it begins with a byte order mark") }
    do {
      _ = try UTF8Span(validating: bytes.span)
    } catch {
      throw JSONFlaw("it is not valid UTF-8")
    }
    var parser = JSONParser(bytes)
    try parser.run()
    self.bytes = bytes
    nodes = parser.nodes
  }

  /// The values of an array.
  func elements(of index: Int) -> [Int] {
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
  func forEachMember(of index: Int, _ body: (_ key: Int, _ value: Int) -> Bool) {
    let end = Int(nodes[index].next)
    var key = index + 1
    while key < end {
      guard body(key, key + 1) else { return }
      key = Int(nodes[key + 1].next)
    }
  }

  /// The bytes of a number, or of a text as it is written.
  func written(_ index: Int) -> ArraySlice<UInt8> { bytes[Int(nodes[index].start)..<Int(nodes[index].end)] }

  /// What a text says; nil where a half of a surrogate pair stands alone in it.
  func text(_ index: Int) -> String? {
    let written = written(index)
    guard nodes[index].kind == .escapedText else { return String(decoding: written, as: UTF8.self) }
    return String(validating: JSONParser.unescaped(written), as: UTF8.self)
  }

  func isText(_ index: Int, _ text: String) -> Bool {
    switch nodes[index].kind {
    case .plainText:
      Int(nodes[index].end - nodes[index].start) == text.utf8.count && written(index).elementsEqual(text.utf8)
    case .escapedText: JSONParser.unescaped(written(index)).elementsEqual(text.utf8)
    default: false
    }
  }
}

/// Why a text must not be decoded.
struct JSONFlaw: Error {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}
