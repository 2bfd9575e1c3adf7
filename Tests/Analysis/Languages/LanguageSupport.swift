import Inventory
import StorageMessages

@testable import Analysis

/// Packages that a file is found to list, as `name version` or `name version platform`, and the codes of what is wrong with it.
struct Listing: Equatable {
  var packages: [String] = []
  var codes: [String] = []
}

func parse(
  _ kind: LanguageFile, _ bytes: [UInt8], path: String = "x", size: Int? = nil, limits: AnalysisLimits = .standard
) -> (packages: [Package], errors: [LayerError]) {
  var collector = PackageCollector(limits: limits)
  var errors: [LayerError] = []
  bytes.withUnsafeBytes { contents in
    Array(path.utf8).withUnsafeBytes { path in
      let file = LayerFile(path: path, mode: 0o644, size: size ?? contents.count, bytes: contents)
      do throws(LayerError) {
        errors = try kind.parse(file, into: &collector) { () throws(LayerError) in }
      } catch {
        errors = [error]
      }
    }
  }
  let (database, more) = collector.takeDatabase(kind: kind.databaseKind, path: Array(path.utf8))
  return (database.packages, errors + more)
}

func list(
  _ kind: LanguageFile, _ bytes: [UInt8], path: String = "x", size: Int? = nil, limits: AnalysisLimits = .standard
) -> Listing {
  let found = parse(kind, bytes, path: path, size: size, limits: limits)
  return Listing(
    packages: found.packages.map { "\($0.name) \($0.version)" + ($0.arch.isEmpty ? "" : " \($0.arch)") }.sorted(),
    codes: found.errors.map(\.code.rawValue))
}

func list(_ kind: LanguageFile, _ text: String, path: String = "x") -> Listing {
  list(kind, Array(text.utf8), path: path)
}

/// A fixture packed by gzip.
func unpackedFixture(_ name: String) throws -> [UInt8] {
  let source = GzipSource(MemorySource(try fixture(name), pieceBytes: 64 << 10))
  var bytes: [UInt8] = []
  while true {
    let chunk = try source.next()
    if chunk.isEmpty { return bytes }
    bytes += chunk
  }
}

func lines(_ name: String) throws -> [String] {
  String(decoding: try fixture(name), as: UTF8.self).split(separator: "\n").map(String.init)
}
