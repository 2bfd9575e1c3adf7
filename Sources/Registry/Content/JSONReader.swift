import FoundationEssentials

/// JSON from outside: the text is checked before anything is built from it, so that neither depth nor tricks with
/// repeated keys reach a decoder.
enum JSONReader {
  /// Real manifests and configs stay below 8.
  static let depthMax = 64

  /// Decodes `bytes`; `what` names their origin in the error.
  static func decode<Value: Decodable>(
    _ type: Value.Type, _ bytes: [UInt8], what: String
  ) throws(RegistryError) -> Value {
    if let flaw = flaw(in: bytes) { throw .malformed("\(what) sent no proper JSON: \(flaw)") }
    do {
      return try JSONDecoder().decode(type, from: Data(bytes))
    } catch let error as DecodingError {
      throw .malformed("\(what) sent unexpected JSON: \(describe(error))")
    } catch {
      throw .malformed("\(what) sent unexpected JSON")
    }
  }

  /// Why the text must not be decoded: not UTF-8, a byte order mark, a NUL, nested too deeply, or an object with one
  /// key twice (two readers could see two different manifests in it). Everything else is the decoder's to find.
  static func flaw(in bytes: [UInt8]) -> String? {
    guard let first = bytes.first(where: { !isBlank($0) }) else { return "it is empty" }
    if first == 0xef { return "it begins with a byte order mark" }
    if String(validating: bytes, as: UTF8.self) == nil { return "it is not valid UTF-8" }
    var scanner = KeyScanner(bytes)
    return scanner.flaw()
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\t")
  }

  private static func describe(_ error: DecodingError) -> String {
    func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
      let keys = (context.codingPath + (last.map { [$0] } ?? [])).map { key in
        key.intValue.map { "[\($0)]" } ?? ForeignText.escaped(key.stringValue, lengthMax: 60)
      }
      return keys.isEmpty ? "the top" : keys.joined(separator: ".")
    }
    return switch error {
    case .typeMismatch(_, let context): "\(path(context)) has the wrong type"
    case .valueNotFound(_, let context): "\(path(context)) is null"
    case .keyNotFound(let key, let context): "\(path(context, key)) is missing"
    case .dataCorrupted(let context): "\(path(context)) cannot be read"
    @unknown default: "it cannot be read"
    }
  }
}

/// Walks JSON text once, looking at its brackets and keys only.
private struct KeyScanner {
  private enum Level {
    case array
    case object(keys: Set<[UInt8]>, expectsKey: Bool)
  }

  private let bytes: [UInt8]
  private var position = 0
  private var levels: [Level] = []

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func flaw() -> String? {
    while position < bytes.count {
      switch bytes[position] {
      case 0: return "it holds a NUL byte"
      case UInt8(ascii: "["): levels.append(.array)
      case UInt8(ascii: "{"): levels.append(.object(keys: [], expectsKey: true))
      case UInt8(ascii: "]"), UInt8(ascii: "}"):
        if levels.popLast() == nil { return "a bracket closes nothing" }
      case UInt8(ascii: ","):
        switch levels.popLast() {
        case .object(let keys, _): levels.append(.object(keys: keys, expectsKey: true))
        case .array: levels.append(.array)
        case nil: return "a comma separates nothing"
        }
      case UInt8(ascii: "\""):
        let text = string()
        if let flaw = note(text) { return flaw }
        continue
      default: break
      }
      guard levels.count <= JSONReader.depthMax else { return "it is nested deeper than \(JSONReader.depthMax)" }
      position += 1
    }
    return nil
  }

  /// Remembers a key; text elsewhere is passed over.
  private mutating func note(_ text: ArraySlice<UInt8>) -> String? {
    guard case .object(var keys, true) = levels.last else { return nil }
    levels.removeLast()
    let isNew = keys.insert(Self.unescaped(text)).inserted
    levels.append(.object(keys: keys, expectsKey: false))
    return isNew ? nil : "the key \"\(ForeignText.escaped(text, lengthMax: 60))\" occurs twice in one object"
  }

  /// The text between the quotes; leaves `position` after the closing one.
  private mutating func string() -> ArraySlice<UInt8> {
    let start = position + 1
    position = start
    while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
      position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
    }
    let end = min(position, bytes.count)
    position = min(end + 1, bytes.count)
    return bytes[start..<end]
  }

  /// A key as a decoder would see it. Surrogates are kept apart, which is enough to compare keys.
  private static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
    guard text.contains(UInt8(ascii: "\\")) else { return Array(text) }
    var result: [UInt8] = []
    var rest = text
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\"), let kind = rest.popFirst() else {
        result.append(byte)
        continue
      }
      switch kind {
      case UInt8(ascii: "u"):
        let digits = String(decoding: rest.prefix(4), as: UTF8.self)
        rest = rest.dropFirst(4)
        if let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) {
          result += Array(String(Character(scalar)).utf8)
        } else {
          result += [0xff] + digits.lowercased().utf8
        }
      case UInt8(ascii: "b"): result.append(8)
      case UInt8(ascii: "f"): result.append(12)
      case UInt8(ascii: "n"): result.append(10)
      case UInt8(ascii: "r"): result.append(13)
      case UInt8(ascii: "t"): result.append(9)
      default: result.append(kind)
      }
    }
    return result
  }
}
