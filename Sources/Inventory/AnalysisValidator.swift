import SecretRules
import StorageMessages

/// Checks that an analysis from a worker holds only what the analyser can have written. It cannot tell a false package
/// from a true one: that harm stays with the layer whose bytes took the worker over.
struct AnalysisValidator {
  private let limits = AnalysisLimits.standard

  func validate(_ analysis: LayerAnalysis) throws(WorkerProtocol.MalformedAnswer) {
    try require(analysis.analyserVersion == analyserVersion, "it is of analyser version \(analysis.analyserVersion)")
    try require(analysis.entries <= UInt64(limits.entries) + 1, "it counts too many entries")
    try require(analysis.droppedNames <= analysis.entries, "it drops more names than there are entries")
    // The last piece may cross the bound.
    try require(analysis.uncompressedBytes <= UInt64(limits.uncompressedBytes) + 1 << 20, "it counts too many bytes")
    let compressions = ["", "none", "gzip", "zstd"]
    try require(compressions.contains(analysis.compression), "it names an unknown compression")
    try validatePaths(analysis.whiteouts + analysis.opaqueDirectories.filter { !$0.isEmpty })
    for entry in analysis.watched {
      try require(WatchedPaths.all.meaning(of: entry.path) != nil, "it watches a path that is not watched")
      try require(EntryKind.known.contains(entry.kind) && entry.kind != .unspecified, "an entry has no kind")
      try require(entry.linkTarget.count <= limits.nameBytes, "a link's target is too long")
    }
    try require(
      PlacedPaths(analysis.placed).map { UInt64($0.count) <= analysis.entries } ?? false,
      "its paths' hashes are not in order")
    try validateDatabases(analysis)
    try validateFindings(analysis)
    try validateFaults(analysis.faults)
  }

  private func validateDatabases(_ analysis: LayerAnalysis) throws(WorkerProtocol.MalformedAnswer) {
    let watchedMax = limits.databaseFiles + 100
    try require(analysis.watched.count <= watchedMax, "it watches too many paths")
    let files = analysis.databases.count + analysis.lockFiles.count
    try require(files <= watchedMax + limits.packages, "it has too many databases")
    let releases = WatchedPaths.osReleases.count + WatchedPaths.otherReleases.count
    try require(analysis.osReleases.count <= releases, "it has too many os-release files")
    for file in analysis.osReleases {
      try require(WatchedPaths.all.meaning(of: file.path)?.isRelease == true, "an os-release file has another path")
      let os = file.os ?? OSRelease()
      let texts = [os.id, os.versionId, os.name, os.prettyName, os.versionCodename, os.variantId] + os.idLike
      try require(texts.count <= 6 + 16 && texts.allSatisfy(isShort), "an os-release file's values are too long")
    }
    var packages = 0
    for database in analysis.databases {
      if let kind = WatchedPaths.all.meaning(of: database.path)?.databaseKind {
        try require(kind == database.kind, "a database's kind and path differ")
        try validatePackages(of: database) { $0 == (kind == "dpkg" ? "deb" : kind) }
      } else {
        try validateLanguage(database)
      }
      packages += database.packages.count
    }
    for file in analysis.lockFiles {
      try validateLanguage(file)
      packages += file.packages.count
    }
    try require(packages <= limits.packages, "it lists too many packages")
  }

  private func validateLanguage(_ file: PackageDatabase) throws(WorkerProtocol.MalformedAnswer) {
    guard let kind = LanguageKind(rawValue: file.kind) else {
      throw WorkerProtocol.MalformedAnswer(reason: "a file's packages are of an unknown kind")
    }
    try validatePaths([file.path])
    try validatePackages(of: file) { kind.holds($0) }
  }

  private func validatePackages(
    of database: PackageDatabase, _ isOfType: (String) -> Bool
  ) throws(WorkerProtocol.MalformedAnswer) {
    for package in database.packages {
      try require(isOfType(package.type), "a package's type differs")
      try require(!package.name.isEmpty && !package.version.isEmpty, "a package has no name or version")
      try require(package.texts.allSatisfy(isShort), "a package's text is too long")
    }
  }

  private func validateFindings(_ analysis: LayerAnalysis) throws(WorkerProtocol.MalformedAnswer) {
    try require(analysis.fileFindings.count <= limits.fileFindings, "it has too many findings on files")
    for finding in analysis.fileFindings {
      try require(FileCheck(rawValue: finding.id) != nil, "a finding on a file is unknown")
      try require(finding.detail.utf8.count <= limits.excerptBytes, "a finding on a file says too much")
      // The root itself has an empty one.
      if !finding.path.isEmpty { try validatePaths([finding.path]) }
    }
    try require(analysis.secrets.count <= limits.secrets, "it has too many secrets")
    for secret in analysis.secrets {
      try require(SecretRules.summary(of: secret.rule) != nil, "a secret is of an unknown kind")
      try require(secret.value.count <= limits.secretBytes && !secret.value.isEmpty, "a secret is too long or empty")
      try require(secret.excerpt.utf8.count <= limits.excerptBytes * 3, "a secret's excerpt is too long")
      // Only the daemon can make one.
      try require(secret.fingerprint.isEmpty, "a secret has a fingerprint")
      try validatePaths([secret.path])
    }
  }

  private func validateFaults(_ faults: [LayerFault]) throws(WorkerProtocol.MalformedAnswer) {
    try require(faults.count <= limits.faults + 100, "it has too many faults")
    for fault in faults {
      try require(LayerError.Code(rawValue: fault.code) != nil, "a fault's code is unknown")
      try require(fault.message.utf8.count <= LayerError.messageBytes, "a fault's message is too long")
      if !fault.path.isEmpty { try validatePaths([fault.path]) }
    }
  }

  private func validatePaths(_ paths: [[UInt8]]) throws(WorkerProtocol.MalformedAnswer) {
    for path in paths { try require(ContentsProtocol.isPath(path), "a path is not one inside the image") }
  }

  private func isShort(_ text: String) -> Bool {
    // Replaced bytes grow threefold.
    text.utf8.count <= limits.textBytes * 3
  }

  private func require(_ condition: Bool, _ reason: String) throws(WorkerProtocol.MalformedAnswer) {
    if !condition { throw WorkerProtocol.MalformedAnswer(reason: reason) }
  }
}
