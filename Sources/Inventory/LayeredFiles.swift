import StorageMessages

/// What files of an image say, other than those that are watched: packages of languages, what was meant to be installed,
/// secrets, and what is wrong with the files themselves; as layer upon layer hides some of it. A path is taken as it is
/// written in the layers: links among directories are not followed.
struct LayeredFiles {
  /// Something that a layer holds at a path.
  struct Placed<Content> {
    let path: [UInt8]
    let layer: Int
    let content: Content
    /// The layer that took the path away, or placed something else there.
    var hiddenBy: Int?
  }

  private(set) var databases: [Placed<PackageDatabase>] = []
  private(set) var lockFiles: [Placed<PackageDatabase>] = []
  private(set) var findings: [Placed<FileFinding>] = []
  /// Those that were hidden too: what a layer once held can be fetched for ever. So with malware.
  private(set) var secrets: [Placed<SecretRecord>] = []
  private(set) var malware: [Placed<FileMalware>] = []
  private let limits: ImageLimits
  private var areSecretsLeftOut = false
  private var areFindingsLeftOut = false
  private var isMalwareLeftOut = false

  init(limits: ImageLimits) { self.limits = limits }

  /// What is to be told of what was more than an image may have.
  var leftOut: [String] {
    (areSecretsLeftOut
      ? ["the image's layers hold more than \(limits.secrets) secrets; further ones are left out"] : [])
      + (areFindingsLeftOut
        ? ["more than \(limits.fileFindings) files of the image have odd modes; further ones are left out"] : [])
      + (isMalwareLeftOut
        ? ["more than \(limits.malware) files in the image's layers hold malware; further ones are left out"] : [])
  }

  /// What one layer takes out of sight below it.
  private struct Cover {
    private let placed: PlacedPaths?
    private let removed: Set<UInt64>
    private let emptied: Set<UInt64>

    init(_ layer: LayerAnalysis) {
      placed = PlacedPaths(layer.placed)
      removed = Set(layer.whiteouts.map { PathHash($0).value })
      emptied = Set(layer.opaqueDirectories.map { PathHash($0).value })
    }

    func hides(_ path: [UInt8]) -> Bool {
      if placed?.replaces(path) == true { return true }
      if removed.isEmpty && emptied.isEmpty { return false }
      var hash = PathHash()
      // The root has the empty path.
      if emptied.contains(hash.value) { return true }
      for byte in path {
        if byte == UInt8(ascii: "/"), removed.contains(hash.value) || emptied.contains(hash.value) { return true }
        hash.add(byte)
      }
      return removed.contains(hash.value)
    }
  }

  /// Lays a layer over those before; `admit` says which of its databases are taken. Whether packages in sight have changed.
  mutating func add(
    _ layer: LayerAnalysis, _ index: Int, malware: [FileMalware], admit: (PackageDatabase) -> PackageDatabase?
  ) -> Bool {
    let cover = Cover(layer)
    let before = databases.count
    databases.removeAll { cover.hides($0.path) }
    lockFiles.removeAll { cover.hides($0.path) }
    findings.removeAll { cover.hides($0.path) }
    for position in secrets.indices where secrets[position].hiddenBy == nil && cover.hides(secrets[position].path) {
      secrets[position].hiddenBy = index
    }
    for position in self.malware.indices
    where self.malware[position].hiddenBy == nil && cover.hides(self.malware[position].path) {
      self.malware[position].hiddenBy = index
    }
    var isChanged = databases.count != before
    for database in layer.databases where WatchedPaths.all.meaning(of: database.path)?.databaseKind == nil {
      guard let taken = admit(database) else { continue }
      databases.append(Placed(path: database.path, layer: index, content: taken))
      isChanged = true
    }
    for file in layer.lockFiles {
      guard let taken = admit(file) else { continue }
      lockFiles.append(Placed(path: file.path, layer: index, content: taken))
    }
    let findingsRoom = limits.fileFindings - findings.count
    findings += layer.fileFindings.prefix(findingsRoom).map { Placed(path: $0.path, layer: index, content: $0) }
    areFindingsLeftOut = areFindingsLeftOut || layer.fileFindings.count > findingsRoom
    let secretsRoom = limits.secrets - secrets.count
    secrets += layer.secrets.prefix(secretsRoom).map { Placed(path: $0.path, layer: index, content: $0) }
    areSecretsLeftOut = areSecretsLeftOut || layer.secrets.count > secretsRoom
    let malwareRoom = limits.malware - self.malware.count
    self.malware += malware.prefix(malwareRoom).map { Placed(path: $0.path, layer: index, content: $0) }
    isMalwareLeftOut = isMalwareLeftOut || malware.count > malwareRoom
    return isChanged
  }
}
