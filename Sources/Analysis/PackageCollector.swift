import Inventory
import StorageMessages

/// Takes the packages of one layer within its bounds, from one database after another; keeps account of what else the layer
/// may have of memory.
struct PackageCollector {
  private(set) var packages: [Package] = []
  /// Records without a name or version, or with a text over its bound.
  private(set) var malformed = 0
  private(set) var isFull = false

  let limits: AnalysisLimits
  private var packagesLeft: Int
  private var bytesLeft: Int
  /// Of what archives of the layer may be unpacked to.
  private var archiveBytesLeft: Int
  private var pathBytesLeft: Int

  init(limits: AnalysisLimits) {
    self.limits = limits
    packagesLeft = limits.packages
    bytesLeft = limits.packageBytes
    archiveBytesLeft = limits.layerArchiveBytes
    pathBytesLeft = limits.keptPathBytes
  }

  mutating func add(_ package: Package) {
    let isSound =
      !package.name.isEmpty && !package.version.isEmpty
      && package.texts.allSatisfy { $0.utf8.count <= limits.textBytes }
    if !isSound {
      addMalformed()
    } else if admit(package) {
      packages.append(package)
    } else {
      isFull = true
    }
  }

  /// Counts packages that are listed once more; false once that is too many.
  mutating func admitCopies(of packages: [Package]) -> Bool { packages.allSatisfy { admit($0) } }

  private mutating func admit(_ package: Package) -> Bool {
    let bytes = package.texts.reduce(64) { $0 + $1.utf8.count }
    guard packagesLeft > 0, bytes <= bytesLeft else { return false }
    packagesLeft -= 1
    bytesLeft -= bytes
    return true
  }

  /// Takes what a member of an archive is unpacked to from the layer's share; false where that is used up.
  mutating func admitUnpacked(_ bytes: Int) -> Bool {
    guard bytes <= archiveBytesLeft else { return false }
    archiveBytesLeft -= bytes
    return true
  }

  /// Takes a path that is kept from the layer's share. Throws once that is used up, which ends the reading of the layer.
  mutating func keep(path bytes: Int) throws(LayerError) {
    pathBytesLeft -= bytes + 16
    guard pathBytesLeft >= 0 else {
      throw LayerError(
        .keptPathLimit, "the layer names more paths of what it removes, lists or gives away than are kept")
    }
  }

  mutating func addMalformed() { malformed += 1 }

  /// The packages since the last call, and what was wrong with them.
  mutating func takeDatabase(kind: String, path: [UInt8]) -> (PackageDatabase, [LayerError]) {
    var database = PackageDatabase()
    database.kind = kind
    database.path = path
    database.packages = packages
    var errors: [LayerError] = []
    if malformed > 0 {
      errors.append(
        LayerError(
          .databaseMalformed, "\(malformed) records of the \(kind) database have no valid name, version or state",
          path: path))
    }
    if isFull {
      errors.append(LayerError(.packageLimit, "the layer lists more packages than are kept", path: path))
    }
    packages = []
    malformed = 0
    isFull = false
    return (database, errors)
  }
}
