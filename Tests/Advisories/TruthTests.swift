import Glibc
import Matching
import Posix
import StorageMessages
import TestSupport
import Testing

@testable import Advisories

/// Packages and matches that the distributions' own tools found in real images, against ours.
@Suite(.enabled(if: Corpus.directory != nil, "the corpus is not beside this checkout"))
struct TruthTests {
  private static let systemTypes: Set<String> = ["apk", "deb", "rpm"]

  private struct Row {
    let image: String
    let expected: Set<[String]>
    let found: Set<[String]>
    var missing: Set<[String]> { expected.subtracting(found) }
    var extra: Set<[String]> { found.subtracting(expected) }
  }

  @Test func everyImageHasExactlyItsMatches() async throws {
    let scratch = try TemporaryDirectory()
    let database = try AdvisoryDatabase(directory: scratch.database)
    let uploads = try ["Alpine", "Debian", "AlmaLinux"].map {
      AdvisoryUpload(name: $0, file: try #require(Corpus.path("osv/\($0)/all.zip")))
    }
    let started = ContinuousClock.now
    let summary = try await database.importSets(uploads)
    let seconds = ContinuousClock.now - started
    #expect(summary.kept == 5_637 + 2_512 + 5_852)
    #expect(summary.skipped == 0, "\(summary.skippedNames)")
    print("imported \(summary.kept) records in \(seconds)")
    let snapshot = database.snapshot()
    var rows: [Row] = []
    for line in try Self.table("summary.tsv") {
      let name = line[0].map { ":@/".contains($0) ? "_" : String($0) }.joined()
      let os = line[7].split(separator: " ").map(String.init)
      guard os.count == 2, os[0] != "-" else { continue }
      rows.append(try Self.row(line[0], name, os: os, snapshot))
    }
    print("image\texpected\tfound\tmissing\textra")
    for row in rows {
      print("\(row.image)\t\(row.expected.count)\t\(row.found.count)\t\(row.missing.count)\t\(row.extra.count)")
      #expect(row.missing.isEmpty, "\(row.image)")
      #expect(row.extra.isEmpty, "\(row.image)")
    }
    #expect(rows.count > 15)
    #expect(rows.reduce(0) { $0 + $1.expected.count } > 400)
  }

  private static func row(_ image: String, _ name: String, os: [String], _ advisories: AdvisorySnapshot) throws -> Row {
    var release = OSRelease()
    (release.id, release.versionId) = (os[0], os[1])
    let packages = try table("\(name).packages.tsv").compactMap { fields -> InventoryPackage? in
      guard systemTypes.contains(fields[0]) else { return nil }
      var package = Package()
      (package.type, package.name, package.version, package.arch) = (fields[0], fields[1], fields[2], fields[3])
      (package.sourceName, package.sourceVersion) = (fields[4], fields[5])
      var item = InventoryPackage()
      item.package = package
      return item
    }
    let result = try Matcher.match(os: release, packages: packages, advisories: advisories)
    let hasMatches = access(try #require(Corpus.path("truth/\(name).matches.tsv")), R_OK) == 0
    let expected = hasMatches ? try table("\(name).matches.tsv").filter { systemTypes.contains($0[1]) } : []
    let found = result.findings.map {
      [$0.id, $0.package, $0.installedVersion, $0.fixedVersions.joined(separator: ",")]
    }
    #expect(Set(found).count == found.count, "\(image): one finding an advisory and package")
    // The recorded truth names the first fix alone.
    return Row(
      image: image, expected: Set(expected.map { [$0[0], $0[2], $0[3], $0[6]] }), found: Set(found))
  }

  /// The lines of a table below the corpus' truth, without its head.
  private static func table(_ name: String) throws -> [[String]] {
    let path = try #require(Corpus.path("truth/" + name))
    let text = String(decoding: try File.read(path, limit: 16 << 20), as: UTF8.self)
    return text.split(separator: "\n").dropFirst().map {
      $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
  }
}
