/// Whose packages a file of a language tells of: the types of their package URLs, and `PackageDatabase.kind`.
package enum LanguageKind: String, Sendable, CaseIterable {
  case npm, pypi, golang, maven, gem, cargo, nuget, composer
  /// A program that says itself what it was built from.
  case executable

  /// Whether a package of purl type `type` can be in such a file.
  func holds(_ type: String) -> Bool {
    self == .executable ? type == Self.golang.rawValue || type == Self.cargo.rawValue : type == rawValue
  }
}
