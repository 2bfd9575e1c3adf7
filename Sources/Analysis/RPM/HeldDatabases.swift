import Inventory

/// Databases in SQLite format and their write-ahead logs, held until the layer ends: a log may come before or after its
/// database, and only together are they what SQLite would read. All that is held counts against one bound.
struct HeldDatabases {
  private var files: [[UInt8]: [UInt8]] = [:]
  private var bytesLeft: Int

  init(limits: AnalysisLimits) { bytesLeft = limits.heldDatabaseBytes }

  /// Takes `bytes` away from the caller; false, and nothing taken, where they are too many.
  mutating func hold(_ bytes: inout [UInt8], at path: [UInt8]) -> Bool {
    guard bytes.count <= bytesLeft else { return false }
    bytesLeft -= bytes.count
    files[path] = exchange(&bytes, with: [])
    return true
  }

  /// False where what lies at `source` cannot be held once more.
  mutating func copy(_ source: [UInt8], to path: [UInt8]) -> Bool {
    guard var bytes = files[source] else { return true }
    return hold(&bytes, at: path)
  }

  mutating func forget(_ path: [UInt8]) {
    if !files.isEmpty { _ = take(path) }
  }

  /// What is held still, in a fixed order.
  var paths: [[UInt8]] { files.keys.sorted { $0.lexicographicallyPrecedes($1) } }

  /// The next database, in the order of their paths, with its log; logs without a database stay.
  mutating func takeDatabase(into database: inout [UInt8]) -> (path: [UInt8], log: [UInt8])? {
    guard let path = paths.first(where: { WatchedPaths.all.meaning(of: $0) == .rpmSQLite }) else { return nil }
    database = take(path)
    return (path, take(WatchedPaths.log(of: path)))
  }

  private mutating func take(_ path: [UInt8]) -> [UInt8] {
    let bytes = files.removeValue(forKey: path) ?? []
    bytesLeft += bytes.count
    return bytes
  }
}
