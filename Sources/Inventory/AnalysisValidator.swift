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
    try validateDatabases(analysis)
    try validateFaults(analysis.faults)
  }

  private func validateDatabases(_ analysis: LayerAnalysis) throws(WorkerProtocol.MalformedAnswer) {
    let watchedMax = limits.databaseFiles + 100
    try require(analysis.watched.count <= watchedMax, "it watches too many paths")
    try require(analysis.databases.count <= watchedMax, "it has too many databases")
    try require(analysis.osReleases.count <= WatchedPaths.osReleases.count, "it has too many os-release files")
    for file in analysis.osReleases {
      try require(WatchedPaths.all.meaning(of: file.path) == .osRelease, "an os-release file has another path")
      let os = file.os ?? OSRelease()
      let texts = [os.id, os.versionId, os.name, os.prettyName, os.versionCodename, os.variantId] + os.idLike
      try require(texts.count <= 6 + 16 && texts.allSatisfy(isShort), "an os-release file's values are too long")
    }
    var packages = 0
    for database in analysis.databases {
      try require(
        WatchedPaths.all.meaning(of: database.path)?.databaseKind == database.kind, "a database's kind and path differ")
      packages += database.packages.count
      for package in database.packages {
        try require(package.type == (database.kind == "dpkg" ? "deb" : database.kind), "a package's type differs")
        try require(!package.name.isEmpty && !package.version.isEmpty, "a package has no name or version")
        try require(package.texts.allSatisfy(isShort), "a package's text is too long")
      }
    }
    try require(packages <= limits.packages, "it lists too many packages")
  }

  private func validateFaults(_ faults: [LayerFault]) throws(WorkerProtocol.MalformedAnswer) {
    try require(faults.count <= limits.faults + 100, "it has too many faults")
    for fault in faults {
      try require(LayerError.Code(rawValue: fault.code) != nil, "a fault's code is unknown")
      try require(fault.message.utf8.count <= LayerError.messageCharacters * 4, "a fault's message is too long")
      if !fault.path.isEmpty { try validatePaths([fault.path]) }
    }
  }

  private func validatePaths(_ paths: [[UInt8]]) throws(WorkerProtocol.MalformedAnswer) {
    for path in paths {
      let parts = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
      let isPlain =
        path.count <= limits.nameBytes
        && parts.allSatisfy { part in
          !part.isEmpty && !part.elementsEqual(".".utf8) && !part.elementsEqual("..".utf8) && !part.contains(0)
        }
      try require(isPlain, "a path is not one inside the image")
    }
  }

  private func isShort(_ text: String) -> Bool {
    // Replaced bytes grow threefold.
    text.utf8.count <= limits.textBytes * 3
  }

  private func require(_ condition: Bool, _ reason: String) throws(WorkerProtocol.MalformedAnswer) {
    if !condition { throw WorkerProtocol.MalformedAnswer(reason: reason) }
  }
}
