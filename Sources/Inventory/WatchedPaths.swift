import StorageMessages

/// How a file is written that says which release of which distribution it belongs to.
package enum ReleaseFile: Sendable {
  /// os-release(5).
  case osRelease
  /// `3.18.9`
  case alpine
  /// `8.11`; a release that is yet to come has a name.
  case debian
  /// `CentOS release 6.10 (Final)`
  case redHat
  /// `DISTRIB_ID=Ubuntu` and the like.
  case lsb
}

/// What a path in an image means to the analyser.
package enum WatchedPath: Equatable {
  /// A directory above a watched file: what it is decides where the file is found, and whether.
  case ancestor
  case release(ReleaseFile)
  case apkInstalled
  case dpkgStatus
  /// One package's control file, as distroless images keep them.
  case dpkgStatusFile
  case rpmSQLite
  case rpmSQLiteLog
  case rpmBerkeley
  case rpmNDB

  package var isRelease: Bool { if case .release = self { true } else { false } }

  /// Whether one file can be at both paths and mean the same.
  package func hasFormat(of other: WatchedPath) -> Bool { self == other && self != .ancestor }

  /// `PackageDatabase.kind`; nil for what is no database or part of one. A log that is not empty is a database without
  /// packages: what it changes is told with the database that it belongs to.
  package var databaseKind: String? {
    switch self {
    case .ancestor, .release: nil
    case .rpmSQLiteLog: "rpm-log"
    case .apkInstalled: "apk"
    case .dpkgStatus, .dpkgStatusFile: "dpkg"
    case .rpmSQLite, .rpmBerkeley, .rpmNDB: "rpm"
    }
  }
}

/// The paths that an analysis looks for, and their directories. Looking one up allocates nothing: it is done for each
/// entry of every layer.
package struct WatchedPaths: Sendable {
  package static let all = WatchedPaths()

  package static let osReleases = ["etc/os-release", "usr/lib/os-release"].map { Array($0.utf8) }
  /// Where releases say what they are that have no os-release file, or had it taken away, in the order in which they are
  /// looked for.
  package static let otherReleases = [
    ("etc/alpine-release", ReleaseFile.alpine), ("etc/lsb-release", .lsb), ("etc/oracle-release", .redHat),
    ("etc/centos-release", .redHat), ("etc/redhat-release", .redHat), ("etc/debian_version", .debian),
  ].map { (path: Array($0.utf8), file: $1) }
  package static let statusDirectory = Array("var/lib/dpkg/status.d".utf8)

  private static let logSuffix = Array("-wal".utf8)

  /// Where the write-ahead log of a database in SQLite format is.
  package static func log(of database: [UInt8]) -> [UInt8] { database + logSuffix }

  /// The watched files with a fixed path, in the order in which they are looked for.
  let files: [(path: [UInt8], meaning: WatchedPath)]
  private let byLength: [[(path: [UInt8], meaning: WatchedPath)]]
  private static let statusPrefix = statusDirectory + [UInt8(ascii: "/")]

  private init() {
    var files = Self.osReleases.map { (path: $0, meaning: WatchedPath.release(.osRelease)) }
    files += Self.otherReleases.map { ($0.path, .release($0.file)) }
    func add(_ path: String, _ meaning: WatchedPath) { files.append((Array(path.utf8), meaning)) }
    add("lib/apk/db/installed", .apkInstalled)
    add("usr/lib/apk/db/installed", .apkInstalled)
    add("var/lib/dpkg/status", .dpkgStatus)
    // Where rpm keeps its database: the classic place, openSUSE's and Fedora's, and rpm-ostree's.
    for directory in ["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"] {
      add(directory + "/rpmdb.sqlite", .rpmSQLite)
      files.append((Self.log(of: Array((directory + "/rpmdb.sqlite").utf8)), .rpmSQLiteLog))
      add(directory + "/Packages", .rpmBerkeley)
      add(directory + "/Packages.db", .rpmNDB)
    }
    self.files = files
    var ancestors = Set<[UInt8]>()
    for path in files.map(\.path) + [Self.statusPrefix + [0]] {
      for index in path.indices where path[index] == UInt8(ascii: "/") { ancestors.insert(Array(path[..<index])) }
    }
    let known = files + ancestors.map { ($0, .ancestor) }
    var byLength = [[(path: [UInt8], meaning: WatchedPath)]](
      repeating: [], count: (known.map(\.0.count).max() ?? 0) + 1)
    for entry in known { byLength[entry.0.count].append(entry) }
    self.byLength = byLength
  }

  /// What `path` (normalised) means; nil for the many that mean nothing.
  package func meaning(of path: UnsafeRawBufferPointer) -> WatchedPath? {
    // The first letters of bin, boot, dev, home, opt, proc, root, sbin, srv, tmp … sort out half.
    guard let first = path.first, "euvl".utf8.contains(first) else { return nil }
    if path.count < byLength.count, let known = byLength[path.count].first(where: { $0.path.elementsEqual(path) }) {
      return known.meaning
    }
    return isStatusFile(path) ? .dpkgStatusFile : nil
  }

  package func meaning(of path: [UInt8]) -> WatchedPath? { path.withUnsafeBytes { meaning(of: $0) } }

  private func isStatusFile(_ path: UnsafeRawBufferPointer) -> Bool {
    let prefix = Self.statusPrefix
    guard path.count > prefix.count, path.prefix(prefix.count).elementsEqual(prefix) else { return false }
    let name = path[prefix.count...]
    return !name.contains(UInt8(ascii: "/")) && !name.suffix(8).elementsEqual(".md5sums".utf8)
  }
}
