/// The path of a repository under a registry, by the grammar of the distribution specification: components of
/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` joined by `/`, at most 255 characters.
package struct Repository: Hashable, Sendable, CustomStringConvertible {
  package static let maximumLength = 255
  package let path: String

  package init?(_ path: some StringProtocol) {
    let path = String(path)
    guard !path.isEmpty, path.utf8.count <= Self.maximumLength else { return nil }
    for component in path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    where !Self.isComponent(component) {
      return nil
    }
    self.path = path
  }

  package var description: String { path }

  /// The component after the last slash.
  package var lastComponent: Substring { path.split(separator: "/").last ?? Substring(path) }

  private static func isComponent(_ bytes: some Collection<UInt8>) -> Bool {
    var separators: [UInt8] = []
    var sawAlphanumeric = false
    for byte in bytes {
      if Character.isLowerAlphanumeric(byte) {
        guard separators.isEmpty || (sawAlphanumeric && isSeparator(separators)) else { return false }
        separators.removeAll(keepingCapacity: true)
        sawAlphanumeric = true
      } else {
        separators.append(byte)
      }
    }
    return sawAlphanumeric && separators.isEmpty
  }

  private static func isSeparator(_ bytes: [UInt8]) -> Bool {
    switch bytes.first {
    case UInt8(ascii: "."): bytes.count == 1
    case UInt8(ascii: "_"): bytes.count <= 2 && bytes.allSatisfy { $0 == UInt8(ascii: "_") }
    case UInt8(ascii: "-"): bytes.allSatisfy { $0 == UInt8(ascii: "-") }
    default: false
    }
  }
}

/// A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
package struct Tag: Hashable, Sendable, CustomStringConvertible {
  package static let maximumLength = 128
  package let name: String

  package init?(_ name: some StringProtocol) {
    let name = String(name)
    guard let first = name.utf8.first, name.utf8.count <= Self.maximumLength,
      Character.isAlphanumeric(first) || first == UInt8(ascii: "_"),
      name.utf8.allSatisfy({
        Character.isAlphanumeric($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
      })
    else { return nil }
    self.name = name
  }

  package var description: String { name }

  /// Whether the name says that it stands for no image, but for what is attached to one: a list of referrers
  /// (`sha256-` and 64 hexadecimal digits), or what cosign makes of that (`.sig`, `.att`, `.sbom` after it).
  package var isAttachment: Bool {
    guard name.hasPrefix("sha256-") else { return false }
    let rest = name.dropFirst("sha256-".count)
    return Digest("sha256:\(rest.prefix(64))") != nil && ["", ".sig", ".att", ".sbom"].contains(rest.dropFirst(64))
  }
}

/// The handle of an integration: `[a-z0-9][a-z0-9._-]{0,62}`.
package struct IntegrationName: Hashable, Sendable, CustomStringConvertible {
  package let text: String

  package init?(_ text: some StringProtocol) {
    guard let first = text.utf8.first, text.utf8.count <= 63, Character.isLowerAlphanumeric(first),
      text.utf8.allSatisfy({ Character.isLowerAlphanumeric($0) || "._-".utf8.contains($0) })
    else { return nil }
    self.text = String(text)
  }

  package var description: String { text }
}

/// An image as a person names it: `INTEGRATION/REPOSITORY[:TAG][@DIGEST]`. Without tag and digest the tag is `latest`.
package struct ImageReference: Hashable, Sendable, CustomStringConvertible {
  package struct Malformed: Error, Equatable, CustomStringConvertible {
    /// What was given, shortened when long.
    package let reference: String
    package let reason: String

    init(reference: String, reason: String) {
      self.reference = reference.excerpt(maximumScalars: 128)
      self.reason = reason
    }

    package var description: String { "\"\(reference)\" is not an image reference: \(reason)" }
  }

  package let integration: IntegrationName
  package let repository: Repository
  package let tag: Tag?
  package let digest: Digest?

  package init(integration: IntegrationName, repository: Repository, tag: Tag?, digest: Digest?) {
    self.integration = integration
    self.repository = repository
    self.tag = tag
    self.digest = digest
  }

  package init(parsing text: String) throws(Malformed) {
    func malformed(_ reason: String) -> Malformed { Malformed(reference: text, reason: reason) }
    var rest = Substring(text)
    var digest: Digest?
    if let at = rest.lastIndex(of: "@") {
      guard let parsed = Digest(rest[rest.index(after: at)...]) else {
        throw malformed("after \"@\" a digest is expected, such as sha256: and 64 lower-case hexadecimal digits")
      }
      digest = parsed
      rest = rest[..<at]
    }
    guard let slash = rest.firstIndex(of: "/") else {
      throw malformed("expected INTEGRATION/REPOSITORY[:TAG][@DIGEST]")
    }
    guard let integration = IntegrationName(rest[..<slash]) else {
      throw malformed("\"\(rest[..<slash].excerpt())\" cannot be the name of an integration")
    }
    rest = rest[rest.index(after: slash)...]
    var tag: Tag?
    let lastSlash = rest.lastIndex(of: "/") ?? rest.startIndex
    if let colon = rest[lastSlash...].firstIndex(of: ":") {
      guard let parsed = Tag(rest[rest.index(after: colon)...]) else {
        throw malformed("\"\(rest[rest.index(after: colon)...].excerpt())\" cannot be a tag")
      }
      tag = parsed
      rest = rest[..<colon]
    }
    guard let repository = Repository(rest) else {
      throw malformed("\"\(rest.excerpt())\" cannot be a repository (lower-case letters, digits, separators)")
    }
    if tag == nil && digest == nil { tag = Tag("latest") }
    self.init(integration: integration, repository: repository, tag: tag, digest: digest)
  }

  package var description: String {
    var text = "\(integration)/\(repository)"
    if let tag { text += ":\(tag)" }
    if let digest { text += "@\(digest)" }
    return text
  }
}

extension Character {
  static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  static func isAlphanumeric(_ byte: UInt8) -> Bool {
    isLowerAlphanumeric(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }
}
