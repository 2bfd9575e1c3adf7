import Inventory
import StorageMessages
import TestSupport
import Testing

@testable import Analysis

/// The databases of `Fixtures/rpm-formats`, as rpm and Berkeley DB write them.
enum RPMFormat: String, CaseIterable {
  case ndb
  case bdbLittle = "bdb-little"
  case bdbBig = "bdb-big"
  case bdbPages = "bdb-pages"
  case wal

  static let directory = "var/lib/rpm/"

  var path: String {
    switch self {
    case .ndb: Self.directory + "Packages.db"
    case .bdbLittle, .bdbBig, .bdbPages: Self.directory + "Packages"
    case .wal: Self.directory + "rpmdb.sqlite"
    }
  }

  func layer() throws -> [UInt8] { try fixture("rpm-formats/\(rawValue).tar.zst") }
  func bytes() throws -> [UInt8] { try file(path, in: layer()) }

  static func expected() throws -> [String] { tableRows(try fixture("rpm-formats/packages.tsv")) }

  func analyse(_ bytes: [UInt8]) -> LayerAnalysis {
    AnalysisTests.analyse(TarBuilder.archive(TarBuilder.file(path, bytes)))
  }
}

@Suite("rpm databases in the formats of rpm's ages")
struct RPMFormatTests {
  @Test("packages of every format are those that rpm lists", arguments: RPMFormat.allCases)
  func truth(format: RPMFormat) throws {
    for pieceBytes in [1_000, 256 << 10] {
      let analysis = analyse(try format.layer(), pieceBytes: pieceBytes)
      #expect(codes(analysis).isEmpty)
      #expect(rows(analysis) == (try RPMFormat.expected()))
      #expect(analysis.databases.first?.kind == "rpm")
    }
  }

  @Test(
    "a single package's Berkeley DB of another distribution is read",
    .enabled(if: Corpus.directory != nil, "the corpus is not there"))
  func onePackage() throws {
    let analysis = RPMFormat.bdbLittle.analyse(try CorpusTests.read("rpmdb/one-package.Packages"))
    #expect(codes(analysis).isEmpty)
    #expect(rows(analysis) == ["rpm\tlibuuid\t2.32.1-42.el8_8\tx86_64\tutil-linux\t2.32.1-42.el8_8"])
  }

  @Test(
    "what is no such file is told, and so is one cut anywhere, which keeps what is there", arguments: RPMFormat.allCases
  )
  func cut(format: RPMFormat) throws {
    #expect(codes(format.analyse(Array("x".utf8))) == ["DATABASE_MALFORMED"])
    let bytes = try format.bytes()
    let expected = Set(try RPMFormat.expected())
    var kept = 0
    // The last blocks of a database may be free.
    for length in stride(from: 0, to: bytes.count * 9 / 10, by: 2_039) {
      let analysis = format.analyse(Array(bytes[..<length]))
      #expect(!analysis.faults.isEmpty, "\(length)")
      let found = rows(analysis)
      #expect(expected.isSuperset(of: found) && found.count >= kept, "\(length)")
      kept = found.count
    }
    // SQLite reads nothing of a file that is shorter than its header says.
    let keptInTheEnd: [RPMFormat: Int] = [.ndb: 1, .bdbLittle: 2, .bdbBig: 2, .bdbPages: 3, .wal: 0]
    #expect(kept == keptInTheEnd[format])
  }

  @Test("a database over its bound is read as far as it goes, and told", arguments: [RPMFormat.ndb, .bdbBig])
  func tooLarge(format: RPMFormat) throws {
    var limits = AnalysisLimits.standard
    limits.fileBytes = try format.bytes().count / 4
    let analysis = analyse(try format.layer(), limits: limits)
    #expect(codes(analysis).contains("FILE_TOO_LARGE"))
    #expect(codes(analysis).contains("DATABASE_MALFORMED"))
    #expect(Set(try RPMFormat.expected()).isSuperset(of: rows(analysis)))
  }

  @Test("texts over their bound make headers malformed, in every format", arguments: RPMFormat.allCases)
  func longTexts(format: RPMFormat) throws {
    var limits = AnalysisLimits.standard
    limits.textBytes = 2
    let analysis = analyse(try format.layer(), limits: limits)
    #expect(codes(analysis) == ["DATABASE_MALFORMED"])
    #expect(RPMHostileTests.messages(analysis).contains("over 2 bytes"))
    #expect(rows(analysis).isEmpty)
  }

  @Test("time that is used up ends the reading of a database", arguments: RPMFormat.allCases)
  func timeIsUp(format: RPMFormat) throws {
    var bytes = try format.bytes()
    var collector = PackageCollector(limits: .standard)
    func stop() throws(LayerError) { throw LayerError(.cpuLimit, "time is up") }
    #expect(throws: LayerError(.cpuLimit, "time is up")) {
      switch format {
      case .ndb:
        _ = try bytes.withBytes { (file) throws(LayerError) in try RPMNDB.read(file, into: &collector, checkTime: stop)
        }
      case .wal: _ = try RPMSQLite.read(&bytes, into: &collector, checkTime: stop)
      default:
        _ = try bytes.withBytes { (file) throws(LayerError) in
          try RPMBerkeley.read(file, into: &collector, checkTime: stop)
        }
      }
    }
  }

  @Test("whatever is damaged, the readers end, and list no more than there was room for", arguments: RPMFormat.allCases)
  func noise(format: RPMFormat) throws {
    let whole = try format.bytes()
    var random = FixedRandom(state: 20_250_101)
    var listed = 0
    for _ in 0..<(format == .wal ? 50 : 500) {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...6, using: &random) {
        let reach = Bool.random(using: &random) ? bytes.count : min(bytes.count, 1_024)
        let at = Int.random(in: 0..<reach, using: &random)
        bytes[at] =
          [0, 0xff, bytes[at] ^ 1, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random) ?? 0
      }
      if Int.random(in: 0..<8, using: &random) == 0 {
        bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
      }
      let analysis = format.analyse(bytes)
      let found = rows(analysis)
      #expect(found.count <= 64)
      listed += found.count
      let answer = try #require(WorkerProtocol.encodeAnswer(analysis))
      #expect(try WorkerProtocol.decodeAnswer(answer) == analysis)
    }
    // The damage did not hide everything.
    #expect(listed > 50)
  }
}
