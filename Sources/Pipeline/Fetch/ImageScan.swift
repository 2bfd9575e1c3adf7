import Model
import Posix
import Queue
import Registry
import StorageMessages
import Store

/// One attempt at one scan job: reads the image, has its layers analysed, matches, and stores its reports.
struct ImageScan: Sendable {
  private static let passedOverNotesMaximum = 16

  let lease: JobQueue.Lease
  let integration: IntegrationRecord
  let client: RegistryClient
  let store: StateStore
  let queue: JobQueue
  let layers: LayerAnalyses
  let matcher: ReportMatcher
  let progress: AttemptProgress
  let admission: Admission
  let clock: WallClock

  private var job: JobRecord { lease.job }

  func run() async throws {
    guard let repository = Repository(job.repository), let digest = Digest(job.digest) else {
      throw ImageProblem(
        code: .malformed, message: "\(job.repository)@\(job.digest) cannot be asked for", hint: "add the image again")
    }
    let fetch = ImageFetch(client: client, repository: repository, platforms: integration.platformSelection)
    let found = try await fetch.images(of: digest)
    progress.advance()
    let malware = await layers.malwareScan()
    let analyses = try await analyse(
      found.images,
      LayerAnalyses.Source(
        client: client, integration: integration, repository: repository, malware: malware))
    try await progress.working { try await report(on: found, analyses, malware.search) }
  }

  /// Nothing of what follows needs the registry.
  private func report(
    on found: ImageFetch.Result, _ analyses: [Digest: LayerAnalyses.Outcome], _ malware: MalwareSearch
  ) async throws {
    try await queue.beginParsing(lease)
    let scannedAt = clock.now
    let notes =
      found.missing.map { "the index has no image for \($0)" }
      + found.passedOver.prefix(Self.passedOverNotesMaximum).map { child in
        "the index has a further image for \(child.platform?.description ?? "a platform"), which was not read: \(child.digest)"
      }
    var reports = try found.images.map { image in
      var report = try ReportBuilder.build(
        image,
        layers: image.image.layers.map { layer in
          let outcome = analyses[layer.digest]
          return ReportBuilder.Layer(
            descriptor: layer, malware: outcome?.malware, cached: outcome?.cached ?? false,
            analysis: try outcome.map { try layers.analysis(of: layer.digest, $0) })
        }, malware: malware, scannedAt: scannedAt)
      report.notes += notes
      return report
    }
    repeat {
      try Task.checkCancellation()
      reports = try await matcher.match(reports)
    } while try await !finish(reports, scannedAt: scannedAt)
  }

  /// Analyses each layer once, several at a time; what is known from an earlier attempt or another image is not fetched
  /// again. Layers kept off registries are left out.
  private func analyse(
    _ images: [PlatformImage], _ source: LayerAnalyses.Source
  ) async throws -> [Digest: LayerAnalyses.Outcome] {
    var seen: Set<Digest> = []
    let unique = images.flatMap(\.image.layers).filter { !$0.isForeignLayer && seen.insert($0.digest).inserted }
    try admission.admit(unique)
    let unknown = try unique.filter { try !layers.isKnown($0.digest, source.malware) }
    try await queue.describe(
      lease, bytesTotal: Admission.total(unknown), layersTotal: UInt32(unique.count),
      layersKnown: UInt32(unique.count - unknown.count))
    return try await withThrowingTaskGroup(of: (Digest, LayerAnalyses.Outcome).self) { group in
      for layer in unique {
        group.addTask { [layers, progress] in
          let outcome = try await layers.analyse(layer, from: source, for: progress)
          progress.layerDone()
          return (layer.digest, outcome)
        }
      }
      var outcomes: [Digest: LayerAnalyses.Outcome] = [:]
      for try await (digest, outcome) in group { outcomes[digest] = outcome }
      return outcomes
    }
  }

  /// Reports, image and job change together, or not at all. False when advisories came meanwhile, whose new match of all
  /// stored reports may have passed this image by: looked at in the transaction, since that match waits for those before.
  private func finish(_ reports: [ReportRecord], scannedAt: Int64) async throws -> Bool {
    let image = job.imageKey
    return try await store.write { [store, queue, lease, matcher, progress, clock] transaction in
      if matcher.isOutdated(reports) { return false }
      let counts = reports.imageCounts
      try queue.finish(lease, progress.reached, in: transaction)
      try store.putReports(reports, of: image, now: clock.now, in: transaction)
      try store.changeImage(image, in: transaction) { record in
        record.status = record.untagged ? .gone : .scanned
        record.statusReason = ""
        record.scannedAt = scannedAt
        record.platforms = reports.map(\.platform)
        record.counts = counts
        record.createdAt = reports.map(\.createdAt).max() ?? record.createdAt
      }
      try store.append(
        .imageScanned, lease.job,
        "\(counts.critical) critical, \(counts.high) high, \(counts.medium) medium, \(counts.low) low, "
          + "\(counts.unknown) unknown", time: clock.now, in: transaction)
      return true
    }
  }
}

extension [ReportRecord] {
  /// Over all platforms, each advisory and package once.
  var imageCounts: SeverityCounts {
    var seen: Set<FindingKey> = []
    return flatMap(\.findings).filter { seen.insert(FindingKey($0)).inserted }.severityCounts
  }
}

private struct FindingKey: Hashable {
  let kind: FindingKind
  let id, package, version, path: String

  init(_ finding: FindingRecord) {
    kind = finding.kind
    (id, package, version, path) = (finding.id, finding.package, finding.installedVersion, finding.path)
  }
}
