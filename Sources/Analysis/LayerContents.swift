import Inventory
import StorageMessages

/// What was found in a layer so far. Holds the state that extraction would leave: the last entry of a path wins, and what
/// is no directory hides what came below it.
struct LayerContents {
  private let limits: AnalysisLimits
  private var collector: PackageCollector
  private var files: FileContents
  /// Every watched path that occurred, with its last entry.
  private var watched: [[UInt8]: WatchedEntry] = [:]
  private var databases: [[UInt8]: PackageDatabase] = [:]
  private var osReleases: [[UInt8]: OSRelease] = [:]
  private var held: HeldDatabases
  private var whiteouts: [[UInt8]] = []
  private var opaqueDirectories: [[UInt8]] = []
  private var droppedWhiteouts = 0
  private var statusFiles = 0
  private var faults: [LayerError] = []
  /// Used again for each file that is held.
  private var body: [UInt8] = []

  init(limits: AnalysisLimits, secretSearch: LayerAnalyser.SecretSearch?) {
    self.limits = limits
    files = FileContents(limits: limits, secretSearch: secretSearch)
    collector = PackageCollector(limits: limits)
    held = HeldDatabases(limits: limits)
  }

  /// Looks at the entry that the reader stands on. Throws what ends the reading of the layer.
  mutating func take(_ reader: TarReader, _ stream: LayerStream) throws(LayerError) {
    if reader.path.base.starts(with: Whiteout.prefix) { return try takeWhiteout(reader) }
    files.note(reader, &collector)
    guard let meaning = WatchedPaths.all.meaning(of: reader.path.bytes) else {
      if reader.kind == .file { try readContents(reader, stream) }
      return
    }
    let path = Array(reader.path.bytes)
    if meaning == .dpkgStatusFile && watched[path] == nil {
      statusFiles += 1
      guard statusFiles <= limits.databaseFiles else {
        if statusFiles == limits.databaseFiles + 1 {
          report(
            LayerError(
              .packageLimit, "more than \(limits.databaseFiles) files in it", path: WatchedPaths.statusDirectory))
        }
        return
      }
    }
    replace(path, by: reader, meaning)
    if let entry = watched[path] { try collector.keep(path: path.count + entry.linkTarget.count) }
    if meaning.databaseKind != nil { try collector.keep(path: path.count) }
    switch reader.kind {
    case .file where meaning != .ancestor: try readFile(meaning, path, reader, stream)
    case .hardLink where meaning != .ancestor: try copyLinked(meaning, path, to: reader.linkTarget())
    default: break
    }
  }

  private mutating func readContents(_ reader: TarReader, _ stream: LayerStream) throws(LayerError) {
    var errors: [LayerError] = []
    defer {
      errors.forEach { report($0) }
      shrinkBody()
    }
    try files.read(reader, into: &body, &collector, stream, &errors)
  }

  /// A big file's memory is not kept for the small ones that follow.
  private mutating func shrinkBody() {
    if body.capacity > 4 << 20 { body = [] }
  }

  /// Keeps what ended the reading of the layer, however many faults there are; each kind once, as whoever looks at the clock
  /// next throws again.
  mutating func end(by error: LayerError) {
    if !faults.contains(where: { $0.code == error.code && $0.path == error.path }) { faults.append(error) }
  }

  mutating func report(_ error: LayerError) {
    if faults.count < limits.faults {
      faults.append(error)
    } else if !faults.contains(where: { $0.code == .faultLimit }) {
      faults.append(LayerError(.faultLimit, "more faults were found than are kept"))
    }
  }

