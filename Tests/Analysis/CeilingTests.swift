import Inventory
import StorageMessages
import Testing

@testable import Analysis

/// Published ceilings (README.md, "What is found") at their real numbers, each just within and just over. Those that the whole
/// daemon is needed for are in `Tests/Integration/test_ceilings.py`; `Tests/README.md` says which test drives which.
@Suite("Ceilings at their real numbers")
struct CeilingTests {
  // MARK: - Of one layer

  @Test("packages have 20 MiB of texts")
  func packageTexts() {
    var collector = PackageCollector(limits: .standard)
    // Each counts 1,024 bytes.
    func package(_ number: Int) -> Package {
      var package = Package()
      (package.type, package.name, package.version) = ("apk", String(100_000 + number), "1")
      package.sourceName = String(repeating: "s", count: 1_024 - 64 - 6 - 1)
      return package
    }
    for number in 0..<20_480 { collector.add(package(number)) }
    #expect(!collector.isFull && collector.packages.count == 20_480)
    collector.add(package(20_480))
    #expect(collector.isFull && collector.packages.count == 20_480)
  }

  @Test("secrets have 8 MiB", arguments: [(1_024, [String]()), (1_025, ["SECRET_LIMIT"])])
  func secretBytes(count: Int, told: [String]) {
    let search: LayerAnalyser.SecretSearch = { file, found throws(LayerError) in
      // Each counts 8,192 bytes.
      var secret = SecretRecord()
      secret.path = Array(file.path)
      secret.value = [UInt8](repeating: 0x78, count: 8_000)
      secret.excerpt = String(repeating: "*", count: 192 - 32)
      found.append(secret)
    }
    let layer = (0..<count).flatMap { TarBuilder.file("srv/\($0)", "x") } + TarBuilder.end
    let analysis = LayerAnalyser(secretSearch: search).analyse(MemorySource(layer))
    #expect(codes(analysis) == told)
    #expect(analysis.secrets.count == 1_024)
  }

  @Test("paths kept have 12 MiB", arguments: [(3_072, [String]()), (3_073, ["LAYER_PATH_LIMIT"])])
  func keptPaths(count: Int, told: [String]) {
    // Each counts 4,096 bytes.
    let rest = String(repeating: "x", count: 4_080 - 4)
    let layer =
      (0..<count).flatMap { TarBuilder.long("L", ".wh.\(1_000 + $0)\(rest)") + TarBuilder.file("x") } + TarBuilder.end
    let analysis = analyse(layer)
    #expect(codes(analysis) == told)
    #expect(analysis.whiteouts.count == count)
  }

  @Test("an rpm database in SQLite and its log have 64 MiB together")
  func heldDatabases() throws {
    let database = try RPMLogTests.database()
    let log = try RPMLogTests.log()
    func analysis(_ bytes: Int) throws -> LayerAnalysis {
      try RPMLogTests.analyseBoth(log + [UInt8](repeating: 0, count: bytes - database.count - log.count))
    }
    let within = try analysis(64 << 20)
    #expect(codes(within).isEmpty && RPMLogTests.names(within) == RPMLogTests.after)
    let over = try analysis(64 << 20 + 1)
    #expect(codes(over) == ["DATABASE_INCOMPLETE"] && RPMLogTests.names(over) == RPMLogTests.before)
  }

  // MARK: - Of one image

  /// So many layers of a thousand each, and one of what is left.
  private func merged(_ count: Int, _ fill: (inout LayerAnalysis, Range<Int>) -> [FileMalware]) -> MergedInventory {
    var merger = InventoryMerger()
    for start in stride(from: 0, to: count, by: 1_000) {
      var layer = LayerAnalysis()
      let malware = fill(&layer, start..<min(count, start + 1_000))
      merger.add(layer, malware: malware)
    }
    return merger.result()
  }

  @Test("files with odd modes: 10,000", arguments: [(10_000, [String]()), (10_001, ["INVENTORY_LIMIT"])])
  func oddModes(count: Int, told: [String]) {
    let inventory = merged(count) { layer, numbers in
      layer.fileFindings = numbers.map { number in
        var finding = FileFinding()
        finding.path = Array("bin/\(number)".utf8)
        return finding
      }
      return []
    }
    #expect(inventory.fileFindings.count == 10_000)
    #expect(codes(inventory) == told)
  }

  @Test("secrets: 10,000", arguments: [(10_000, [String]()), (10_001, ["INVENTORY_LIMIT"])])
  func secrets(count: Int, told: [String]) {
    let inventory = merged(count) { layer, numbers in
      layer.secrets = numbers.map { number in
        var secret = SecretRecord()
        secret.path = Array("srv/\(number)".utf8)
        return secret
      }
      return []
    }
    #expect(inventory.secrets.count == 10_000)
    #expect(codes(inventory) == told)
  }

  @Test("files with malware: 10,000", arguments: [(10_000, [String]()), (10_001, ["INVENTORY_LIMIT"])])
  func malware(count: Int, told: [String]) {
    let inventory = merged(count) { _, numbers in
      numbers.map { number in
        var file = FileMalware()
        file.path = Array("opt/\(number)".utf8)
        return file
      }
    }
    #expect(inventory.malware.count == 10_000)
    #expect(codes(inventory) == told)
  }

  @Test("faults: 5,000", arguments: [5_000, 5_001])
  func faults(count: Int) {
    let inventory = merged(count) { layer, numbers in
      var fault = LayerFault()
      fault.code = "FILE_SPARSE"
      layer.faults = Array(repeating: fault, count: numbers.count)
      return []
    }
    #expect(inventory.findings.prefix(5_000).allSatisfy { $0.id == "FILE_SPARSE" })
    #expect(inventory.findings.dropFirst(5_000).map(\.id) == (count > 5_000 ? ["INVENTORY_LIMIT"] : []))
  }

  @Test("packages: 250,000, replaced ones included", arguments: [(10_000, [String]()), (10_001, ["INVENTORY_LIMIT"])])
  func packages(last: Int, told: [String]) {
    var merger = InventoryMerger()
    for number in 0..<4 {
      var database = PackageDatabase()
      (database.kind, database.path) = ("npm", Array((number < 3 ? "srv/same" : "srv/last").utf8))
      var package = Package()
      (package.type, package.name, package.version) = ("npm", "p\(number)", "1")
      database.packages = Array(repeating: package, count: number < 3 ? 80_000 : last)
      var layer = LayerAnalysis()
      layer.databases = [database]
      merger.add(layer)
    }
    #expect(codes(merger.result()) == told)
  }
}
