import Inventory
import StorageMessages
import TestSupport
import Testing

@testable import Analysis

/// Files of languages' packages in real images, against what the languages' own tools list in them.
@Suite("Corpus of real images: languages' packages", .enabled(if: Corpus.directory != nil, "the corpus is not there"))
struct LanguageCorpusTests {
  /// `type name version` of what files of the image list, lock files apart.
  private static func found(in image: CorpusTests.Image) throws -> (
    installed: Set<String>, locked: Set<String>, errors: [LayerError]
  ) {
    var (installed, locked): (Set<String>, Set<String>) = ([], [])
    var errors: [LayerError] = []
    for layer in image.layers {
      let stream = try LayerStream(MemorySource(try CorpusTests.blob(layer.digest)))
      let reader = TarReader(stream)
      while try reader.next() {
        guard reader.kind == .file else { continue }
        var body: [UInt8] = []
        try reader.readBody(into: &body, limit: 64 << 20)
        let named = LanguageFile.of(path: reader.path.bytes)
        guard let kind = named ?? body.withUnsafeBytes({ LanguageFile.ofContents($0) }) else { continue }
        let path = String(decoding: reader.pathBytes, as: UTF8.self)
        let result = parse(kind, body, path: path)
        errors += result.errors
        let rows = result.packages.map { "\($0.type) \($0.name) \($0.version)" }
        if kind.isLockFile { locked.formUnion(rows) } else { installed.formUnion(rows) }
      }
    }
    return (installed, locked, errors)
  }

  private static func expected(_ image: String, _ types: String...) throws -> Set<String> {
    Set(
      try tableRows(CorpusTests.read("truth/\(image).packages.tsv")).compactMap { row in
        let columns = row.split(separator: "\t", omittingEmptySubsequences: false)
        guard types.contains(String(columns[0])) else { return nil }
        return "\(columns[0].prefix { $0 != "-" }) \(columns[1]) \(columns[2])"
      })
  }

  @Test("packages of languages are those that their tools list", arguments: ["app_python", "app_npm", "app_go"])
  func packages(name: String) throws {
    let image = try #require(try CorpusTests.images().first { $0.name == name })
    let found = try Self.found(in: image)
    let expected = try Self.expected(name, "pypi", "npm", "golang")
    print(name, "expected", expected.count, "found", found.installed.count, "locked", found.locked.count)
    #expect(found.installed.subtracting(expected).isEmpty, "\(found.installed.subtracting(expected).sorted())")
    #expect(expected.subtracting(found.installed).isEmpty, "\(expected.subtracting(found.installed).sorted())")
    #expect(found.errors.isEmpty)
    if name == "app_npm" { #expect(found.locked == (try Self.expected(name, "npm-lock", "npm-lock-dev"))) }
  }

  @Test("no other image has any, and none of their files is found at fault")
  func others() throws {
    for image in try CorpusTests.images() where !image.name.hasPrefix("app_") {
      let found = try Self.found(in: image)
      #expect(found.installed.isEmpty, "\(image.name)")
      #expect(found.errors.isEmpty, "\(image.name): \(found.errors)")
    }
  }
}
