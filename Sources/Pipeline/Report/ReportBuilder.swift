import Inventory
import Model
import Registry
import SecretRules
import StorageMessages

/// Puts one platform's report together from its layers' analyses; the advisories come in later.
struct ReportBuilder {
  /// A history entry in a report, and all of them together, in bytes: a report's head must fit into a message.
  static let createdByBytesMaximum = 4096
  static let commandBytesMaximum = 512 * 1024

  /// A layer of the image; nil for its analysis where it was not read.
  struct Layer {
    let descriptor: Descriptor
    /// What is in its files; nil where none was looked into.
    let malware: LayerMalware?
    let cached: Bool
    /// Asked for once, and held no longer than it takes to merge it.
    let analysis: () throws -> LayerAnalysis?

    init(
      descriptor: Descriptor, malware: LayerMalware? = nil, cached: Bool,
      analysis: @escaping @autoclosure () throws -> LayerAnalysis?
    ) {
      self.descriptor = descriptor
      self.malware = malware
      self.cached = cached
      self.analysis = analysis
    }
  }

  /// Throws what the layers' analyses do.
  static func build(
    _ image: PlatformImage, layers: [Layer], malware: MalwareSearch = .off, scannedAt: Int64
  ) throws -> ReportRecord {
    var merger = InventoryMerger()
    var mismatches: [String] = []
    var unread: [Int] = []
    for (index, layer) in layers.enumerated() {
      let analysis = try layer.analysis()
      if let found = analysis?.compression, let mismatch = mismatch(layer.descriptor, found) {
        mismatches.append("layer \(index): \(mismatch)")
      }
      if analysis == nil { unread.append(index) }
      merger.add(analysis, malware: layer.malware?.found ?? [])
    }
    let merged = merger.result()
    var report = ReportRecord()
    report.platform = image.platform.description
    report.manifestDigest = image.manifest.digest.description
    report.configDigest = image.image.config.digest.description
    report.os = merged.os
    report.packages = merged.packages
    report.lockedPackages = merged.lockedPackages
    report.notes = merged.notes
    report.findings = merged.findings + merged.secrets.map(secretFinding) + merged.fileFindings.compactMap(fileFinding)
    report.findings += ConfigurationChecks.findings(image.config)
    let malwareReport = MalwareReport(layers, malware)
    report.findings += merged.malware.map(MalwareReport.finding) + malwareReport.gaps
    report.malware = malwareReport.summary
    report.notes += malwareReport.notes
    report.createdAt = image.config.created.flatMap { Timestamp(rfc3339: $0) }?.nanosecondsSince1970 ?? 0
    report.scannedAt = scannedAt
    let commands = image.config.history.filter { !$0.isEmptyLayer }.map(\.createdBy)
    // Without one entry for each layer nothing says which belongs to which.
    let areAligned = commands.count == layers.count
    let commandBytes = min(createdByBytesMaximum, commandBytesMaximum / max(1, layers.count))
    report.layers = layers.enumerated().map { index, layer in
      var entry = ReportLayer()
      entry.digest = layer.descriptor.digest.description
      entry.sizeBytes = UInt64(layer.descriptor.size)
      entry.createdBy = areAligned ? bounded(commands[index], to: commandBytes) : ""
      entry.cached = layer.cached
      return entry
    }
    report.notes += mismatches
    for index in unread {
      report.findings.append(
        finding(
          "FOREIGN_LAYER", "layer could not be analysed: it lies outside the registry and is not fetched", layer: index)
      )
    }
    if !areAligned && !commands.isEmpty {
      report.findings.append(
        finding(
          "HISTORY_MISMATCH",
          "the config's history names \(commands.count) layers and the manifest \(layers.count): "
            + "layers are shown without their commands"))
    }
    if !image.config.diffIDs.isEmpty && image.config.diffIDs.count != layers.count {
      report.findings.append(
        finding(
          "DIFF_IDS_MISMATCH",
          "the config names \(image.config.diffIDs.count) layers and the manifest \(layers.count)"))
    }
    return report
  }

  /// The bytes decide how a layer is read; a media type that says otherwise is worth a word.
  private static func mismatch(_ descriptor: Descriptor, _ found: String) -> String? {
    if found.isEmpty { return nil }
    let mediaType = descriptor.mediaType
    let announced =
      if mediaType.hasSuffix("+gzip") || mediaType.hasSuffix(".tar.gzip") {
        "gzip"
      } else if mediaType.hasSuffix("+zstd") || mediaType.hasSuffix(".tar.zstd") {
        "zstd"
      } else if mediaType.hasSuffix(".tar") {
        "none"
      } else {
        found
      }
    return announced == found ? nil : "its media type says compression \(announced), its bytes are \(found)"
  }

  private static func fileFinding(_ fault: MergedInventory.FileFault) -> FindingRecord? {
    guard let check = FileCheck(rawValue: fault.record.id) else { return nil }
    var finding = FindingRecord()
    finding.kind = .misconfiguration
    finding.id = check.rawValue
    finding.severity = check.severity.rawValue
    finding.title = "\(check.title): \(fault.record.detail)"
    finding.remedy = check.remedy
    finding.path = fault.record.path.isEmpty ? "/" : storedText(fault.record.path)
    finding.layer = Int32(fault.layer)
    return finding
  }

  private static func secretFinding(_ secret: MergedInventory.Secret) -> FindingRecord {
    var finding = FindingRecord()
    finding.kind = .secret
    finding.id = secret.record.rule
    let summary = SecretRules.summary(of: secret.record.rule)
    finding.title = summary?.title ?? secret.record.rule
    finding.severity = (summary?.severity ?? .unknown).rawValue
    finding.path = storedText(secret.record.path)
    finding.line = secret.record.line
    finding.layer = Int32(secret.layer)
    finding.excerpt = secret.record.excerpt
    finding.fingerprint = secret.record.fingerprint
    finding.hiddenBy = Int32(secret.hiddenBy.map { $0 + 1 } ?? 0)
    finding.remedy = "revoke it: it is in every copy of the image, also where a later layer removes the file"
    return finding
  }

  private static func finding(_ id: String, _ title: String, layer: Int = -1) -> FindingRecord {
    var finding = FindingRecord()
    finding.kind = .error
    finding.id = id
    finding.title = title
    finding.layer = Int32(layer)
    return finding
  }

  private static func bounded(_ text: String, to bytes: Int) -> String {
    if text.utf8.count <= bytes { return text }
    return String(decoding: text.utf8.prefix(bytes), as: UTF8.self) + "…"
  }
}
