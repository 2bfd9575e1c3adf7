/// Why a text is no document of the kind that was asked for, and where.
package struct YAMLError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: Sendable {
    /// The bytes are no YAML.
    case syntax
    /// YAML that files of settings have no use for: anchors, tags, a second document.
    case unsupported
    /// Longer, deeper or more than the limits allow.
    case limit
    case duplicateKey
    case unknownKey
    case missingKey
    /// A node of another kind, or a scalar that does not read as what was asked for.
    case wrongType
  }

  package let code: Code
  /// From 1; nil where the document as a whole is meant.
  package let line: Int?
  /// Names the key's path where there is one.
  package let message: String
  package let hint: String

  package init(_ code: Code, line: Int?, _ message: String, hint: String) {
    self.code = code
    self.line = line
    self.message = message
    self.hint = hint
  }

  package var description: String { line.map { "line \($0): \(message)" } ?? message }

  /// The description, led by the name of the file that holds the document.
  package func description(in file: String) -> String {
    line == nil ? "\(file): \(message)" : "\(file), \(description)"
  }
}
