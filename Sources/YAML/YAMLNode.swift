/// A scalar, a sequence or a mapping, with the place where it stands in its document.
package struct YAMLNode: Sendable {
  package enum Content: Sendable {
    /// `isPlain`: written without quotes, so that it may stand for a number, a truth value or nothing.
    case scalar(String, isPlain: Bool)
    case sequence([YAMLNode])
    /// In the order of the document; no key is there twice.
    case mapping([Entry])
  }

  package struct Entry: Sendable {
    package let key: String
    package let line: Int
    package let column: Int
    package let value: YAMLNode
  }

  package let content: Content
  /// Both from 1; columns count characters.
  package let line: Int
  package let column: Int
  package let path: Path

  /// How one gets to a node from the root. It is spelt out only for a message: a path kept as text in each node would
  /// make the tree's size grow with its depth times its length.
  package indirect enum Path: Sendable, CustomStringConvertible {
    case root
    case key(Path, String)
    case index(Path, Int)

    /// As in `criteria.tags[2]`, counted from 0; empty for the root.
    package var description: String {
      switch self {
      case .root: ""
      case .key(.root, let key): shown(key)
      case .key(let parent, let key): "\(parent).\(shown(key))"
      case .index(let parent, let index): "\(parent)[\(index)]"
      }
    }
  }

  /// Whether nothing is said here: `key:`, `key: ~` or `key: null`.
  package var isNull: Bool {
    guard case .scalar(let text, isPlain: true) = content else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(text)
  }
}

/// Text of a document as messages quote it: short, and without what would move a terminal's cursor.
func shown(_ text: String) -> String {
  let lengthMaximum = 40
  let start = text.unicodeScalars.prefix(lengthMaximum + 1)
  var result = ""
  for scalar in start.prefix(lengthMaximum) {
    result.unicodeScalars.append(scalar.properties.generalCategory == .control ? "\u{FFFD}" : scalar)
  }
  return start.count > lengthMaximum ? result + "…" : result
}
