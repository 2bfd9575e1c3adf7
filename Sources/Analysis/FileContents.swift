import Glibc
import Inventory
import StorageMessages

/// What was found in the files of a layer, whatever their paths: packages of languages, secrets, and what is wrong with the
/// files themselves. The last entry of a path wins, as with extraction.
struct FileContents {
  private let limits: AnalysisLimits
  private let secretSearch: LayerAnalyser.SecretSearch?
  private var placed = PlacedPaths.Builder()
  /// By the hashes of their paths.
  private var databases: [UInt64: PackageDatabase] = [:]
  private var lockFiles: [UInt64: PackageDatabase] = [:]
  private var findings: [UInt64: [FileFinding]] = [:]
  private var secrets: [UInt64: [SecretRecord]] = [:]
  private var findingsCount = 0
  private var isFindingLimitTold = false
  private var secretBytesLeft: Int

  init(limits: AnalysisLimits, secretSearch: LayerAnalyser.SecretSearch?) {
    self.limits = limits
    self.secretSearch = secretSearch
    secretBytesLeft = limits.secretsBytes
  }

  /// Notes the entry that the reader stands on, and forgets what an earlier one of its path was. Returns what is to be told.
  mutating func note(_ reader: TarReader) -> LayerError? {
    let hash = PathHash(reader.path.bytes)
    placed.add(hash, isDirectory: reader.kind == .directory)
    forget(hash.value)
    let checks =
      switch reader.kind {
      case .file: FileCheck.ofFile(reader.path.bytes, mode: reader.mode)
      case .directory: FileCheck.ofDirectory(reader.path.bytes, mode: reader.mode)
      case .hardLink, .symlink, .special: [FileCheck]()
      }
    if checks.isEmpty { return nil }
    let path = Array(reader.path.bytes)
    let kept = checks.prefix(limits.fileFindings - findingsCount)
    findingsCount += kept.count
    findings[hash.value] = kept.map { check in
      var finding = FileFinding()
      finding.id = check.rawValue
      finding.path = path
      finding.detail = "mode " + String(reader.mode, radix: 8)
      return finding
    }
    if kept.count == checks.count || isFindingLimitTold { return nil }
    isFindingLimitTold = true
    return LayerError(
      .findingLimit, "more than \(limits.fileFindings) files have odd modes; the rest is not listed")
  }

  private mutating func forget(_ hash: UInt64) {
    if !databases.isEmpty { databases[hash] = nil }
    if !lockFiles.isEmpty { lockFiles[hash] = nil }
    if !findings.isEmpty, let old = findings.removeValue(forKey: hash) { findingsCount -= old.count }
    if !secrets.isEmpty { secrets[hash] = nil }
  }

  /// Reads the body of a regular file as far as anything may be in it, using `body` for its bytes, and returns what is to be
  /// told. Throws what ends the reading of the layer.
  mutating func read(
    _ reader: TarReader, into body: inout [UInt8], _ collector: inout PackageCollector, _ stream: LayerStream
  ) throws(LayerError) -> [LayerError] {
    if reader.size == 0 { return [] }
    let named = LanguageFile.of(path: reader.path.bytes)
    if reader.isSparse {
      return [LayerError(.fileSparse, "is stored as a sparse file, which is not read", path: reader.pathBytes)]
    }
    body.removeAll(keepingCapacity: true)
    var failure: LayerError?
    func hold(_ limit: Int, _ body: inout [UInt8]) {
      if failure != nil { return }
      do throws(LayerError) {
        try reader.readBody(into: &body, limit: limit - body.count)
      } catch {
        failure = error
      }
    }
    hold(limits.textProbeBytes, &body)
    let language = named ?? body.withUnsafeBytes { LanguageFile.ofContents($0) }
    let isText = secretSearch != nil && reader.size <= limits.secretFileBytes && !Self.holdsNUL(body)
    if language != nil || isText { hold(language == nil ? limits.secretFileBytes : limits.fileBytes, &body) }
    var errors: [LayerError] = []
    if let language { errors += try parse(language, reader, body, &collector, stream) }
    if isText, let secretSearch { errors += try search(reader, body, &collector, stream, secretSearch) }
    if let failure { throw failure }
    return errors
  }

  /// As text never does.
  private static func holdsNUL(_ start: [UInt8]) -> Bool {
    start.withUnsafeBytes { bytes in bytes.baseAddress.map { memchr($0, 0, bytes.count) != nil } ?? false }
  }

  private mutating func parse(
    _ language: LanguageFile, _ reader: TarReader, _ body: [UInt8], _ collector: inout PackageCollector,
    _ stream: LayerStream
  ) throws(LayerError) -> [LayerError] {
    let path = reader.pathBytes
    var errors: [LayerError] = []
    var failure: LayerError?
    do throws(LayerError) {
      errors = try withFile(reader, body) { (file) throws(LayerError) in
        try language.parse(file, into: &collector) { () throws(LayerError) in try stream.checkTime() }
      }
    } catch {
      failure = error
    }
    let (database, found) = collector.takeDatabase(kind: language.databaseKind, path: path)
    if !database.packages.isEmpty {
      let hash = PathHash(path).value
      if language.isLockFile { lockFiles[hash] = database } else { databases[hash] = database }
      try collector.keep(path: path.count)
    }
    if let failure { throw failure }
    return (errors + found).map { error in
      var error = error
      error.path = path
      return error
    }
  }

  private mutating func search(
    _ reader: TarReader, _ body: [UInt8], _ collector: inout PackageCollector, _ stream: LayerStream,
    _ look: LayerAnalyser.SecretSearch
  ) throws(LayerError) -> [LayerError] {
    try stream.checkTime()
    var found: [SecretRecord] = []
    var errors: [LayerError] = []
    do throws(LayerError) {
      try withFile(reader, body) { (file) throws(LayerError) in try look(file, &found) }
    } catch {
      errors = [error]
    }
    let bytes = found.reduce(0) { $0 + $1.value.count + $1.excerpt.utf8.count }
    guard bytes <= secretBytesLeft else {
      return errors + [
        LayerError(
          .secretLimit, "the layer's secrets are longer than the \(limits.secretsBytes) bytes that are kept of them",
          path: reader.pathBytes)
      ]
    }
    secretBytesLeft -= bytes
    if !found.isEmpty {
      secrets[PathHash(reader.path.bytes).value] = found
      try collector.keep(path: found.count * reader.path.count)
    }
    return errors
  }

  private func withFile<R>(
    _ reader: TarReader, _ body: [UInt8], _ look: (LayerFile) throws(LayerError) -> R
  ) throws(LayerError) -> R {
    try body.withBytes { (bytes) throws(LayerError) in
      try look(LayerFile(path: reader.path.bytes, mode: reader.mode, size: reader.size, bytes: bytes))
    }
  }

  /// Hands over what was found, in the order of the paths.
  consuming func finish(into analysis: inout LayerAnalysis) {
    func precedes(_ a: [UInt8], _ b: [UInt8]) -> Bool { a.lexicographicallyPrecedes(b) }
    analysis.databases += databases.values.sorted { precedes($0.path, $1.path) }
    analysis.lockFiles = lockFiles.values.sorted { precedes($0.path, $1.path) }
    analysis.fileFindings = findings.values.flatMap { $0 }.sorted { precedes($0.path, $1.path) }
    analysis.secrets = secrets.values.flatMap { $0 }.sorted {
      $0.path == $1.path ? ($0.line, $0.rule) < ($1.line, $1.rule) : precedes($0.path, $1.path)
    }
    analysis.placed = placed.encoded()
  }
}
