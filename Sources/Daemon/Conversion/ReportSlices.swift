import API
import Matching
import Model
import Pipeline
import RPC
import StorageMessages

/// A report larger than a message is read in slices: the first holds all but the tail of the findings and packages, each
/// next one goes on with these alone.
enum ReportSlices {
  /// Well below a frame; what counts is an estimate.
  private static let bytesMaximum = 2 << 20
  private static let noteCharactersMaximum = 1000
  private static let notesMaximum = 500

  /// Where the next slice begins, and in which state of the report.
  private struct Position {
    var finding = 0
    var package = 0
    var lockedPackage = 0
    let scannedAt: Int64
    let matchedAt: Int64

    init(of report: ReportRecord) {
      scannedAt = report.scannedAt
      matchedAt = report.matchedAt
    }

    init(token: String) throws {
      let parts = try Paging.position(token).split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 5, let finding = Int(parts[0]), let package = Int(parts[1]),
        let lockedPackage = Int(parts[2]), let scannedAt = Int64(parts[3]), let matchedAt = Int64(parts[4])
      else { throw Paging.malformed() }
      (self.finding, self.package, self.lockedPackage) = (finding, package, lockedPackage)
      (self.scannedAt, self.matchedAt) = (scannedAt, matchedAt)
    }

    var token: String { Paging.token("\(finding) \(package) \(lockedPackage) \(scannedAt) \(matchedAt)") }
  }

  static func slice(
    _ record: ReportRecord, reference: String, digest: String, token: String
  ) throws -> API.Report {
    var position = Position(of: record)
    var report = API.Report()
    var bytes = 0
    if token.isEmpty {
      report = head(record, reference: reference, digest: digest)
      bytes = report.layers.reduce(4096) { $0 + 64 + $1.createdBy.utf8.count + $1.digest.utf8.count }
      bytes += report.notes.reduce(0) { $0 + 8 + $1.utf8.count }
    } else {
      position = try Position(token: token)
      guard position.scannedAt == record.scannedAt, position.matchedAt == record.matchedAt else {
        throw RPCError(
          .aborted, reason: "REPORT_CHANGED", "the report was made anew while it was being read", hint: "read it again")
      }
      guard (0...record.findings.count).contains(position.finding),
        (0...record.packages.count).contains(position.package),
        (0...record.lockedPackages.count).contains(position.lockedPackage)
      else { throw Paging.malformed() }
    }
    while position.finding < record.findings.count, bytes < bytesMaximum {
      let converted = API.Finding(record.findings[position.finding], layers: record.layers)
      bytes += size(converted)
      report.findings.append(converted)
      position.finding += 1
    }
    while position.package < record.packages.count, bytes < bytesMaximum {
      let converted = API.Package(record.packages[position.package], layers: record.layers)
      bytes += size(converted)
      report.packages.append(converted)
      position.package += 1
    }
    while position.lockedPackage < record.lockedPackages.count, bytes < bytesMaximum {
      let converted = API.Package(record.lockedPackages[position.lockedPackage], layers: record.layers)
      bytes += size(converted)
      report.lockedPackages.append(converted)
      position.lockedPackage += 1
    }
    if position.finding < record.findings.count || position.package < record.packages.count
      || position.lockedPackage < record.lockedPackages.count
    {
      report.nextPageToken = position.token
    }
    return report
  }

  private static func head(_ record: ReportRecord, reference: String, digest: String) -> API.Report {
    var report = API.Report()
    report.reference = reference
    report.digest = digest
    report.platform = record.platform
    if let os = record.os {
      var system = OperatingSystem()
      system.id = os.id
      system.version = os.versionId
      system.prettyName = os.prettyName
      if let end = EndOfLife(os) {
        system.endOfLife = end.date
        system.isPastEndOfLife = end.isPast(on: Model.Timestamp(nanosecondsSince1970: record.matchedAt).date)
      }
      report.os = system
    }
    report.layers = record.layers.map(API.Layer.init)
    report.createdAt = API.Timestamp(nanoseconds: record.createdAt)
    report.scannedAt = API.Timestamp(nanoseconds: record.scannedAt)
    report.matchedAt = API.Timestamp(nanoseconds: record.matchedAt)
    report.malware = record.malware.map(API.MalwareSummary.init)
    report.notes = notes(record.notes + record.matchNotes)
    report.counts = API.SeverityCounts(record.findings.severityCounts)
    return report
  }

  private static func notes(_ all: [String]) -> [String] {
    let shown = all.prefix(notesMaximum).map { $0.excerpt(maximumScalars: noteCharactersMaximum) }
    return all.count > notesMaximum ? shown + ["\(all.count - notesMaximum) more notes are left out"] : shown
  }

  private static func size(_ finding: API.Finding) -> Int {
    let texts = [
      finding.id, finding.package, finding.installedVersion, finding.path, finding.layer, finding.title,
      finding.cvssVector, finding.packageType, finding.remedy, finding.excerpt, finding.fingerprint,
      finding.removedByLayer,
    ]
    return 64 + (texts + finding.aliases + finding.fixedVersions).reduce(0) { $0 + 4 + $1.utf8.count }
  }

  private static func size(_ package: API.Package) -> Int {
    let texts = [
      package.name, package.version, package.type, package.arch, package.purl, package.layer, package.sourceName,
      package.sourceVersion, package.path,
    ]
    return 32 + texts.reduce(0) { $0 + 4 + $1.utf8.count }
  }
}
