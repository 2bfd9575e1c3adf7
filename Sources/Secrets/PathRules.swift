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
    let isPublished = Self.holds(path, of: Self.published)
    if Self.starts(path, with: Self.documents) || isPublished && Self.holds(path, of: Self.trials) {
      scope = .provenOnly
    } else if isPublished || Self.isSumFile(base) {
      scope = .formsOnly
    } else {
      scope = .all
    }
    isConfiguration = !Self.hasEnding(base, of: Self.programs)
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
    "usr/share/", "usr/lib/", "usr/lib64/", "usr/include/", "usr/src/", "site-packages/", "dist-packages/",
    "node_modules/",
    "/pkg/mod/", "usr/local/go/", "vendor/github.com/", "/gems/", "/.m2/repository/", "/.cargo/registry/",
    "usr/local/lib/python",
    "usr/local/lib/ruby", "/lib/perl5/", "opt/java/", "usr/lib32/",
  ]

  private static let trials: [StaticString] = [
    "/test/", "/tests/", "/testdata/", "/testing/", "/fixtures/", "/example/", "/examples/", "/doc/", "/docs/",
    "/spec/",
    "/__tests__/", "/mock/", "/mocks/", "_test.", ".test.", "/demo/", "/demos/", "/samples/", "/sample/", "/test_",
    "readme",
  ]

  private static let programs: [StaticString] = [
    ".py", ".js", ".ts", ".jsx", ".tsx", ".mjs", ".cjs", ".go", ".rb", ".java", ".kt", ".scala", ".c", ".h", ".cc",
    ".cpp", ".hpp",
    ".cs", ".rs", ".php", ".pl", ".pm", ".swift", ".lua", ".vue", ".groovy", ".gradle", ".html", ".htm", ".css",
    ".scss", ".md",
    ".rst", ".tex", ".adoc", ".xsl", ".xsd", ".tcl", ".el", ".vim", ".m4", ".cmake", ".sql", ".tf",
  ]

  private static let sumFiles: [StaticString] = [
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "cargo.lock", "poetry.lock",
    "pipfile.lock", "go.sum",
    "composer.lock", "gemfile.lock", "packages.lock.json", "pdm.lock", "uv.lock", "flake.lock", "bun.lock",
    ".terraform.lock.hcl",
    ".min.js", ".min.css", ".svg", ".map", ".snap", ".pem.pub", ".crt", ".cer", ".sha256", ".md5", ".asc", ".ipynb",
    ".csv", ".po",
    ".bundle.js", ".deps.json",
  ]

  private static func isSumFile(_ base: Slice<UnsafeRawBufferPointer>) -> Bool { hasEnding(base, of: sumFiles) }

  private static func hasEnding(_ name: Slice<UnsafeRawBufferPointer>, of endings: [StaticString]) -> Bool {
    endings.contains { ending in
      ending.withUTF8Buffer { ending in
        name.count >= ending.count
          && zip(name.suffix(ending.count), ending).allSatisfy { TokenChecks.lowercased($0) == $1 }
      }
    }
  }

  private static func starts(_ path: UnsafeRawBufferPointer, with starts: [StaticString]) -> Bool {
    starts.contains { start in start.withUTF8Buffer { path.starts(with: $0) } }
  }

  private static func holds(_ path: UnsafeRawBufferPointer, of parts: [StaticString]) -> Bool {
    parts.contains { part in
      part.withUTF8Buffer { part in
        guard path.count >= part.count else { return false }
        // A part that begins at a component may stand at the very beginning too.
        let bare = part.first == UInt8(ascii: "/") ? UnsafeBufferPointer(rebasing: part.dropFirst()) : part
        if path.starts(with: bare) { return true }
        return (0...(path.count - part.count)).contains { start in
          var index = 0
          while index < part.count && TokenChecks.lowercased(path[start + index]) == part[index] { index += 1 }
          return index == part.count
        }
      }
    }
  }
}
