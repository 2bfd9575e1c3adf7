import Inventory
import StorageMessages
import Testing

@testable import Analysis

@Suite("What an answer may hold")
struct AnswerBoundsTests {
  /// The bounds that an answer's length depends on, and the answer's own, are made smaller by this.
  static let scale = 64

  static var limits: AnalysisLimits {
    var limits = AnalysisLimits.standard
    limits.entries /= scale
    limits.databaseFiles /= scale
    limits.keptPathBytes /= scale
    limits.packages /= scale
    limits.packageBytes /= scale
    limits.secrets /= scale
    limits.secretsBytes /= scale
    limits.fileFindings /= scale
    limits.faults /= scale
    return limits
  }

  static func long(_ start: String, _ number: Int, _ bytes: Int) -> String {
    let name = start + "\(number)-"
    // Components are no longer than others: only the whole counts.
    return name + String(repeating: "n", count: max(0, bytes - name.utf8.count))
  }

  static func named(_ path: String, _ entry: [UInt8]) -> [UInt8] { TarBuilder.long("L", path) + entry }

  /// A packed analysis of `archive`, which fills some of the bounds.
  static func packed(_ archive: [UInt8], _ search: LayerAnalyser.SecretSearch? = nil) throws -> (LayerAnalysis, Int) {
    let analysis = LayerAnalyser(limits: limits, secretSearch: search).analyse(MemorySource(archive + TarBuilder.end))
    let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
    return (analysis, answer.count - WorkerProtocol.headerBytes)
  }

  @Test("paths of databases count twice, as an answer says them twice")
  func databasePaths() throws {
    let files = (0..<300).flatMap { number in
      Self.named(
        Self.long("var/lib/dpkg/status.d/", number, 1_000), TarBuilder.file("x", "Package: p\(number)\nVersion: 1\n"))
    }
    let (analysis, length) = try Self.packed(files)
    #expect(codes(analysis) == ["LAYER_PATH_LIMIT"])
    #expect(length <= Self.limits.keptPathBytes + 10_000)
  }

  @Test("the target of a symbolic link counts for each hard link to it")
  func linkedTargets() throws {
    let first = "var/lib/dpkg/status.d/first"
    let links = (0..<300).flatMap { TarBuilder.hardLink("var/lib/dpkg/status.d/\($0)", first) }
    let target = TarBuilder.long("K", Self.long("elsewhere/", 0, 4_000)) + TarBuilder.symlink(first, "x")
    let (analysis, length) = try Self.packed(target + links)
    #expect(codes(analysis) == ["LAYER_PATH_LIMIT"])
    #expect(length <= Self.limits.keptPathBytes + 10_000)
  }

  @Test("an answer that fills every bound is no longer than it may be")
  func everyBound() throws {
    var archive: [UInt8] = []
    let limits = Self.limits
    // Faults, findings, secrets, packages, paths, and a great many entries.
    for number in 0..<limits.faults + 5 {
      let path = Self.long("node_modules/", number, 3_900) + "/package.json"
      archive += Self.named(path, TarBuilder.file("x", "{"))
    }
    for number in 0..<limits.fileFindings + 5 {
      archive += Self.named(
        Self.long("bin/", number, 4_000), TarBuilder.reseal(TarBuilder.file("x"), at: 100, Array("0004755\0".utf8)))
    }
    for number in 0..<limits.secrets + 5 { archive += TarBuilder.file("conf/\(number)", "secret") }
    let text = String(repeating: "v", count: 1_000)
    let stanzas = (0..<limits.packages).map { "P:p\($0)\nV:\(text)\nA:\(text)\no:\(text)\n\n" }.joined()
    archive += TarBuilder.file("lib/apk/db/installed", stanzas)
    let small = TarBuilder.file("x")
    for number in 0..<15_000 { archive += TarBuilder.reseal(small, at: 0, Array("e/\(number)".utf8)) }
    // Last, as it ends the reading.
    for number in 0..<limits.keptPathBytes / 2_000 {
      archive += Self.named(
        Self.long("var/lib/dpkg/status.d/", number, 2_000), TarBuilder.file("x", "Package: p\nVersion: 1\n"))
    }
    let (analysis, length) = try Self.packed(archive) { (file: LayerFile, found: inout [SecretRecord]) in
      guard file.path.starts(with: "conf/".utf8) else { return }
      var secret = SecretRecord()
      secret.rule = "generic-password"
      secret.path = Array(file.path)
      secret.line = 1
      secret.value = [UInt8](repeating: 120, count: AnalysisLimits.standard.secretBytes)
      secret.excerpt = String(repeating: "*", count: 700)
      found.append(secret)
    }
    #expect(
      Set(codes(analysis)) == [
        "DATABASE_MALFORMED", "LAYER_FAULT_LIMIT", "LAYER_FINDING_LIMIT", "LAYER_PACKAGE_LIMIT", "LAYER_PATH_LIMIT",
        "SECRET_LIMIT",
      ])
    #expect(analysis.fileFindings.count == limits.fileFindings && analysis.faults.count > limits.faults)
    #expect(length > WorkerProtocol.answerBytesMax / Self.scale / 2)
    // Entries that are not there are reckoned with.
    let entriesLeft = (limits.entries - Int(analysis.entries)) * PlacedPaths.hashBytes
    #expect(length + entriesLeft <= WorkerProtocol.answerBytesMax / Self.scale)
  }
}
