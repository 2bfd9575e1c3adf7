/// What a node says, as the type that the reader expects. Each error names the node's path and line.
extension YAMLNode {
  /// Any scalar as it is written: a name may look like a number.
  package func string() throws(YAMLError) -> String {
    guard case .scalar(let text, _) = content, !isNull else {
      throw wrongType("text", hint: "write one value; quote it where it has special characters")
    }
    return text
  }

  /// A whole number in decimal digits. Leading zeros are refused: some readers of YAML take them for octal.
  package func integer() throws(YAMLError) -> Int {
    let hint = "write decimal digits alone, without quotes, units or leading zeros"
    guard case .scalar(let text, isPlain: true) = content, let value = Int(text), String(value) == text else {
      throw wrongType("a whole number", hint: hint)
    }
    return value
  }

  /// `yes`, `on` and the like are refused: versions of YAML disagree on whether they are truth values.
  package func boolean() throws(YAMLError) -> Bool {
    switch content {
    case .scalar("true", isPlain: true): return true
    case .scalar("false", isPlain: true): return false
    default: throw wrongType("true or false", hint: "write true or false, without quotes")
    }
  }

  package func choice<T: RawRepresentable<String> & CaseIterable>(of type: T.Type = T.self) throws(YAMLError) -> T {
    guard case .scalar(let text, _) = content, let value = T(rawValue: text) else {
      let names = T.allCases.map(\.rawValue).joined(separator: ", ")
      throw wrongType("one of \(names)", hint: "one of \(names)")
    }
    return value
  }

  package func items() throws(YAMLError) -> [YAMLNode] {
    guard case .sequence(let items) = content else {
      throw wrongType("a list", hint: "write [a, b], or a line \"- a\" for each")
    }
    return items
  }

  package func strings() throws(YAMLError) -> [String] {
    var all: [String] = []
    for item in try items() { all.append(try item.string()) }
    return all
  }

  /// The mapping here. A key that is not among `keys` is refused: a misspelt key that is silently ignored is a setting that
  /// silently does not hold. `noun` is what messages call a key.
  package func mapping(keys: [String], noun: String = "key") throws(YAMLError) -> YAMLMapping {
    guard case .mapping(let entries) = content else {
      throw wrongType("keys and values", hint: "\(noun)s here: \(keys.joined(separator: ", "))")
    }
    for entry in entries where !keys.contains(entry.key) {
      throw YAMLError(
        .unknownKey, line: entry.line, "unknown \(noun) \(Path.key(path, entry.key))",
        hint: "\(noun)s here: \(keys.joined(separator: ", "))")
    }
    return YAMLMapping(node: self, entries: entries, noun: noun)
  }

  /// An error about what this node says, in the reader's own words: `message` goes on after the path.
  package func error(_ message: String, hint: String) -> YAMLError {
    let path = path.description
    return YAMLError(.wrongType, line: line, path.isEmpty ? message : "\(path): \(message)", hint: hint)
  }

  private func wrongType(_ expected: String, hint: String) -> YAMLError {
    let found =
      switch content {
      case .scalar where isNull: "nothing"
      case .scalar(let text, let isPlain): isPlain ? shown(text) : "\"\(shown(text))\""
      case .sequence: "a list"
      case .mapping: "keys and values"
      }
    return error("expected \(expected), found \(found)", hint: hint)
  }
}

/// A mapping whose keys are all known.
package struct YAMLMapping: Sendable {
  let node: YAMLNode
  package let entries: [YAMLNode.Entry]
  let noun: String

  /// Nil where the key is absent or says nothing.
  package subscript(key: String) -> YAMLNode? {
    guard let value = entries.first(where: { $0.key == key })?.value, !value.isNull else { return nil }
    return value
  }

  package func required(_ key: String) throws(YAMLError) -> YAMLNode {
    if let value = self[key] { return value }
    throw YAMLError(
      .missingKey, line: node.line, "\(YAMLNode.Path.key(node.path, key)): is missing",
      hint: "give this \(noun) a value")
  }
}
