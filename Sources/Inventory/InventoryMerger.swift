import StorageMessages

/// Lays the analyses of an image's layers over one another, lowest first, as a runtime would extract them (image
/// specification, "Applying Changesets"). Pure: the same analyses always give the same inventory. Layers are added one by
/// one, so that their analyses need not all be in memory at once.
package struct InventoryMerger: ~Copyable {
  package static func merge(_ layers: [LayerAnalysis?]) -> MergedInventory {
    var merger = InventoryMerger()
    for layer in layers { merger.add(layer) }
    return merger.result()
  }

  package init(limits: ImageLimits = .standard) {
    self.limits = limits
    files = LayeredFiles(limits: limits)
  }

  private struct PackageKey: Hashable {
    let type: String
    let name: String
    let arch: String
    let version: String

    init(_ package: Package) {
      type = package.type
      name = package.name
      arch = package.arch
      version = package.version
    }
  }

  /// A package database where it is found.
  private struct Located {
    let path: [UInt8]
    let file: ImageTree.File

    var packages: [Package] { file.database?.packages ?? [] }
  }

  /// A database that a layer took away, put out of sight, or left empty.
  private struct Removal {
    let database: Located
    let layer: Int
  }

  private let tree = ImageTree()
  private var files: LayeredFiles
  /// Each package of the image as it is so far, with the first layer of its unbroken presence.
  private var origins: [PackageKey: Int] = [:]
  private var view: [Located] = []
  private var removals: [Removal] = []
  private var inventory = MergedInventory()
  private let limits: ImageLimits
  private var layers = 0
  private var faults = 0
  private var packages = 0

  /// Lays the next layer over those before. A nil stands for a layer without an analysis; saying why is the caller's part.
  /// `malware` is what was found in its files.
  package mutating func add(_ layer: LayerAnalysis?, malware: [FileMalware] = []) {
    defer { layers += 1 }
    if let layer { apply(layer, malware, layers) }
  }

  private mutating func apply(_ layer: LayerAnalysis, _ malware: [FileMalware], _ index: Int) {
    for fault in layer.faults {
      report(FindingRecord(error: fault.code, fault.message, path: fault.path, layer: index))
    }
    if layer.droppedNames > 0 {
      inventory.notes.append("layer \(index): \(layer.droppedNames) entries with names outside the image were left out")
    }
    // Whiteouts concern what lies below, wherever they stand in the layer.
    var isChanged = false
    for path in layer.opaqueDirectories where tree.remove(path, onlyBelow: true) { isChanged = true }
    for path in layer.whiteouts where tree.remove(path, onlyBelow: false) { isChanged = true }
    if place(layer, index) { isChanged = true }
    if addFiles(of: layer, malware, index) { isChanged = true }
    guard isChanged else { return }
    let before = view
    view = databases()
    let incomplete = layer.faults.filter { $0.code == LayerError.Code.databaseIncomplete.rawValue }
    noteRemovals(from: before, index, but: Set(incomplete.map(\.path)))
    attribute(index)
  }

  private mutating func addFiles(of layer: LayerAnalysis, _ malware: [FileMalware], _ index: Int) -> Bool {
    // Taken out while it changes: admitting a database changes this too.
    var files = exchange(&self.files, with: LayeredFiles(limits: limits))
    let isChanged = files.add(layer, index, malware: malware) { admit($0, index) }
    self.files = files
    return isChanged
  }

  /// Whether anything was placed that was not there.
  private mutating func place(_ layer: LayerAnalysis, _ index: Int) -> Bool {
    // Those of languages are at paths that are not watched.
    let databases = Dictionary(layer.databases.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    let osReleases = Dictionary(layer.osReleases.map { ($0.path, $0.os) }, uniquingKeysWith: { first, _ in first })
    var isChanged = false
    // Parents come before what is in them, so that links among them lead there.
    for entry in layer.watched.sorted(by: { $0.path.lexicographicallyPrecedes($1.path) }) {
      let kind: ImageTree.Kind
      switch entry.kind {
      case .directory: kind = .directory
      case .symlink: kind = .symlink(entry.linkTarget)
      case .file, .hardLink:
        let database = databases[entry.path].flatMap { admit($0, index) }
        kind = .file(ImageTree.File(database: database, os: osReleases[entry.path] ?? nil, layer: index))
      default: kind = .other
      }
      switch tree.place(kind, at: entry.path) {
      case .unchanged: break
      case .changed: isChanged = true
      case .unresolvable:
        report(
          MergeFinding.linkUnresolvable.record("symbolic links on the way lead nowhere", path: entry.path, layer: index)
        )
      }
    }
    return isChanged
  }

  /// Takes one of the findings that a hostile layer can cause by the thousand.
  private mutating func report(_ finding: FindingRecord) {
    faults += 1
    if faults <= limits.faults {
      inventory.findings.append(finding)
    } else if faults == limits.faults + 1 {
      inventory.findings.append(
        MergeFinding.limit.record("more than \(limits.faults) faults were found in the image's layers", layer: nil))
    }
  }

  private mutating func admit(_ database: PackageDatabase, _ layer: Int) -> PackageDatabase? {
    let isFirst = packages <= limits.packages
    packages += database.packages.count
    if packages <= limits.packages { return database }
    if isFirst {
      inventory.findings.append(
        MergeFinding.limit.record(
          "the image's layers list more than \(limits.packages) packages; further databases are left out",
          path: database.path, layer: layer))
    }
    return nil
  }

  // MARK: - What is in view

  /// The package databases as they are found now, each once, in a fixed order.
  private func databases() -> [Located] {
    var located: [Located] = []
    var seen = Set<ObjectIdentifier>()
    func add(_ path: [UInt8]) {
      guard case .found(let node, let place) = tree.lookUp(path), case .file(let file) = node.kind,
        file.database != nil,
        seen.insert(ObjectIdentifier(file)).inserted
      else { return }
      located.append(Located(path: place, file: file))
    }
    for (path, meaning) in WatchedPaths.all.files where meaning.databaseKind != nil { add(path) }
    if case .found(let directory, _) = tree.lookUp(WatchedPaths.statusDirectory) {
      for name in directory.children.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
        add(WatchedPaths.statusDirectory + [UInt8(ascii: "/")] + name)
      }
    }
    return located
  }

  /// What is missing from databases that were not read to their end, `incomplete`, is told with their layer.
  private mutating func noteRemovals(from before: [Located], _ layer: Int, but incomplete: Set<[UInt8]>) {
    // Once databases were left out, what is missing may be in one of them.
    guard packages <= limits.packages else { return }
    let listing = Set(view.filter { !$0.packages.isEmpty }.map(\.path))
    for database in before
    where !database.packages.isEmpty && !listing.contains(database.path) && !incomplete.contains(database.path) {
      removals.append(Removal(database: database, layer: layer))
    }
  }

  private mutating func attribute(_ layer: Int) {
    var next: [PackageKey: Int] = [:]
    for package in view.lazy.flatMap(\.packages) { next[PackageKey(package)] = layer }
    for package in files.databases.lazy.flatMap(\.content.packages) { next[PackageKey(package)] = layer }
    for key in next.keys { if let origin = origins[key] { next[key] = origin } }
    origins = next
  }

  // MARK: - The result

  /// What the layers added so far amount to. Called once.
  package consuming func result() -> MergedInventory {
    inventory.os = chooseOS()
    let purls = PackageURL(os: inventory.os)
    var listed = Set<PackageKey>()
    func located(_ package: Package, path: [UInt8], layer: Int) -> InventoryPackage? {
      guard listed.insert(PackageKey(package)).inserted else { return nil }
      var located = InventoryPackage()
      located.layer = UInt32(layer)
      located.purl = purls.text(package)
      located.package = package
      located.path = storedText(path)
      return located
    }
    for package in view.lazy.flatMap(\.packages) {
      located(package, path: [], layer: origins[PackageKey(package)] ?? 0).map { inventory.packages.append($0) }
    }
    for file in files.databases.sorted(by: { $0.path.lexicographicallyPrecedes($1.path) }) {
      for package in file.content.packages {
        located(package, path: file.path, layer: origins[PackageKey(package)] ?? file.layer)
          .map { inventory.packages.append($0) }
      }
    }
    inventory.packages.sort { Self.order($0.package ?? Package(), $1.package ?? Package()) }
    listed = []
    for file in files.lockFiles.sorted(by: { $0.path.lexicographicallyPrecedes($1.path) }) {
      for package in file.content.packages {
        located(package, path: file.path, layer: file.layer).map { inventory.lockedPackages.append($0) }
      }
    }
    inventory.secrets = files.secrets.map { secret in
      MergedInventory.Secret(record: secret.content, layer: secret.layer, hiddenBy: secret.hiddenBy)
    }
    inventory.malware = files.malware.map { file in
      MergedInventory.Malware(record: file.content, layer: file.layer, hiddenBy: file.hiddenBy)
    }
    inventory.fileFindings = files.findings.map { MergedInventory.FileFault(record: $0.content, layer: $0.layer) }
    for message in files.leftOut {
      inventory.findings.append(MergeFinding.limit.record(message, layer: nil))
    }
    reportRemovals()
    reportLinks()
    reportLogs()
    return inventory
  }

  private static func order(_ a: Package, _ b: Package) -> Bool {
    (a.type, a.name, a.version, a.arch) < (b.type, b.name, b.version, b.arch)
  }

  /// One finding for each kind, directory and layer: distroless images have a file for each package.
  private mutating func reportRemovals() {
    struct Place: Hashable {
      let directory: [UInt8]
      let layer: Int
      let kind: String
    }
    struct Name: Hashable {
      let type: String
      let name: String
      let arch: String
    }
    let present = Set(origins.keys.map { Name(type: $0.type, name: $0.name, arch: $0.arch) })
    var counts: [Place: Int] = [:]
    var order: [Place] = []
    for removal in removals {
      let vanished = Set(removal.database.packages.map { Name(type: $0.type, name: $0.name, arch: $0.arch) })
        .subtracting(present)
      if vanished.isEmpty { continue }
      let path = removal.database.path
      let isSingle = WatchedPaths.all.meaning(of: path) == .dpkgStatusFile
      let place = Place(
        directory: isSingle ? WatchedPaths.statusDirectory : path, layer: removal.layer,
        kind: removal.database.file.database?.kind ?? "")
      if counts[place] == nil { order.append(place) }
      counts[place, default: 0] += vanished.count
    }
    for place in order {
      inventory.findings.append(
        MergeFinding.databaseRemoved.record(
          "a layer removed the \(place.kind) package database: \(counts[place] ?? 0) packages vanished from the inventory,"
            + " though their files may still be there", path: place.directory, layer: place.layer))
    }
  }

  /// A watched file that is found through a link to a place that is not watched was not read: that is said, but of what is
  /// only looked at for want of an os-release file.
  private mutating func reportLinks() {
    var reported = Set<[UInt8]>()
    let others = Set(WatchedPaths.otherReleases.map(\.path))
    for path in WatchedPaths.all.files.map(\.path) + [WatchedPaths.statusDirectory] where !others.contains(path) {
      switch tree.lookUp(path) {
      case .found: break
      case .absent(let target, let link?)
      where WatchedPaths.all.meaning(of: target) == nil && reported.insert(link).inserted:
        inventory.findings.append(
          MergeFinding.databaseBehindLink.record(
            "is a symbolic link: \(storedText(path)) would be at \(storedText(target)), which is not read",
            path: link, layer: nil))
      case .absent: break
      case .unresolvable:
        inventory.findings.append(
          MergeFinding.linkUnresolvable.record("symbolic links on the way lead nowhere", path: path, layer: nil))
      }
    }
  }

  /// A database over the write-ahead log of a lower layer: SQLite would read both together, and no layer has both. A log over
  /// the database of a lower layer was told with its layer.
  private mutating func reportLogs() {
    for (path, meaning) in WatchedPaths.all.files where meaning == .rpmSQLite {
      guard case .found(let database, let place) = tree.lookUp(path), case .file(let databaseFile) = database.kind,
        place == path,
        case .found(let log, let logPlace) = tree.lookUp(WatchedPaths.log(of: path)),
        case .file(let logFile) = log.kind,
        logFile.database != nil, logFile.layer < databaseFile.layer
      else { continue }
      inventory.findings.append(
        MergeFinding.logOfOtherLayer.record(
          "the write-ahead log is of another layer than its database, and was not applied: packages may be missing",
          path: logPlace, layer: logFile.layer))
    }
  }

  // MARK: - The distribution

  private mutating func chooseOS() -> OSRelease? {
    let files = releases(at: WatchedPaths.osReleases)
    let kinds = Set(view.filter { !$0.packages.isEmpty }.compactMap { $0.file.database?.kind })
    guard let chosen = files.first, let os = chosen.file.os else {
      if let other = releases(at: WatchedPaths.otherReleases.map(\.path)).first, let os = other.file.os {
        inventory.notes.append(
          "the image has no os-release file: it is taken for \(os.id) \(os.versionId), as \(storedText(other.path)) says"
        )
        reportMismatch(of: os, with: kinds, other)
        return os
      }
      if !kinds.isEmpty {
        inventory.findings.append(
          MergeFinding.osReleaseMissing.record(
            "the image has packages but no os-release file: its distribution is unknown", layer: nil))
      } else {
        inventory.notes.append("no distribution: the image has neither an os-release file nor a package database")
      }
      return nil
    }
    if let other = files.last, let otherOS = other.file.os, (otherOS.id, otherOS.versionId) != (os.id, os.versionId) {
      inventory.findings.append(
        MergeFinding.osReleaseConflict.record(
          "two os-release files disagree: \(os.id) \(os.versionId) is used, \(storedText(other.path)) says"
            + " \(otherOS.id) \(otherOS.versionId)", path: chosen.path, layer: chosen.file.layer))
    }
    reportMismatch(of: os, with: kinds, chosen)
    return os
  }

  private typealias PlacedFile = (path: [UInt8], file: ImageTree.File)

  private func releases(at paths: [[UInt8]]) -> [PlacedFile] {
    paths.compactMap { path in
      guard case .found(let node, let place) = tree.lookUp(path), case .file(let file) = node.kind, file.os != nil
      else {
        return nil
      }
      return (place, file)
    }
  }

  private mutating func reportMismatch(of os: OSRelease, with kinds: Set<String>, _ chosen: PlacedFile) {
    if let expected = DistributionFamily(os)?.databaseKind {
      for kind in kinds.sorted() where kind != expected {
        inventory.findings.append(
          MergeFinding.osReleaseMismatch.record(
            "\(storedText(chosen.path)) says \(os.id), whose packages are in \(expected) databases, but the image has a \(kind) database",
            path: chosen.path, layer: chosen.file.layer))
      }
    }
  }
}
