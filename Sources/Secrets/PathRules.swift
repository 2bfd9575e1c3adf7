import SecretRules

/// What a file's path says of its secrets.
struct PathRules {
  /// What is looked for in a file.
  enum Scope {
    /// Everything.
    case all
    /// Not what its form alone does not give away: files that others publish, and those full of sums and identifiers.
    case formsOnly
    /// Only tokens whose checksum holds: examples, documents and tests of what others publish.
    case provenOnly
  }

  let scope: Scope
  /// Names and values stand here as they are, without a programming language's quotes.
  let isConfiguration: Bool

  init(_ path: UnsafeRawBufferPointer) {
    let base = path[(path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...]
    let isPublished = Self.starts(path[...], with: Self.published) || Self.holds(path, of: Self.packages)
    if Self.starts(path[...], with: Self.documents) || isPublished && Self.holds(path, of: Self.trials) {
      scope = .provenOnly
    } else if isPublished || Self.ends(base, with: Self.sumFiles) {
      scope = .formsOnly
    } else {
      scope = .all
    }
    isConfiguration = !Self.ends(base, with: Self.programs)
  }

  func admits(_ rule: SecretRule) -> Bool {
    switch scope {
    case .all: true
    case .formsOnly: !rule.isVague
    case .provenOnly: rule.hasChecksum
    }
  }

  private static let documents: [StaticString] = [
    "usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/i18n/",
    "usr/share/zoneinfo/",
    "usr/share/help/", "usr/share/gtk-doc/", "usr/share/lintian/", "usr/share/mime/", "usr/share/perl",
    "usr/share/vim/",
    "var/lib/dpkg/", "var/lib/apt/", "var/lib/rpm/", "lib/apk/", "etc/ssl/certs/", "usr/share/ca-certificates/",
    "usr/local/share/doc/", "usr/local/share/man/",
  ]

  private static let published: [StaticString] = [
    "usr/share/", "usr/lib", "usr/include/", "usr/src/", "usr/local/go/", "usr/local/lib/python", "usr/local/lib/ruby",
    "opt/java/",
  ]

  /// Directories that package managers fill, wherever they are.
  private static let packages: [StaticString] = [
    "site-packages/", "dist-packages/", "node_modules/", "pkg/mod/", "vendor/", "gems/", ".m2/", ".cargo/registry/",
  ]

  /// Beginnings of directories and files in what others publish.
  private static let trials: [StaticString] = [
    "test/", "tests/", "testdata/", "testing/", "test_", "fixtures/", "example/", "examples/", "doc/", "docs/", "spec/",
    "__tests__/", "mock/", "mocks/", "demo/", "demos/", "sample/", "samples/", "readme", "changelog", "history",
  ]

  private static let programs: [StaticString] = [
    ".py", ".js", ".ts", ".jsx", ".tsx", ".mjs", ".cjs", ".go", ".rb", ".java", ".kt", ".scala", ".c", ".h", ".cc",
    ".cpp", ".hpp", ".cs", ".rs", ".php", ".pl", ".pm", ".swift", ".lua", ".vue", ".groovy", ".gradle", ".html", ".htm",
    ".css", ".scss", ".md", ".rst", ".tex", ".adoc", ".xsl", ".xsd", ".tcl", ".el", ".vim", ".m4", ".cmake", ".sql",
    ".tf",
  ]

  /// Lock files, what programs make for programs, and the public halves of keys.
  private static let sumFiles: [StaticString] = [
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "cargo.lock", "poetry.lock",
    "pipfile.lock",
    "go.sum", "composer.lock", "gemfile.lock", "packages.lock.json", "pdm.lock", "uv.lock", "flake.lock", "bun.lock",
    ".terraform.lock.hcl", ".min.js", ".min.css", ".bundle.js", ".svg", ".map", ".snap", ".crt", ".cer", ".sha256",
    ".md5",
    ".asc", ".ipynb", ".csv", ".po", ".deps.json",
  ]

  private static func ends(_ name: Slice<UnsafeRawBufferPointer>, with endings: [StaticString]) -> Bool {
    endings.contains { ending in
      name.count >= ending.utf8CodeUnitCount && starts(name.suffix(ending.utf8CodeUnitCount), with: ending)
    }
  }

  private static func starts(_ path: Slice<UnsafeRawBufferPointer>, with starts: [StaticString]) -> Bool {
    starts.contains { Self.starts(path, with: $0) }
  }

  private static func starts(_ path: Slice<UnsafeRawBufferPointer>, with start: StaticString) -> Bool {
    start.withUTF8Buffer { start in
      guard path.count >= start.count else { return false }
      var index = 0
      while index < start.count && path[path.startIndex + index].asciiLowercased == start[index] { index += 1 }
      return index == start.count
    }
  }

  /// Whether one of the parts begins at one of the path's components.
  private static func holds(_ path: UnsafeRawBufferPointer, of parts: [StaticString]) -> Bool {
    if starts(path[...], with: parts) { return true }
    return path.indices.contains { path[$0] == UInt8(ascii: "/") && starts(path[($0 + 1)...], with: parts) }
  }
}
