import Inventory
import StorageMessages

/// Takes the packages of one layer within its bounds, from one database after another; keeps account of what else the layer
/// may have of memory.
struct PackageCollector {
  private(set) var packages: [Package] = []
  /// Records without a name or version, or with a text over its bound.
  private(set) var malformed = 0
  private(set) var isFull = false
  private var cutFiles = LeftOut()

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

  /// Counts packages that are listed once more, at `path`; false once that is too many.
  mutating func admitCopies(of packages: [Package], at path: [UInt8]) -> Bool {
    if packages.allSatisfy({ admit($0) }) { return true }
    cutFiles.add(path)
    return false
  }

  /// What is to be told of packages that are not kept.
  var packagesLeftOut: LayerError? {
    cutFiles.error(.packageLimit) { "the layer lists more packages than are kept: some of \($0) files are left out" }
  }

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

  /// What a path costs beside its bytes.
  private static let pathOverhead = 16

  /// Takes a path that is kept from the layer's share. Throws once that is used up, which ends the reading of the layer.
  mutating func keep(path bytes: Int) throws(LayerError) {
    guard admit(path: bytes) else {
      throw LayerError(
        .keptPathLimit, "the layer names more paths of what it removes, lists or gives away than are kept")
    }
  }

  /// Takes a path, kept `count` times, from the layer's share; false, and nothing taken, where that does not hold it.
  mutating func admit(path bytes: Int, count: Int = 1) -> Bool {
    let cost = count * (bytes + Self.pathOverhead)
    guard cost <= pathBytesLeft else { return false }
    pathBytesLeft -= cost
    return true
  }

  /// Gives back what `admit` or `keep` took.
  mutating func giveBack(path bytes: Int, count: Int = 1) { pathBytesLeft += count * (bytes + Self.pathOverhead) }

  mutating func addMalformed() { malformed += 1 }

  /// The packages since the last call, and what was wrong with them; where some are not kept, `packagesLeftOut` tells it.
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
    if isFull { cutFiles.add(path) }
    packages = []
    malformed = 0
    isFull = false
    return (database, errors)
  }
}
