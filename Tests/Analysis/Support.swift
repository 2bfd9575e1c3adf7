import Analysis
import FoundationEssentials
import Inventory
import StorageMessages
import TestSupport

func fixture(_ name: String) throws -> [UInt8] {
  try Array(Data(contentsOf: URL(filePath: Corpus.checkout + "/Tests/Analysis/Fixtures/" + name)))
}

/// A file in a layer.
func file(_ path: String, in layer: [UInt8]) throws -> [UInt8] {
  let reader = TarReader(try LayerStream(MemorySource(layer)))
  var bytes: [UInt8] = []
  while try reader.next() {
    if reader.pathBytes == Array(path.utf8) { try reader.readBody(into: &bytes, limit: .max) }
  }
  return bytes
}

func analyse(_ bytes: [UInt8], limits: AnalysisLimits = .standard, pieceBytes: Int = 256 << 10) -> LayerAnalysis {
  LayerAnalyser(limits: limits).analyse(MemorySource(bytes, pieceBytes: pieceBytes))
}

func codes(_ analysis: LayerAnalysis) -> [String] { analysis.faults.map(\.code) }
func codes(_ inventory: MergedInventory) -> [String] { inventory.findings.map(\.id) }

extension Package {
  /// As the tables of expected packages have them.
  var row: String { [type, name, version, arch, sourceName, sourceVersion].joined(separator: "\t") }
}

func rows(_ packages: [Package]) -> [String] { packages.map(\.row).sorted() }
func rows(_ analysis: LayerAnalysis) -> [String] { rows(analysis.databases.flatMap(\.packages)) }
func rows(_ inventory: MergedInventory) -> [String] { rows(inventory.packages.compactMap(\.package)) }

func tableRows(_ table: [UInt8]) -> [String] {
  String(decoding: table, as: UTF8.self).split(separator: "\n").map(String.init).sorted()
}

/// Kind, path and stored size of every entry, as the reader sees them.
func list(_ archive: [UInt8], pieceBytes: Int = 256 << 10) -> (entries: [String], error: LayerError?) {
  let reader = TarReader(MemorySource(archive, pieceBytes: pieceBytes))
  var entries: [String] = []
  do throws(LayerError) {
    while try reader.next() {
      entries.append("\(reader.kind) \(String(decoding: reader.pathBytes, as: UTF8.self)) \(reader.size)")
    }
    return (entries, nil)
  } catch {
    return (entries, error)
  }
}

let apkStanza = "P:musl\nV:1.2.4-r2\nA:x86_64\no:musl\n\n"

func dpkgStatus(_ names: String..., version: String = "1.0") -> String {
  names.map { "Package: \($0)\nStatus: install ok installed\nVersion: \(version)\nArchitecture: all\n\n" }.joined()
}
