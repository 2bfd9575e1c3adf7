import JSON

/// JSON from outside: the whole text is checked before anything is built from it, so that neither depth nor tricks with
/// repeated keys reach a decoder.
enum JSONReader {
  /// Decodes `bytes`; `what` names their origin in the error.
  static func decode<Value: Decodable>(
    _ type: Value.Type, _ bytes: [UInt8], what: String
  ) throws(RegistryError) -> Value {
    let document: JSONDocument
    do {
      document = try JSONDocument(bytes)
    } catch {
      throw .malformed("\(what) sent no proper JSON: \(describe(error))")
    }
    do {
      return try Value(from: JSONValueDecoder(document: document, index: 0))
    } catch let error as DecodingError {
      throw .malformed("\(what) sent unexpected JSON: \(describe(error))")
    } catch {
      throw .malformed("\(what) sent unexpected JSON")
    }
  }

  /// Why the text must not be decoded: no JSON, not UTF-8, a byte order mark, a NUL, nested too deeply, or an object with
  /// one key twice (two readers could see two different manifests in it).
  static func flaw(in bytes: [UInt8]) -> String? {
    do {
      _ = try JSONDocument(bytes)
      return nil
    } catch {
      return describe(error)
    }
  }

  private static func describe(_ flaw: JSONFlaw) -> String {
    guard let key = flaw.repeatedKey else { return flaw.reason }
    return "the key \"\(ForeignText.escaped(key, lengthMax: 60))\" occurs twice in one object"
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
