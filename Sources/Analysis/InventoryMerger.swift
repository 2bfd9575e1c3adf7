import StorageMessages

/// Lays the analyses of an image's layers over one another, lowest first, as a runtime would extract them (image
/// specification, "Applying Changesets"). Pure: the same analyses always give the same inventory.
package enum InventoryMerger {
  /// A nil stands for a layer without an analysis; saying why is the caller's part.
  package static func merge(_ layers: [LayerAnalysis?]) -> MergedInventory {
    var merge = Merge()
    for (index, layer) in layers.enumerated() {
      if let layer { merge.apply(layer, index) }
    }
    return merge.result()
  }
}

private struct Merge {
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

  /// A database that a layer took away, or left empty.
  private struct Removal {
    let file: ImageTree.File
    let layer: Int
  }

  private let tree = ImageTree()
  /// Each package of the image as it is so far, with the first layer of its unbroken presence.
  private var origins: [PackageKey: Int] = [:]
  private var removals: [Removal] = []
  private var inventory = MergedInventory()

  mutating func apply(_ layer: LayerAnalysis, _ index: Int) {
    for fault in layer.faults {
      inventory.findings.append(
        FindingRecord(error: fault.code, fault.message, path: fault.path, layer: index))
    }
    if layer.droppedNames > 0 {
      inventory.notes.append("layer \(index): \(layer.droppedNames) entries with names outside the image were left out")
    }
    // Whiteouts concern what lies below, wherever they stand in the layer.
    var gone: [ImageTree.File] = []
    for path in layer.opaqueDirectories { gone += tree.remove(path, onlyBelow: true) }
    for path in layer.whiteouts { gone += tree.remove(path, onlyBelow: false) }
    gone += place(layer, index)
    if gone.isEmpty && layer.watched.isEmpty { return }
    let view = databases()
    noteRemovals(gone, view, index)
    attribute(view, index)
  }

  private mutating func place(_ layer: LayerAnalysis, _ index: Int) -> [ImageTree.File] {
    let databases = Dictionary(layer.databases.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
    let osReleases = Dictionary(layer.osReleases.map { ($0.path, $0.os) }, uniquingKeysWith: { first, _ in first })
    var gone: [ImageTree.File] = []
    // Parents come before what is in them, so that links among them lead there.
    for entry in layer.watched.sorted(by: { $0.path.lexicographicallyPrecedes($1.path) }) {
      let kind: ImageTree.Kind
      switch entry.kind {
      case .directory: kind = .directory
      case .symlink: kind = .symlink(entry.linkTarget)
      case .file, .hardLink:
        kind = .file(
          ImageTree.File(
            path: entry.path, database: databases[entry.path], os: osReleases[entry.path] ?? nil, layer: index))
      default: kind = .other
      }
      if let removed = tree.place(kind, at: entry.path) {
        gone += removed
      } else {
        inventory.findings.append(
          MergeFinding.linkUnresolvable.record("symbolic links on the way lead nowhere", path: entry.path, layer: index))
      }
    }
    return gone
  }

  // MARK: - What is in view

  /// The package databases as they are found now, each once, in a fixed order.
  private func databases() -> [ImageTree.File] {
    var files: [ImageTree.File] = []
    var seen = Set<ObjectIdentifier>()
    func add(_ node: ImageTree.Node) {
      guard case .file(let file) = node.kind, file.database != nil, seen.insert(ObjectIdentifier(file)).inserted else {
        return
      }
      files.append(file)
    }
    for (path, meaning) in WatchedPaths.all.files where meaning.databaseKind != nil {
      if case .found(let node) = tree.lookUp(path) { add(node) }
    }
    if case .found(let directory) = tree.lookUp(WatchedPaths.statusDirectory) {
      for name in directory.children.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
        if case .found(let node) = tree.lookUp(WatchedPaths.statusDirectory + [UInt8(ascii: "/")] + name) { add(node) }
      }
    }
    return files
  }

  private mutating func noteRemovals(_ gone: [ImageTree.File], _ view: [ImageTree.File], _ layer: Int) {
    let lists = Set(view.filter { $0.database?.packages.isEmpty == false }.map(\.path))
    for file in gone where file.database?.packages.isEmpty == false && !lists.contains(file.path) {
      removals.append(Removal(file: file, layer: layer))
    }
  }

  private mutating func attribute(_ view: [ImageTree.File], _ layer: Int) {
    var next: [PackageKey: Int] = [:]
    for file in view {
      for package in file.database?.packages ?? [] {
        let key = PackageKey(package)
        next[key] = origins[key] ?? layer
      }
    }
    origins = next
  }

  // MARK: - The result

  mutating func result() -> MergedInventory {
    let view = databases()
    inventory.os = chooseOS(view)
    let purls = PackageURL(os: inventory.os)
    var listed = Set<PackageKey>()
    for package in view.flatMap({ $0.database?.packages ?? [] }) {
      let key = PackageKey(package)
      guard listed.insert(key).inserted else { continue }
      var located = InventoryPackage()
      located.layer = UInt32(origins[key] ?? 0)
      located.purl = purls.text(package)
      located.package = package
      inventory.packages.append(located)
    }
    inventory.packages.sort { Self.order($0.package ?? Package(), $1.package ?? Package()) }
    reportRemovals()
    reportLinks()
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
      let vanished = Set((removal.file.database?.packages ?? []).map { Name(type: $0.type, name: $0.name, arch: $0.arch) })
        .subtracting(present)
      if vanished.isEmpty { continue }
      let path = removal.file.path
      let isSingle = WatchedPaths.all.meaning(of: path) == .dpkgStatusFile
      let place = Place(
        directory: isSingle ? WatchedPaths.statusDirectory : path, layer: removal.layer,
        kind: removal.file.database?.kind ?? "")
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

  /// A watched file that is found through a link to a place that is not watched was not read: that is said.
  private mutating func reportLinks() {
    var reported = Set<[UInt8]>()
    for path in WatchedPaths.all.files.map(\.path) + [WatchedPaths.statusDirectory] {
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

  // MARK: - The distribution

  private mutating func chooseOS(_ view: [ImageTree.File]) -> OSRelease? {
    let files = WatchedPaths.osReleases.compactMap { path -> ImageTree.File? in
      guard case .found(let node) = tree.lookUp(path), case .file(let file) = node.kind, file.os != nil else { return nil }
      return file
    }
    let kinds = Set(view.filter { $0.database?.packages.isEmpty == false }.compactMap { $0.database?.kind })
    guard let chosen = files.first, let os = chosen.os else {
      if !kinds.isEmpty {
        inventory.findings.append(
          MergeFinding.osReleaseMissing.record(
            "the image has packages but no os-release file: its distribution is unknown", layer: nil))
      } else {
        inventory.notes.append("no distribution: the image has neither an os-release file nor a package database")
      }
      return nil
    }
    if let other = files.last, let otherOS = other.os, (otherOS.id, otherOS.versionId) != (os.id, os.versionId) {
      inventory.findings.append(
        MergeFinding.osReleaseConflict.record(
          "two os-release files disagree: \(os.id) \(os.versionId) is used, \(storedText(other.path)) says"
            + " \(otherOS.id) \(otherOS.versionId)", path: chosen.path, layer: chosen.layer))
    }
    if let expected = DistributionFamily(os)?.databaseKind {
      for kind in kinds.sorted() where kind != expected {
        inventory.findings.append(
          MergeFinding.osReleaseMismatch.record(
            "os-release says \(os.id), whose packages are in \(expected) databases, but the image has a \(kind) database",
            path: chosen.path, layer: chosen.layer))
      }
    }
    return os
  }
}
