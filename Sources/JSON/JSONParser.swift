/// Walks JSON text once and notes its values. A NUL, and anything else that RFC 8259 does not allow, is refused.
struct JSONParser {
  /// Objects with more keys are compared by a set of them.
  private static let fewKeys = 12

  private let bytes: [UInt8]
  private let refusesRepeatedKeys: Bool
  private var position = 0
  private(set) var nodes: [JSONDocument.Node] = []
  /// Keys of the objects that are open, the innermost last.
  private var keys: [Int] = []

  init(_ bytes: [UInt8], reading: JSONDocument.Reading) {
    self.bytes = bytes
    refusesRepeatedKeys = reading == .exact
    if reading == .lenient && bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    nodes.reserveCapacity(bytes.count / 16)
  }

  static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\t")
  }

  mutating func run() throws(JSONFlaw) {
    // Places are counted in 32 bits; nothing that is read here is near it.
    guard bytes.count < Int(UInt32.max) else { throw JSONFlaw("it is longer than 4 GiB") }
    try value(depth: 0)
    skipBlanks()
    guard position == bytes.count else { throw unexpected() }
  }

  private mutating func value(depth: Int) throws(JSONFlaw) {
    skipBlanks()
    switch current {
    case UInt8(ascii: "\""): try text()
    case UInt8(ascii: "{"): try object(depth: depth + 1)
    case UInt8(ascii: "["): try array(depth: depth + 1)
    case UInt8(ascii: "t"): try word("true", .true)
    case UInt8(ascii: "f"): try word("false", .false)
    case UInt8(ascii: "n"): try word("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try number()
    default: throw unexpected()
    }
  }

  // MARK: arrays and objects

  private mutating func open(_ kind: JSONDocument.Kind, depth: Int) throws(JSONFlaw) -> Int {
    guard depth <= JSONDocument.depthMax else { throw JSONFlaw("it is nested deeper than \(JSONDocument.depthMax)") }
    nodes.append(JSONDocument.Node(kind: kind, start: UInt32(position), end: 0, next: 0))
    position += 1
    skipBlanks()
    return nodes.count - 1
  }

  private mutating func close(_ index: Int) {
    position += 1
    nodes[index].end = UInt32(position)
    nodes[index].next = UInt32(nodes.count)
  }

  private mutating func array(depth: Int) throws(JSONFlaw) {
    let index = try open(.array, depth: depth)
    if current != UInt8(ascii: "]") {
      while true {
        try value(depth: depth)
        skipBlanks()
        guard current == UInt8(ascii: ",") else { break }
        position += 1
      }
      guard current == UInt8(ascii: "]") else { throw unexpected() }
    }
    close(index)
  }

  private mutating func object(depth: Int) throws(JSONFlaw) {
    let index = try open(.object, depth: depth)
    let firstKey = keys.count
    if current != UInt8(ascii: "}") {
      while true {
        skipBlanks()
        guard current == UInt8(ascii: "\"") else { throw unexpected() }
        if refusesRepeatedKeys { keys.append(nodes.count) }
        try text()
        skipBlanks()
        guard current == UInt8(ascii: ":") else { throw unexpected() }
        position += 1
        try value(depth: depth)
        skipBlanks()
        guard current == UInt8(ascii: ",") else { break }
        position += 1
      }
      guard current == UInt8(ascii: "}") else { throw unexpected() }
    }
    try checkKeys(from: firstKey)
    keys.removeSubrange(firstKey...)
    close(index)
  }

  private func checkKeys(from first: Int) throws(JSONFlaw) {
    if keys.count - first > Self.fewKeys {
      var seen: Set<[UInt8]> = []
      for key in keys[first...] where !seen.insert(Self.unescaped(written(key))).inserted { throw twice(key) }
      return
    }
    for index in keys.indices[first...] {
      for other in first..<index where isSame(keys[index], keys[other]) { throw twice(keys[index]) }
    }
  }

  private func isSame(_ one: Int, _ other: Int) -> Bool {
    if nodes[one].kind == .plainText, nodes[other].kind == .plainText {
      let length = nodes[one].end - nodes[one].start
      return nodes[other].end - nodes[other].start == length && written(one) == written(other)
    }
    return Self.unescaped(written(one)) == Self.unescaped(written(other))
  }

  private func written(_ index: Int) -> ArraySlice<UInt8> { bytes[Int(nodes[index].start)..<Int(nodes[index].end)] }

  private func twice(_ key: Int) -> JSONFlaw {
    JSONFlaw("a key occurs twice in one object", repeatedKey: Array(written(key)))
  }

  // MARK: texts, numbers, words

  private mutating func text() throws(JSONFlaw) {
    let start = position + 1
    var end = start
    var kind = JSONDocument.Kind.plainText
    while true {
      guard end < bytes.count else { throw JSONFlaw("it ends in the middle") }
      let byte = bytes[end]
      if byte == UInt8(ascii: "\"") { break }
      if byte == UInt8(ascii: "\\") {
        kind = .escapedText
        end = try escape(at: end)
        continue
      }
      guard byte >= 0x20 else {
        throw JSONFlaw(byte == 0 ? "it holds a NUL byte" : "a text in it holds a control character")
      }
      end += 1
    }
    position = end + 1
    nodes.append(
      JSONDocument.Node(kind: kind, start: UInt32(start), end: UInt32(end), next: UInt32(nodes.count + 1)))
  }

  /// Where an escape ends.
  private func escape(at start: Int) throws(JSONFlaw) -> Int {
    guard start + 1 < bytes.count else { throw JSONFlaw("it ends in the middle") }
    switch bytes[start + 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
      UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      return start + 2
    case UInt8(ascii: "u") where bytes.dropFirst(start + 2).prefix(4).count { Self.digit($0) != nil } == 4:
      return start + 6
    default: throw JSONFlaw("a text in it holds an escape that means nothing")
    }
  }

  private mutating func number() throws(JSONFlaw) {
    let start = position
    if current == UInt8(ascii: "-") { position += 1 }
    if current == UInt8(ascii: "0") { position += 1 } else { try digits() }
    if current == UInt8(ascii: ".") {
      position += 1
      try digits()
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      try digits()
    }
    appendLeaf(.number, from: start)
  }

  private mutating func digits() throws(JSONFlaw) {
    let start = position
    while (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(current) { position += 1 }
    guard position > start else { throw unexpected() }
  }

  private mutating func word(_ word: StaticString, _ kind: JSONDocument.Kind) throws(JSONFlaw) {
    let start = position
    let isThere = word.withUTF8Buffer { bytes[start...].starts(with: $0) }
    guard isThere else { throw unexpected() }
    position += word.utf8CodeUnitCount
    appendLeaf(kind, from: start)
  }

  private mutating func appendLeaf(_ kind: JSONDocument.Kind, from start: Int) {
    nodes.append(
      JSONDocument.Node(kind: kind, start: UInt32(start), end: UInt32(position), next: UInt32(nodes.count + 1)))
  }

  // MARK: bytes

  /// 0 at the end, which stands for nothing in JSON.
  private var current: UInt8 { position < bytes.count ? bytes[position] : 0 }

  private mutating func skipBlanks() {
    while position < bytes.count, Self.isBlank(bytes[position]) { position += 1 }
  }

  private func unexpected() -> JSONFlaw {
    guard position < bytes.count else { return JSONFlaw("it ends in the middle") }
    switch bytes[position] {
    case 0: return JSONFlaw("it holds a NUL byte")
    case UInt8(ascii: "]"), UInt8(ascii: "}"): return JSONFlaw("a bracket closes nothing")
    case UInt8(ascii: ","): return JSONFlaw("a comma separates nothing")
    default: return JSONFlaw("what stands at byte \(position) is no JSON")
    }
  }

  /// A text whose escapes are good, as a decoder sees it. Half of a surrogate pair becomes what is no UTF-8, with its
  /// digits: one key differs from another then, too.
  static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
    guard text.contains(UInt8(ascii: "\\")) else { return Array(text) }
    var result: [UInt8] = []
    var index = text.startIndex
    while index < text.endIndex {
      guard text[index] == UInt8(ascii: "\\") else {
        result.append(text[index])
        index += 1
        continue
      }
      switch text[index + 1] {
      case UInt8(ascii: "u"):
        let unit = unit(text, at: index + 2)
        index += 6
        if unit & 0xfc00 == 0xd800, index + 5 < text.endIndex, text[index] == UInt8(ascii: "\\"),
          text[index + 1] == UInt8(ascii: "u"), case let low = self.unit(text, at: index + 2), low & 0xfc00 == 0xdc00
        {
          index += 6
          append(0x10000 + ((unit & 0x3ff) << 10 | (low & 0x3ff)), to: &result)
        } else {
          append(unit, to: &result)
        }
        continue
      case UInt8(ascii: "b"): result.append(8)
      case UInt8(ascii: "f"): result.append(12)
      case UInt8(ascii: "n"): result.append(10)
      case UInt8(ascii: "r"): result.append(13)
      case UInt8(ascii: "t"): result.append(9)
      case let other: result.append(other)
      }
      index += 2
    }
    return result
  }

  private static func append(_ value: UInt32, to result: inout [UInt8]) {
    if let scalar = Unicode.Scalar(value) {
      result += Array(String(Character(scalar)).utf8)
    } else {
      result += [0xff, UInt8(value >> 8), UInt8(value & 0xff)]
    }
  }

  private static func unit(_ text: ArraySlice<UInt8>, at index: Int) -> UInt32 {
    (index..<(index + 4)).reduce(0) { $0 << 4 | UInt32(digit(text[$1]) ?? 0) }
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
