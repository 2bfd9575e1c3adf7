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
  private var findingsLeftOut = LeftOut()
  private var secretBytesLeft: Int
  private var secretsLeftOut = LeftOut()
  private var notSearched = LeftOut()

  init(limits: AnalysisLimits, secretSearch: LayerAnalyser.SecretSearch?) {
    self.limits = limits
    self.secretSearch = secretSearch
    secretBytesLeft = limits.secretsBytes
  }

  /// Notes the entry that the reader stands on, and forgets what an earlier one of its path was.
  mutating func note(_ reader: TarReader, _ collector: inout PackageCollector) {
    let hash = PathHash(reader.path.bytes)
    placed.add(hash, isDirectory: reader.kind == .directory)
    forget(hash.value, &collector)
    let checks =
      switch reader.kind {
      case .file: FileCheck.ofFile(reader.path.bytes, mode: reader.mode)
      case .directory: FileCheck.ofDirectory(reader.path.bytes, mode: reader.mode)
      case .hardLink, .symlink, .special: [FileCheck]()
      }
    if checks.isEmpty { return }
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
    if kept.count < checks.count { findingsLeftOut.add(path) }
  }

  private mutating func forget(_ hash: UInt64, _ collector: inout PackageCollector) {
    if !databases.isEmpty, let old = databases.removeValue(forKey: hash) { collector.giveBack(path: old.path.count) }
    if !lockFiles.isEmpty, let old = lockFiles.removeValue(forKey: hash) { collector.giveBack(path: old.path.count) }
    if !findings.isEmpty, let old = findings.removeValue(forKey: hash) { findingsCount -= old.count }
    if !secrets.isEmpty, let old = secrets.removeValue(forKey: hash), let path = old.first?.path {
      secretBytesLeft += Self.bytes(of: old)
      collector.giveBack(path: path.count, count: old.count)
    }
  }

  /// What is left out of files: each told once for the layer.
  var leftOut: [LayerError] {
    let findings = findingsLeftOut.error(.findingLimit) {
      "more than \(limits.fileFindings) odd modes of files were found: those of \($0) files are not listed"
    }
    let secrets = secretsLeftOut.error(.secretLimit) {
      "the layer's secrets, or their paths, are longer than is kept of them: those of \($0) files are left out"
    }
    let texts = notSearched.error(.secretsNotRead) {
      "text files over \(limits.secretFileBytes) bytes are not searched for secrets: \($0) in this layer"
    }
    return [findings, secrets, texts].compactMap { $0 }
  }

  /// Reads the body of a regular file as far as anything may be in it, using `body` for its bytes, and adds what is to be
  /// told. Throws what ends the reading of the layer: the first of it, where there is more.
  mutating func read(
    _ reader: TarReader, into body: inout [UInt8], _ collector: inout PackageCollector, _ stream: LayerStream,
    _ errors: inout [LayerError]
  ) throws(LayerError) {
    if reader.size == 0 { return }
    let named = LanguageFile.of(path: reader.path.bytes)
    if reader.isSparse {
      errors.append(LayerError(.fileSparse, "is stored as a sparse file, which is not read", path: reader.pathBytes))
      return
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
    let isText = secretSearch != nil && !body.isEmpty && !Self.holdsNUL(body)
    let isSearched = isText && reader.size <= limits.secretFileBytes
    if isText && !isSearched { notSearched.add(reader.pathBytes) }
    if language != nil || isSearched { hold(language == nil ? limits.secretFileBytes : limits.fileBytes, &body) }
    do throws(LayerError) {
      if let language { try parse(language, reader, body, &collector, stream, &errors) }
      if isSearched, let secretSearch { try search(reader, body, &collector, stream, secretSearch, &errors) }
    } catch {
      failure = failure ?? error
    }
    if let failure { throw failure }
  }

  /// As text never does.
  private static func holdsNUL(_ start: [UInt8]) -> Bool {
    start.withUnsafeBytes { bytes in bytes.baseAddress.map { memchr($0, 0, bytes.count) != nil } ?? false }
  }

  private mutating func parse(
    _ language: LanguageFile, _ reader: TarReader, _ body: [UInt8], _ collector: inout PackageCollector,
    _ stream: LayerStream, _ errors: inout [LayerError]
  ) throws(LayerError) {
    let path = reader.pathBytes
    var wrong: [LayerError] = []
    var failure: LayerError?
    do throws(LayerError) {
      wrong = try withFile(reader, body) { (file) throws(LayerError) in
        try language.parse(file, into: &collector) { () throws(LayerError) in try stream.checkTime() }
      }
    } catch {
      failure = error
    }
    let (database, found) = collector.takeDatabase(kind: language.databaseKind, path: path)
    for var error in wrong + found {
      error.path = path
      errors.append(error)
    }
    if !database.packages.isEmpty {
      let hash = PathHash(path).value
      if language.isLockFile { lockFiles[hash] = database } else { databases[hash] = database }
      do throws(LayerError) { try collector.keep(path: path.count) } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
  }

  private mutating func search(
    _ reader: TarReader, _ body: [UInt8], _ collector: inout PackageCollector, _ stream: LayerStream,
    _ look: LayerAnalyser.SecretSearch, _ errors: inout [LayerError]
  ) throws(LayerError) {
    try stream.checkTime()
    var found: [SecretRecord] = []
    do throws(LayerError) {
      try withFile(reader, body) { (file) throws(LayerError) in try look(file, &found) }
    } catch {
      errors.append(error)
    }
    if found.isEmpty { return }
    let bytes = Self.bytes(of: found)
    guard bytes <= secretBytesLeft, collector.admit(path: reader.path.count, count: found.count) else {
      return secretsLeftOut.add(reader.pathBytes)
    }
    secretBytesLeft -= bytes
    secrets[PathHash(reader.path.bytes).value] = found
  }

  private static func bytes(of secrets: [SecretRecord]) -> Int {
    secrets.reduce(0) { $0 + 32 + $1.rule.utf8.count + $1.value.count + $1.excerpt.utf8.count }
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
