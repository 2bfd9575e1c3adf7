import API
import Pipeline
import StorageMessages

/// A report larger than a message is read in slices: each carries the head, and goes on with findings, then packages.
enum ReportSlices {
  /// Well below a frame; what counts is an estimate.
  private static let bytesMaximum = 2 << 20

  static func slice(
    _ record: ReportRecord, reference: String, digest: String, token: String
  ) throws -> API.Report {
    var (finding, package) = try token.isEmpty ? (0, 0) : start(of: token)
    guard (0...record.findings.count).contains(finding), (0...record.packages.count).contains(package) else {
      throw Paging.malformed()
    }
    var report = head(record, reference: reference, digest: digest)
    var bytes = report.layers.reduce(4096) { $0 + 64 + $1.createdBy.utf8.count + $1.digest.utf8.count }
    while finding < record.findings.count, bytes < bytesMaximum {
      let converted = API.Finding(record.findings[finding], layers: record.layers)
      bytes += size(converted)
      report.findings.append(converted)
      finding += 1
    }
    while package < record.packages.count, bytes < bytesMaximum {
      let converted = API.Package(record.packages[package], layers: record.layers)
      bytes += size(converted)
      report.packages.append(converted)
      package += 1
    }
    if finding < record.findings.count || package < record.packages.count {
      report.nextPageToken = Paging.token("\(finding) \(package)")
    }
    return report
  }

  private static func start(of token: String) throws -> (finding: Int, package: Int) {
    let parts = try Paging.position(token).split(separator: " ").compactMap { Int($0) }
    guard parts.count == 2 else { throw Paging.malformed() }
    return (parts[0], parts[1])
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
      report.os = system
    }
    report.layers = record.layers.map(API.Layer.init)
    report.createdAt = API.Timestamp(nanoseconds: record.createdAt)
    report.scannedAt = API.Timestamp(nanoseconds: record.scannedAt)
    report.matchedAt = API.Timestamp(nanoseconds: record.matchedAt)
    report.notes = record.notes + record.matchNotes
    report.counts = API.SeverityCounts(record.findings.severityCounts)
    return report
  }

  private static func size(_ finding: API.Finding) -> Int {
    let texts = [
      finding.id, finding.package, finding.installedVersion, finding.path, finding.layer, finding.title,
      finding.cvssVector, finding.packageType,
    ]
    return 64 + (texts + finding.aliases + finding.fixedVersions).reduce(0) { $0 + 4 + $1.utf8.count }
  }

  private static func size(_ package: API.Package) -> Int {
    let texts = [
      package.name, package.version, package.type, package.arch, package.purl, package.layer, package.sourceName,
      package.sourceVersion,
    ]
    return 32 + texts.reduce(0) { $0 + 4 + $1.utf8.count }
  }
}
