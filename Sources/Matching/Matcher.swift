import Model
import StorageMessages

/// The vulnerabilities of an inventory, and what could not be answered.
package struct MatchResult: Sendable, Equatable {
  /// Severity descending, then advisory, package and version.
  package var findings: [FindingRecord] = []
  /// Said to people: an unknown distribution, a release without advisories.
  package var notes: [String] = []
}

/// Matches packages against advisories: pure, and the same for the same inputs.
package enum Matcher {
  /// Vulnerabilities of one image; those of real ones are some thousands. More are left out, which is said by a finding.
  package static let findingsMax = 50_000
  /// Of that finding.
  package static let limit = "MATCH_LIMIT"

  /// One finding for each advisory and installed package (name, version and architecture). Throws what `advisories` does.
  package static func match(
    os: OSRelease?, packages: [InventoryPackage], advisories: some AdvisorySource,
    findingsMax: Int = Matcher.findingsMax
  ) throws -> MatchResult {
    var result = MatchResult()
    guard let os, let distribution = Distribution(os) else {
      result.notes.append(unknownDistribution(os, packages))
      return result
    }
    let known = try distribution.ecosystems.filter { try advisories.advisoryCount(ecosystem: $0) > 0 }
    if known.isEmpty, let name = distribution.ecosystems.first {
      result.notes.append(
        "no advisories for \(name) in the advisory database: vulnerabilities of its packages are unknown")
    }
    var others: [String: Int] = [:]
    var seen: Set<Installed> = []
    for item in packages {
      guard let package = item.package, seen.insert(Installed(package)).inserted else { continue }
      guard package.type == distribution.packageType else {
        others[package.type, default: 0] += 1
        continue
      }
      // One over is enough to know that there are more.
      if result.findings.count > findingsMax { continue }
      for (id, match) in try matches(of: package, distribution, known, advisories) {
        guard let advisory = try advisories.advisory(id: id), advisory.withdrawnAt == 0 else { continue }
        result.findings.append(finding(advisory, match, item, package))
      }
    }
    for (type, count) in others.sorted(by: { $0.key < $1.key }) {
      let why =
        Distribution.packageTypes.contains(type)
        ? "\(os.id) is made of \(distribution.packageType) packages" : "only packages of distributions are, so far"
      result.notes.append("\(count) \(type) \(count == 1 ? "package" : "packages") not matched: \(why)")
    }
    result.findings.sort(by: isBefore)
    if result.findings.count > findingsMax {
      result.findings.removeLast(result.findings.count - findingsMax)
      result.findings.append(limitFinding(findingsMax))
    }
    return result
  }

  private static func limitFinding(_ findingsMax: Int) -> FindingRecord {
    var finding = FindingRecord()
    finding.kind = .error
    finding.id = limit
    finding.title =
      "the image has more than \(findingsMax) vulnerabilities; those of the packages after them in the list are left out"
    finding.layer = -1
    return finding
  }

  private struct Installed: Hashable {
    let type, name, version, arch: String

    init(_ package: Package) {
      (type, name, version, arch) = (package.type, package.name, package.version, package.arch)
    }
  }

  /// What an advisory says of one package, from all its entries that concern it.
  private struct Match {
    var fixes: [String] = []
    var severities: [SeverityVector] = []
  }

  /// By advisory: a release may be known under two names, and an advisory may name both, or several entries.
  private static func matches(
    of package: Package, _ distribution: Distribution, _ ecosystems: [String], _ advisories: some AdvisorySource
  ) throws -> [String: Match] {
    var matches: [String: Match] = [:]
    for candidate in MatchCandidate.all(of: package, naming: distribution.naming) {
      for ecosystem in ecosystems {
        for found in try advisories.entries(ecosystem: ecosystem, package: candidate.name) {
          for entry in found.entries where candidate.isMeant(by: entry) {
            guard let fixes = entry.fixes(for: candidate.version, order: distribution.order) else { continue }
            var match = matches[found.id] ?? Match()
            match.fixes += fixes.filter { !match.fixes.contains($0) }
            match.severities += entry.severities
            matches[found.id] = match
          }
        }
      }
    }
    return matches
  }

  private static func finding(
    _ advisory: AdvisoryRecord, _ match: Match, _ item: InventoryPackage, _ package: Package
  ) -> FindingRecord {
    let rating = Rating(vectors: advisory.severities + match.severities, summary: advisory.summary)
    var finding = FindingRecord()
    finding.kind = .vulnerability
    finding.id = advisory.id
    finding.aliases = aliases(of: advisory)
    finding.severity = rating.severity.rawValue
    finding.score = rating.score
    finding.cvssVector = rating.vector
    finding.package = package.name
    finding.installedVersion = package.version
    finding.fixedVersions = match.fixes
    finding.layer = Int32(clamping: item.layer)
    finding.title = advisory.summary
    finding.packageType = package.type
    return finding
  }

  /// Everything a report may group by: aliases, the record it was made from, and the CVEs it relates to.
  private static func aliases(of advisory: AdvisoryRecord) -> [String] {
    var seen: Set<String> = [advisory.id]
    let related = advisory.related.filter { $0.hasPrefix("CVE-") }
    return (advisory.aliases + advisory.upstream + related).filter { seen.insert($0).inserted }
  }

  private static func isBefore(_ a: FindingRecord, _ b: FindingRecord) -> Bool {
    if a.severity != b.severity { return a.severity > b.severity }
    return (a.id, a.package, a.installedVersion) < (b.id, b.package, b.installedVersion)
  }

  private static func unknownDistribution(_ os: OSRelease?, _ packages: [InventoryPackage]) -> String {
    let count = packages.count
    let left = count == 0 ? "" : ": \(count) \(count == 1 ? "package" : "packages") not matched"
    guard let os else { return "unknown distribution: the image has no os-release file\(left)" }
    let name = os.id.isEmpty ? "os-release without an ID" : "\"\(os.id.excerpt())\""
    return "unknown distribution: no advisories are known for \(name)\(left)"
  }
}
