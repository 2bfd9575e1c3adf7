import Inventory

/// What a Java archive is called in Maven repositories: `group:artifact` and a version.
struct JavaCoordinates: Equatable {
  var group = ""
  var artifact = ""
  var version = ""

  var name: String { group.isEmpty ? artifact : "\(group):\(artifact)" }

  init() {}

  /// pom.properties, as Maven packs it. Nil where it lacks one of the three, or where Maven never filled it in.
  init?(properties bytes: UnsafeRawBufferPointer) {
    var lines = Lines(bytes)
    while let line = lines.next() {
      let text = line.trimmed
      guard let first = text.first, first != UInt8(ascii: "#"), first != UInt8(ascii: "!"),
        let separator = text.prefix(16).firstIndex(where: { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: ":") })
      else { continue }
      let key = UnsafeRawBufferPointer(rebasing: text[..<separator]).trimmed
      let value = UnsafeRawBufferPointer(rebasing: text[(separator + 1)...]).trimmed
      if key.isText("groupId") { group = storedText(value) }
      if key.isText("artifactId") { artifact = storedText(value) }
      if key.isText("version") { version = storedText(value) }
    }
    let texts = [group, artifact, version]
    if texts.contains(where: { $0.isEmpty || $0.contains("${") }) { return nil }
  }

  /// A file's name without its extension: `artifact-version`. Without a version where none can be told.
  init(stem: String) {
    let parts = stem.split(separator: "-", omittingEmptySubsequences: false)
    // The last part that begins with a digit, as in log4j-1.2-api-2.17.1; and what belongs to a version before it.
    guard var start = parts.lastIndex(where: Self.beginsWithDigit), start > 0 else {
      artifact = stem
      return
    }
    while start > 1 {
      if Self.beginsWithDigit(parts[start - 1]) {
        start -= 1
      } else if start > 2, Self.qualifiers.contains(parts[start - 1].lowercased()),
        Self.beginsWithDigit(parts[start - 2])
      {
        start -= 2
      } else {
        break
      }
    }
    artifact = parts[..<start].joined(separator: "-")
    version = parts[start...].joined(separator: "-")
  }

  /// What a version has after a dash and before a number.
  private static let qualifiers: Set<String> = ["alpha", "beta", "rc", "cr", "m", "b", "sp", "milestone", "incubating"]

  private static func beginsWithDigit(_ part: Substring) -> Bool {
    part.utf8.first.map { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false
  }
}

/// The main section of META-INF/MANIFEST.MF (JAR file specification), as far as it says what the archive is.
struct JavaManifest {
  private var values: [String: String] = [:]

  private static let keys: Set<String> = [
    "implementation-title", "implementation-version", "implementation-vendor-id", "bundle-symbolicname",
    "bundle-version",
    "specification-version", "extension-name", "short-name", "plugin-version", "group-id",
  ]

  /// Texts over `textBytes` are cut.
  init(_ bytes: UnsafeRawBufferPointer, textBytes: Int) {
    var lines = Lines(bytes)
    var key = ""
    var value: [UInt8] = []
    while let line = lines.next() {
      let text = line.last == UInt8(ascii: "\r") ? UnsafeRawBufferPointer(rebasing: line.dropLast()) : line
      // Its first empty line ends the section.
      if text.isEmpty { break }
      if text[0] == UInt8(ascii: " ") {
        // A line of at most 72 bytes goes on in the next.
        if value.count < textBytes { value += text.dropFirst().prefix(textBytes) }
        continue
      }
      keep(key, value)
      (key, value) = ("", [])
      guard let colon = text.prefix(72).firstIndex(of: UInt8(ascii: ":")) else { continue }
      let name = storedText(text[..<colon]).lowercased()
      guard Self.keys.contains(name) else { continue }
      key = name
      value = Array(text[(colon + 1)...].prefix(textBytes))
    }
    keep(key, value)
  }

  private mutating func keep(_ key: String, _ value: [UInt8]) {
    if key.isEmpty { return }
    let text = value.withUnsafeBytes { storedText($0.trimmed) }
    if !text.isEmpty { values[key] = text }
  }

  private func value(_ keys: String...) -> String? { keys.lazy.compactMap { values[$0] }.first }

  /// What the archive says it is, with what its file name says where that is all there is; nil where no version is known.
  func coordinates(file: JavaCoordinates) -> JavaCoordinates? {
    var found = JavaCoordinates()
    let symbolicName = value("bundle-symbolicname").map { String($0.prefix { $0 != ";" }) }
    guard
      let version = value("implementation-version", "plugin-version", "bundle-version", "specification-version")
        ?? (file.version.isEmpty ? nil : file.version)
    else { return nil }
    found.version = version
    let titles = [value("short-name"), value("implementation-title"), value("extension-name")]
    // A file that has a version in its name is called by its artifact; titles are often written for people.
    found.artifact = file.artifact
    if file.version.isEmpty, let title = titles.lazy.compactMap(\.self).first(where: Self.isIdentifier) {
      found.artifact = title
    }
    found.group =
      [value("group-id"), value("implementation-vendor-id"), symbolicName.flatMap { Self.group($0, found.artifact) }]
      .lazy.compactMap(\.self).first(where: Self.isIdentifier) ?? Self.knownGroup(found.artifact) ?? ""
    return found.artifact.isEmpty ? nil : found
  }

  /// Of a bundle's name: what comes before the artifact, or else before its last part. Like a Java package, a group has two
  /// parts at least.
  private static func group(_ symbolicName: String, _ artifact: String) -> String? {
    let rest =
      symbolicName.hasSuffix("." + artifact)
      ? symbolicName.dropLast(artifact.count + 1)
      : symbolicName[..<(symbolicName.lastIndex(of: ".") ?? symbolicName.startIndex)]
    return rest.contains(".") ? String(rest) : nil
  }

  private static func isIdentifier(_ text: String) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
          true
        default: false
        }
      }
  }

  /// Of widely used projects whose archives do not say it.
  private static func knownGroup(_ artifact: String) -> String? {
    switch artifact {
    case "spring-aop", "spring-aspects", "spring-beans", "spring-context", "spring-context-support", "spring-core",
      "spring-expression", "spring-jcl", "spring-jdbc", "spring-jms", "spring-messaging", "spring-orm", "spring-oxm",
      "spring-test", "spring-tx", "spring-web", "spring-webflux", "spring-webmvc", "spring-websocket":
      "org.springframework"
    case _ where artifact.hasPrefix("spring-boot"): "org.springframework.boot"
    case _ where artifact.hasPrefix("spring-security-"): "org.springframework.security"
    case _ where artifact.hasPrefix("tomcat-embed-"): "org.apache.tomcat.embed"
    case _ where artifact.hasPrefix("kotlin-"): "org.jetbrains.kotlin"
    default: nil
    }
  }
}
