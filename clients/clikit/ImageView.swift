import TidewaiterClient

/// Images as people read them.
enum ImageView {
  static func table(of images: [Image]) -> Table {
    var table = Table([
      .init("IMAGE", cut: .middle), .init("DIGEST", isOptional: true), .init("STATUS"), .number("CRIT"),
      .number("HIGH"),
      .number("MED"), .number("LOW"), .number("UNKN"), .init("SCANNED", isOptional: true), .init("REASON", cut: .end),
    ])
    for image in images {
      let counts = image.counts
      func cell(_ count: UInt32?, _ severity: Severity) -> Table.Cell {
        guard image.status == .scanned || image.scannedAt != nil, let count else { return "" }
        return .init(String(count), count > 0 ? People.colour(severity) : .dim)
      }
      table.add([
        .init(People.shortReference(image.reference)), .init(People.shortDigest(image.digest)),
        .init(image.status.name, colour(image.status)), cell(counts?.critical, .critical), cell(counts?.high, .high),
        cell(counts?.medium, .medium), cell(counts?.low, .low), cell(counts?.unknown, .unknown),
        .init(People.time(image.scannedAt)), .init(image.statusReason),
      ])
    }
    return table
  }

  static func colour(_ status: ImageStatus) -> Colour? {
    switch status {
    case .scanned: .green
    case .failed, .rejected: .red
    case .queued: .cyan
    default: .yellow
    }
  }

  static func render(_ image: Image, _ report: Report?, _ console: Console) -> String {
    var facts = FactList()
    facts.add("image", image.reference)
    facts.add("digest", image.digest)
    facts.add("tags", image.tags)
    facts.add("status", image.status.name, colour(image.status))
    if !image.statusReason.isEmpty { facts.add("reason", image.statusReason) }
    if image.jobId > 0 { facts.add("job", String(image.jobId)) }
    for (name, time) in [
      ("created", image.createdAt), ("first seen", image.firstSeenAt), ("scanned", image.scannedAt),
    ] where time != nil {
      facts.add(name, People.time(time))
    }
    if !image.platforms.isEmpty { facts.add("platforms", image.platforms.joined(separator: ", ")) }
    guard let report else { return console.render(facts) }
    facts.add("operating system", ReportView.describe(report.os))
    facts.add("packages", String(report.packages.count))
    facts.add("findings", People.counts(report.counts ?? image.counts))
    return console.render(facts) + "\n" + console.render(layers(of: report))
  }

  private static func layers(of report: Report) -> Table {
    var table = Table([
      .init("LAYER"), .number("SIZE"), .number("PACKAGES"), .number("FINDINGS"), .init("CREATED BY", cut: .end),
    ])
    let packages = Dictionary(grouping: report.packages, by: \.layer).mapValues(\.count)
    let findings = Dictionary(grouping: report.findings, by: \.layer).mapValues(\.count)
    for layer in report.layers {
      table.add([
        .init(People.shortDigest(layer.digest)), .init(People.size(layer.size)),
        .init(String(packages[layer.digest] ?? 0)), .init(String(findings[layer.digest] ?? 0)),
        .init(layer.createdBy),
      ])
    }
    return table
  }
}
