import API
import Model
import StorageMessages
import Store

enum ImageConversion {
  /// Of a tag whose digest was never asked for `digest` is "".
  static func reference(integration: String, repository: String, tag: String, digest: String) -> String {
    "\(integration)/\(repository)" + (tag.isEmpty ? "" : ":\(tag)") + (digest.isEmpty ? "" : "@\(digest)")
  }
}

extension API.Image {
  init(_ image: ImageRecord, integration: String, tags: [String]) {
    self.init()
    reference = ImageConversion.reference(
      integration: integration, repository: image.repository, tag: tags.first ?? "", digest: image.digest)
    digest = image.digest
    self.tags = tags
    status = API.ImageStatus(rawValue: image.status.rawValue)
    statusReason = image.statusReason
    firstSeenAt = API.Timestamp(nanoseconds: image.firstSeenAt)
    scannedAt = API.Timestamp(nanoseconds: image.scannedAt)
    createdAt = API.Timestamp(nanoseconds: image.createdAt)
    counts = API.SeverityCounts(image.counts ?? StorageMessages.SeverityCounts())
    platforms = image.platforms
    jobId = image.lastJobId
  }
}

extension API.SeverityCounts {
  init(_ counts: StorageMessages.SeverityCounts) {
    self.init()
    critical = counts.critical
    high = counts.high
    medium = counts.medium
    low = counts.low
    unknown = counts.unknown
  }
}

extension API.Package {
  init(_ item: InventoryPackage, layers: [ReportLayer]) {
    self.init()
    let package = item.package ?? StorageMessages.Package()
    name = package.name
    version = package.version
    type = package.type
    arch = package.arch
    purl = item.purl
    sourceName = package.sourceName
    sourceVersion = package.sourceVersion
    path = item.path
    layer = layers.indices.contains(Int(item.layer)) ? layers[Int(item.layer)].digest : ""
  }
}

extension API.Finding {
  init(_ finding: FindingRecord, layers: [ReportLayer]) {
    self.init()
    kind = API.FindingKind(rawValue: finding.kind.rawValue)
    id = finding.id
    aliases = finding.aliases
    severity = API.Severity(rawValue: finding.severity)
    score = finding.score
    package = finding.package
    installedVersion = finding.installedVersion
    fixedVersions = finding.fixedVersions
    path = finding.path
    layer = layers.indices.contains(Int(finding.layer)) ? layers[Int(finding.layer)].digest : ""
    title = finding.title
    cvssVector = finding.cvssVector
    packageType = finding.packageType
    remedy = finding.remedy
    excerpt = finding.excerpt
    line = finding.line
    fingerprint = Paging.hexadecimal(finding.fingerprint)
    let remover = Int(finding.hiddenBy) - 1
    removedByLayer = layers.indices.contains(remover) ? layers[remover].digest : ""
  }
}

extension API.Layer {
  init(_ layer: ReportLayer) {
    self.init()
    digest = layer.digest
    createdBy = layer.createdBy
    size = layer.sizeBytes
    cached = layer.cached
  }
}
