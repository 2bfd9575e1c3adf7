import TidewaiterClient

/// A report as people read it.
package enum ReportView {
  package static func render(_ report: Report, width: Int?, colours: Bool) -> String {
    let errors = report.findings.filter { $0.kind == .error }
    let findings = report.findings.filter { $0.kind != .error }.sorted(by: comesFirst)
    var output = facts(of: report).render(colours: colours)
    if !report.notes.isEmpty { output += "\n" }
    for note in report.notes { output += "note: \(TerminalText.escape(note))\n" }
    if !errors.isEmpty { output += "\n" }
    for error in errors { output += line(of: error, colours: colours) }
    let flaws = findings.filter { $0.kind == .vulnerability }
    if !flaws.isEmpty { output += "\n" + table(of: flaws).render(width: width, colours: colours) }
    let others = findings.filter { $0.kind != .vulnerability }
    if !others.isEmpty { output += "\n" + table(ofOthers: others).render(width: width, colours: colours) }
    return output
  }

  private static func facts(of report: Report) -> FactList {
    var facts = FactList()
    facts.add("image", report.reference)
    facts.add("digest", report.digest)
    facts.add("platform", report.platform)
    facts.add("operating system", describe(report.os))
    for (name, time) in [
      ("created", report.createdAt), ("scanned", report.scannedAt), ("matched", report.matchedAt),
    ] where time != nil {
      facts.add(name, People.time(time))
    }
    facts.add("layers", String(report.layers.count))
    facts.add("packages", String(report.packages.count))
    if !report.lockedPackages.isEmpty {
      facts.add("in lock files", "\(report.lockedPackages.count) packages, installed or not")
    }
    if let malware = report.malware { facts.add("malware", describe(malware)) }
    facts.add("findings", People.counts(report.counts))
    return facts
  }

  /// How far it was looked for, and with what.
  private static func describe(_ malware: MalwareSummary) -> String {
    guard malware.scannedAt != nil else { return "not looked for" }
    let missing = [
      malware.notScanned == 0 ? nil : "\(malware.notScanned) not",
      malware.layersNotScanned == 0 ? nil : "\(malware.layersNotScanned) layers not at all",
    ].compactMap(\.self)
    let signatures = malware.signatures.isEmpty ? "" : ", signatures \(malware.signatures)"
    return (["\(malware.scannedFiles) files scanned"] + missing).joined(separator: ", ")
      + " (\(malware.engine)\(signatures), \(People.time(malware.scannedAt)))"
  }

  static func describe(_ os: OperatingSystem?) -> String {
    guard let os, !os.id.isEmpty else { return "not recognised" }
    let short = os.version.isEmpty ? os.id : "\(os.id) \(os.version)"
    let name = os.prettyName.isEmpty ? short : "\(os.prettyName) (\(short))"
    return os.isPastEndOfLife ? "\(name), past its end of life (\(os.endOfLife))" : name
  }

  /// Something that could not be analysed: what is missing from the report comes before what is in it.
  private static func line(of finding: Finding, colours: Bool) -> String {
    let parts = [
      finding.title.isEmpty ? finding.id : finding.title, finding.path,
      finding.layer.isEmpty ? "" : "layer \(People.shortDigest(finding.layer))",
    ]
    let text = TerminalText.escape("not analysed: " + parts.filter { !$0.isEmpty }.joined(separator: ", "))
    return (colours ? Colour.boldRed.paint(text) : text) + "\n"
  }

  private static func table(of findings: [Finding]) -> Table {
    var table = Table([
      .init("SEVERITY"), .init("ID", cut: .end), .init("PACKAGE", cut: .middle), .init("INSTALLED", cut: .end),
      .init("FIXED", cut: .end), .init("LAYER", isOptional: true),
    ])
    for finding in findings {
      let place = finding.package.isEmpty ? finding.path : finding.package
      table.add([
        .init(finding.severity.name, People.colour(finding.severity)), .init(finding.id), .init(place),
        .init(finding.installedVersion), .init(finding.fixedVersions.joined(separator: ", ")),
        .init(People.shortDigest(finding.layer)),
      ])
    }
    return table
  }

  /// Secrets, settings, malware: what was found, and where.
  private static func table(ofOthers findings: [Finding]) -> Table {
    var table = Table([
      .init("SEVERITY"), .init("KIND"), .init("ID", cut: .end), .init("WHERE", cut: .middle), .init("WHAT", cut: .end),
      .init("LAYER", isOptional: true),
    ])
    for finding in findings {
      let removal =
        finding.removedByLayer.isEmpty ? "" : " (removed by layer \(People.shortDigest(finding.removedByLayer)))"
      table.add([
        .init(finding.severity.name, People.colour(finding.severity)), .init(finding.kind.name), .init(finding.id),
        .init(finding.line == 0 ? finding.path : "\(finding.path):\(finding.line)"),
        .init((finding.excerpt.isEmpty ? finding.title : finding.excerpt) + removal),
        .init(People.shortDigest(finding.layer)),
      ])
    }
    return table
  }

  /// The worst first, then by package and id.
  private static func comesFirst(_ a: Finding, _ b: Finding) -> Bool {
    if a.severity != b.severity { return a.severity.rawValue > b.severity.rawValue }
    if a.score != b.score { return a.score > b.score }
    return (a.package, a.id, a.path) < (b.package, b.id, b.path)
  }
}