  /// Hands over what was found, in an order that does not depend on chance.
  mutating func finish(into analysis: inout LayerAnalysis) {
    for (path, entry) in watched.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
      analysis.watched.append(entry)
      guard let meaning = WatchedPaths.all.meaning(of: path), meaning != .ancestor else { continue }
      if entry.kind == .directory || entry.kind == .other {
        report(LayerError(.notAFile, "is a directory, device or FIFO where a file is expected", path: path))
      }
      if let database = databases[path] { analysis.databases.append(database) }
      if let os = osReleases[path] {
        var file = OSReleaseFile()
        file.path = path
        file.os = os
        analysis.osReleases.append(file)
      }
    }
    let leftOut = [collector.packagesLeftOut].compactMap { $0 } + files.leftOut
    files.finish(into: &analysis)
    analysis.whiteouts = whiteouts
    analysis.opaqueDirectories = opaqueDirectories
    analysis.droppedNames += UInt64(droppedWhiteouts)
    analysis.faults = (faults + leftOut).map(\.fault)
  }

  // MARK: - Whiteouts

  private enum Whiteout {
    static let prefix = Array(".wh.".utf8)
    static let opaque = Array(".wh..wh..opq".utf8)
    static let reserved = Array(".wh..wh.".utf8)
  }

  /// Image specification, "Whiteouts": they concern lower layers only, wherever in the layer they stand.
  private mutating func takeWhiteout(_ reader: TarReader) throws(LayerError) {
    let base = reader.path.base
    var path = Array(reader.path.parent)
    if base.elementsEqual(Whiteout.opaque) {
      opaqueDirectories.append(path)
    } else {
      // Other names with two prefixes are AUFS's own files, which no runtime extracts.
      if base.starts(with: Whiteout.reserved) { return }
      let name = base[Whiteout.prefix.count...]
      if name.isEmpty || name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) {
        droppedWhiteouts += 1
        return
      }
      if !path.isEmpty { path.append(UInt8(ascii: "/")) }
      path.append(contentsOf: name)
      whiteouts.append(path)
    }
    try collector.keep(path: path.count)
  }

  // MARK: - Watched paths

  private mutating func replace(_ path: [UInt8], by reader: TarReader, _ meaning: WatchedPath) {
    for slash in path.indices where path[slash] == UInt8(ascii: "/") {
      let ancestor = Array(path[..<slash])
      // A file below makes a directory of what was none; through a symbolic link it goes on elsewhere.
      if let entry = watched[ancestor], entry.kind != .directory && entry.kind != .symlink {
        watched[ancestor]?.kind = .directory
      }
    }
    if let before = watched[path] {
      forget(path)
      if meaning == .ancestor && before.kind == .directory && reader.kind != .directory { forgetBelow(path) }
    } else if meaning == .ancestor && reader.kind != .directory {
      forgetBelow(path)
    }
    var entry = WatchedEntry()
    entry.path = path
    entry.kind = reader.kind.entryKind
    if reader.kind == .symlink { entry.linkTarget = reader.linkTarget() }
    watched[path] = entry
  }

  private mutating func forget(_ path: [UInt8]) {
    watched[path] = nil
    databases[path] = nil
    osReleases[path] = nil
    held.forget(path)
    faults.removeAll { $0.path == path }
  }

  private mutating func forgetBelow(_ directory: [UInt8]) {
    let prefix = directory + [UInt8(ascii: "/")]
    for path in watched.keys.filter({ $0.starts(with: prefix) }) { forget(path) }
  }

  private mutating func copyLinked(_ meaning: WatchedPath, _ path: [UInt8], to linkName: [UInt8]) throws(LayerError) {
    var target = EntryPath(capacity: limits.nameBytes)
    let isInside = linkName.withUnsafeBytes {
      target.set(prefix: UnsafeRawBufferPointer(start: nil, count: 0), name: $0)
    }
    let targetPath = isInside ? Array(target.bytes) : []
    guard targetPath != path, let entry = watched[targetPath],
      let targetMeaning = WatchedPaths.all.meaning(of: targetPath), targetMeaning.hasFormat(of: meaning)
    else {
      report(LayerError(.hardLinkNotKept, "is a hard link to a file whose contents were not kept", path: path))
      return
    }
    if !entry.linkTarget.isEmpty { try collector.keep(path: entry.linkTarget.count) }
    watched[path]?.kind = entry.kind
    watched[path]?.linkTarget = entry.linkTarget
    if var database = databases[targetPath] {
      if collector.admitCopies(of: database.packages, at: path) {
        database.path = path
        databases[path] = database
      }
    }
    osReleases[path] = osReleases[targetPath]
    if !held.copy(targetPath, to: path) {
      report(
        LayerError(.hardLinkNotKept, "is a hard link to a database that is too large to be held twice", path: path))
    }
    for var error in faults where error.path == targetPath {
      error.path = path
      report(error)
    }
  }

  private mutating func readFile(
    _ meaning: WatchedPath, _ path: [UInt8], _ reader: TarReader, _ stream: LayerStream
  ) throws(LayerError) {
    // As SQLite leaves a log that it has done with.
    if meaning == .rpmSQLiteLog && reader.size == 0 { return }
    if reader.isSparse {
      report(LayerError(.fileSparse, "is stored as a sparse file, which is not read", path: path))
      return
    }
    let limit = meaning.isRelease ? limits.osReleaseBytes : limits.fileBytes
    var isComplete = reader.size <= limit
    if !isComplete {
      // A piece of such a database is none.
      report(
        meaning == .rpmSQLite
          ? LayerError(
            .databaseIncomplete, "has \(reader.size) bytes, over the \(limit) that are held; no package of it was read",
            path: path)
          : LayerError(.fileTooLarge, "has \(reader.size) bytes; only the first \(limit) are read", path: path))
    }
    let isTooLarge = !isComplete
    body.removeAll(keepingCapacity: true)
    var failure: LayerError?
    do throws(LayerError) {
      try reader.readBody(into: &body, limit: limit)
    } catch {
      failure = error
      isComplete = false
    }
    switch meaning {
    case .rpmSQLite where isTooLarge: keepEmptyDatabase(path)
    case .rpmSQLite where isComplete && held.hold(&body, at: path): break
    case .rpmSQLiteLog:
      databases[path] = collector.takeDatabase(kind: meaning.databaseKind ?? "", path: path).0
      if !held.hold(&body, at: path) { report(Self.logNotRead("it is too large to be held"), at: path) }
    default:
      do throws(LayerError) {
        try parse(meaning, path, isComplete: isComplete, stream)
      } catch {
        failure = failure ?? error
      }
    }
    shrinkBody()
    if let failure { throw failure }
  }

  private mutating func parse(
    _ meaning: WatchedPath, _ path: [UInt8], isComplete: Bool, _ stream: LayerStream
  ) throws(LayerError) {
    var errors: [LayerError] = []
    var failure: LayerError?
    func checkTime() throws(LayerError) { try stream.checkTime() }
    do throws(LayerError) {
      switch meaning {
      case .ancestor, .rpmSQLiteLog: return
      case .release(let file):
        osReleases[path] = body.withUnsafeBytes { OSRelease(parsing: $0, as: file, textBytes: limits.textBytes) }
        return
      case .apkInstalled:
        body.withUnsafeBytes { ApkInstalled.parse($0, isComplete: isComplete, into: &collector) }
      case .dpkgStatus, .dpkgStatusFile:
        let isControlFile = meaning == .dpkgStatusFile
        body.withUnsafeBytes {
          DpkgStatus.parse($0, isControlFile: isControlFile, isComplete: isComplete, into: &collector)
        }
      case .rpmSQLite where !isComplete:
        errors = [LayerError(.databaseIncomplete, "the rpm database is cut; no package of it was read")]
      case .rpmSQLite: errors = try RPMSQLite.read(&body, into: &collector, checkTime: checkTime)
      case .rpmNDB:
        errors = try body.withBytes { (bytes) throws(LayerError) in
          try RPMNDB.read(bytes, into: &collector, checkTime: checkTime)
        }
      case .rpmBerkeley:
        errors = try body.withBytes { (bytes) throws(LayerError) in
          try RPMBerkeley.read(bytes, into: &collector, checkTime: checkTime)
        }
      }
    } catch {
      failure = error
    }
    let (database, found) = collector.takeDatabase(kind: meaning.databaseKind ?? "", path: path)
    databases[path] = database
    for error in errors + found { report(error, at: path) }
    if let failure { throw failure }
  }

  private mutating func report(_ error: LayerError, at path: [UInt8]) {
    var error = error
    error.path = path
    report(error)
  }

  // MARK: - Databases with logs

  /// So that it is seen that there is one.
  private mutating func keepEmptyDatabase(_ path: [UInt8]) {
    databases[path] = collector.takeDatabase(kind: WatchedPath.rpmSQLite.databaseKind ?? "", path: path).0
  }

  private static func logNotRead(_ reason: String) -> LayerError {
    LayerError(
      .databaseIncomplete, "the rpm database's write-ahead log is not read, as \(reason): packages may be missing")
  }

  /// Reads what was held. To be called once the layer's entries were all taken, or as many as there will be: also where
  /// that was for want of CPU time, of which this has some of its own.
  mutating func readHeld(_ stream: LayerStream) {
    stream.allowTimeForHeldDatabases()
    while let (path, log) = held.takeDatabase(into: &body) {
      do throws(LayerError) {
        for error in try WriteAheadLog.apply(
          log, to: &body, limit: limits.fileBytes, checkTime: { () throws(LayerError) in try stream.checkTime() })
        { report(error, at: WatchedPaths.log(of: path)) }
        try parse(.rpmSQLite, path, isComplete: true, stream)
      } catch {
        end(by: error)
        report(
          LayerError(.databaseIncomplete, "the rpm database was not read to its end: packages may be missing"), at: path
        )
        if databases[path] == nil { keepEmptyDatabase(path) }
      }
    }
    for path in held.paths {
      report(Self.logNotRead("its database is not in this layer, or was not held"), at: path)
    }
  }
}
