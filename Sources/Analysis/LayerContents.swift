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
  private var whiteouts: [[UInt8]] = []
  private var opaqueDirectories: [[UInt8]] = []
  private var droppedWhiteouts = 0
  private var keptPathBytes = 0
  private var statusFiles = 0
  private var faults: [LayerError] = []
  /// Used again for each file that is held.
  private var body: [UInt8] = []

  init(limits: AnalysisLimits, secretSearch: LayerAnalyser.SecretSearch?) {
    self.limits = limits
    files = FileContents(limits: limits, secretSearch: secretSearch)
    collector = PackageCollector(limits: limits)
  }

  /// Looks at the entry that the reader stands on. Throws what ends the reading of the layer.
  mutating func take(_ reader: TarReader, _ stream: LayerStream) throws(LayerError) {
    if reader.path.base.starts(with: Whiteout.prefix) { return try takeWhiteout(reader) }
    if let error = files.note(reader) { report(error) }
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
    switch reader.kind {
    case .file where meaning != .ancestor: try readFile(meaning, path, reader, stream)
    case .hardLink where meaning != .ancestor: copyLinked(meaning, path, to: reader.linkTarget())
    default: break
    }
  }

  private mutating func readContents(_ reader: TarReader, _ stream: LayerStream) throws(LayerError) {
    defer { shrinkBody() }
    for error in try files.read(reader, into: &body, &collector, stream) { report(error) }
  }

  /// A big file's memory is not kept for the small ones that follow.
  private mutating func shrinkBody() {
    if body.capacity > 4 << 20 { body = [] }
  }

  mutating func report(_ error: LayerError) {
    if faults.count < limits.faults {
      faults.append(error)
    } else if faults.count == limits.faults {
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
    files.finish(into: &analysis)
    analysis.whiteouts = whiteouts
    analysis.opaqueDirectories = opaqueDirectories
    analysis.droppedNames += UInt64(droppedWhiteouts)
    analysis.faults = faults.map(\.fault)
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
    keptPathBytes += path.count + 16
    guard keptPathBytes <= limits.keptPathBytes else {
      throw LayerError(.keptPathLimit, "the layer removes more paths than are kept")
    }
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
    faults.removeAll { $0.path == path }
  }

  private mutating func forgetBelow(_ directory: [UInt8]) {
    let prefix = directory + [UInt8(ascii: "/")]
    for path in watched.keys.filter({ $0.starts(with: prefix) }) { forget(path) }
  }

  private mutating func copyLinked(_ meaning: WatchedPath, _ path: [UInt8], to linkName: [UInt8]) {
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
    watched[path]?.kind = entry.kind
    watched[path]?.linkTarget = entry.linkTarget
    if var database = databases[targetPath] {
      if collector.admitCopies(of: database.packages) {
        database.path = path
        databases[path] = database
      } else {
        report(LayerError(.packageLimit, "the layer lists more packages than are kept", path: path))
      }
    }
    osReleases[path] = osReleases[targetPath]
    for var error in faults where error.path == targetPath {
      error.path = path
      report(error)
    }
  }

  private mutating func readFile(
    _ meaning: WatchedPath, _ path: [UInt8], _ reader: TarReader, _ stream: LayerStream
  ) throws(LayerError) {
    if meaning == .rpmSQLiteLog {
      // Frames in it are newer than the database beside it.
      if reader.size > 0 {
        report(
          LayerError(
            .databaseIncomplete, "the rpm database's write-ahead log is not read: packages may be missing", path: path))
      }
      return
    }
    if meaning == .rpmBerkeley || meaning == .rpmNDB {
      let format = meaning == .rpmNDB ? "ndb" : "Berkeley DB"
      report(
        LayerError(
          .databaseNotSupported, "rpm database in Berkeley DB/ndb format is not read yet (\(format))", path: path))
      return
    }
    if reader.isSparse {
      report(LayerError(.fileSparse, "is stored as a sparse file, which is not read", path: path))
      return
    }
    let limit = meaning.isRelease ? limits.osReleaseBytes : limits.fileBytes
    var isComplete = reader.size <= limit
    if !isComplete {
      report(LayerError(.fileTooLarge, "has \(reader.size) bytes; only the first \(limit) are read", path: path))
    }
    body.removeAll(keepingCapacity: true)
    var failure: LayerError?
    do throws(LayerError) {
      try reader.readBody(into: &body, limit: limit)
    } catch {
      failure = error
      isComplete = false
    }
    try parse(meaning, path, isComplete: isComplete, stream)
    shrinkBody()
    if let failure { throw failure }
  }

  private mutating func parse(
    _ meaning: WatchedPath, _ path: [UInt8], isComplete: Bool, _ stream: LayerStream
  ) throws(LayerError) {
    var errors: [LayerError] = []
    switch meaning {
    case .ancestor, .rpmSQLiteLog, .rpmBerkeley, .rpmNDB: return
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
    case .rpmSQLite:
      guard isComplete else {
        errors = [LayerError(.databaseIncomplete, "the rpm database is cut; no package of it was read", path: path)]
        break
      }
      errors = try RPMSQLite.read(&body, into: &collector) { () throws(LayerError) in try stream.checkTime() }
    }
    let (database, found) = collector.takeDatabase(kind: meaning.databaseKind ?? "", path: path)
    databases[path] = database
    for var error in errors + found {
      error.path = path
      report(error)
    }
  }
}
