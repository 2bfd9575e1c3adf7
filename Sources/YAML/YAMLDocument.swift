/// A text in YAML, read whole.
///
/// Only what a file of settings needs: one document of scalars, sequences and mappings. Anchors, aliases and tags are
/// refused, as are keys that are there twice: what a reader does not see at first sight does not decide a setting.
package struct YAMLDocument: Sendable {
  /// What the text may take at most.
  package struct Limits: Sendable {
    package var bytes = 1 << 20
    /// Sequences and mappings inside one another.
    package var depth = 32
    /// Scalars, sequences, mappings and keys.
    package var nodes = 50_000
    package init() {}
  }

  /// Nil where the text has nothing but comments, or says null.
  package let root: YAMLNode?

  package init(_ bytes: [UInt8], limits: Limits = Limits()) throws(YAMLError) {
    guard bytes.count <= limits.bytes else {
      throw YAMLError(.limit, line: nil, "longer than \(limits.bytes) bytes", hint: "split it, or shorten it")
    }
    let events = try YAMLEventStream(bytes)
    var composer = YAMLComposer(events: events, limits: limits)
    let root = try composer.document()
    self.root = root.flatMap { $0.isNull ? nil : $0 }
  }

  package init(_ text: String, limits: Limits = Limits()) throws(YAMLError) {
    try self.init(Array(text.utf8), limits: limits)
  }
}
