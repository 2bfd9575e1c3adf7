import Analysis
import Glibc
import Inventory
import JSON
import StorageMessages

/// What libFuzzer calls. The environment says which of the targets; the first byte of an input says how the rest is taken.
/// A trap, a leak, a memory error, an analysis that the daemon would refuse, and one that depends on how its bytes came are
/// finds.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  guard let data, size > 0 else { return 0 }
  let bytes = [UInt8](UnsafeBufferPointer(start: data + 1, count: size - 1))
  Target.chosen.run(bytes, mode: Int(data[0]))
  return 0
}

enum Target: String {
  /// Compression and tar.
  case tar
  case apk, dpkg, sqlite, ndb, berkeley, log
  case jar, executable, manifests, json

  static let chosen: Target = {
    let name = getenv("TIDEWAITER_FUZZ").map { String(cString: $0) } ?? ""
    // Whoever starts it has mistyped: nothing to go on with.
    guard let target = Target(rawValue: name) else { fatalError("TIDEWAITER_FUZZ names no target: '\(name)'") }
    return target
  }()

  func run(_ bytes: [UInt8], mode: Int) {
    switch self {
    case .tar: analyseLayer(bytes, mode)
    case .apk: analyseFile("lib/apk/db/installed", bytes, mode)
    case .dpkg: analyseFile(mode & 1 == 0 ? "var/lib/dpkg/status" : "var/lib/dpkg/status.d/x", bytes, mode)
    case .sqlite: analyseFile("var/lib/rpm/rpmdb.sqlite", bytes, mode)
    case .ndb: analyseFile("var/lib/rpm/Packages.db", bytes, mode)
    case .berkeley: analyseFile("var/lib/rpm/Packages", bytes, mode)
    case .log: analyseLog(bytes, mode)
    case .jar: analyseFile("opt/name-1.2.jar", bytes, mode)
    case .executable: analyseFile("usr/bin/program", mode & 1 == 0 ? bytes : withHoles(bytes), mode)
    case .manifests: analyseFile(Self.manifestPaths[mode % Self.manifestPaths.count], bytes, 0)
    case .json: readJSON(bytes)
    }
  }

  /// `run` gives each of its seeds the number of its place here.
  private static let manifestPaths = [
    "node_modules/m/package.json", "package-lock.json", "yarn.lock", "m.dist-info/METADATA", "requirements.txt",
    "Pipfile.lock", "poetry.lock", "specifications/m.gemspec", "Gemfile.lock", "Cargo.lock", "m.deps.json",
    "packages.lock.json", "vendor/composer/installed.json", "composer.lock", "etc/os-release",
  ]
}

/// Smaller where a run would take long without finding more.
private let limits: AnalysisLimits = {
  var limits = AnalysisLimits.standard
  limits.expansionFreeBytes = 16 << 20
  limits.uncompressedBytes = 64 << 20
  limits.archiveBytes = 16 << 20
  limits.layerArchiveBytes = 32 << 20
  return limits
}()

private func analyse(_ bytes: [UInt8], pieceBytes: Int) -> LayerAnalysis {
  LayerAnalyser(limits: limits).analyse(MemorySource(bytes, pieceBytes: pieceBytes))
}

/// The daemon takes what a worker says, as it was said, and can lay it over itself. That takes longer than reading: it is
/// tried with some inputs. Ending the process is how libFuzzer is told of a find, here and below.
private func check(_ analysis: LayerAnalysis) {
  guard let answer = WorkerProtocol.encodeAnswer(analysis) else { fatalError("an analysis is too large to be sent") }
  do {
    let decoded = try WorkerProtocol.decodeAnswer(answer)
    precondition(decoded == analysis, "an analysis changed on its way")
  } catch {
    fatalError("an analysis is refused: \(error)")
  }
  _ = InventoryMerger.merge([analysis, analysis])
}

/// A layer as it may come from a registry. An odd mode repairs the sums of its headers, which no mutation would fit.
private func analyseLayer(_ bytes: [UInt8], _ mode: Int) {
  let layer = mode & 1 == 0 ? bytes : withSoundHeaders(bytes)
  let whole = analyse(layer, pieceBytes: 1 << 30)
  if bytes.count % 4 == 0 { check(whole) }
  var inPieces = analyse(layer, pieceBytes: 1 + mode * 7)
  // How far a decoder comes in a corrupt stream depends on what it is given at once; nothing else may.
  if isCorrupt(whole) || isCorrupt(inPieces) { return }
  inPieces.uncompressedBytes = whole.uncompressedBytes
  inPieces.compressedBytes = whole.compressedBytes
  if inPieces != whole { fatalError("an analysis depends on how its bytes came:\n\(whole)\n\(inPieces)") }
}

private func isCorrupt(_ analysis: LayerAnalysis) -> Bool {
  analysis.faults.contains { $0.code == LayerError.Code.corrupt.rawValue }
}

private func withSoundHeaders(_ bytes: [UInt8]) -> [UInt8] {
  var bytes = bytes
  for start in stride(from: 0, to: bytes.count - 511, by: 512) {
    let block = Array(bytes[start..<(start + 512)])
    // Blocks that call themselves headers, and the first.
    guard start == 0 || block[257..<262].elementsEqual("ustar".utf8) else { continue }
    bytes.replaceSubrange(start..<(start + 512), with: TarBuilder.reseal(block, at: 0, []))
  }
  return bytes
}

private func analyseFile(_ path: String, _ bytes: [UInt8], _ mode: Int) {
  let file = TarBuilder.file(path, bytes)
  let isCut = mode & 2 == 2
  let analysis = analyse(isCut ? Array(file.prefix(512 + bytes.count / 2)) : file + TarBuilder.end, pieceBytes: 1 << 30)
  if bytes.count % 4 == 0 { check(analysis) }
}

/// Of large files that are nearly all zeros: pieces, each with the blocks of zeros before it and its own length.
private func withHoles(_ bytes: [UInt8]) -> [UInt8] {
  var expanded: [UInt8] = []
  var rest = bytes[...]
  while rest.count >= 4, expanded.count < 1 << 20 {
    let head = rest.prefix(4).map(Int.init)
    expanded.append(contentsOf: repeatElement(0, count: min(head[0] << 8 | head[1], 256) * 4_096))
    rest = rest.dropFirst(4)
    let length = head[2] << 8 | head[3]
    expanded.append(contentsOf: rest.prefix(length))
    rest = rest.dropFirst(length)
  }
  return expanded
}

/// A write-ahead log beside a database of pages of the size that the log has. An odd mode repairs the sums.
private func analyseLog(_ bytes: [UInt8], _ mode: Int) {
  var database = Array("SQLite format 3\0".utf8) + [0x10, 0, 2, 2]
  if bytes.count > 12 { database[16...17] = [bytes[10], bytes[11]] }
  database += [UInt8](repeating: 0, count: 8_192 - database.count)
  let log = mode & 1 == 0 ? bytes : withSoundSums(bytes)
  check(
    analyse(
      TarBuilder.archive(
        TarBuilder.file("var/lib/rpm/rpmdb.sqlite", database), TarBuilder.file("var/lib/rpm/rpmdb.sqlite-wal", log)),
      pieceBytes: 1 << 30))
}

private func withSoundSums(_ log: [UInt8]) -> [UInt8] {
  guard log.count >= 32 else { return log }
  var log = log
  var sums: (first: UInt32, second: UInt32) = (0, 0)
  func word(_ at: Int) -> UInt32 { log[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) } }
  let isBigEndian = log[3] & 1 == 1
  func summed(_ at: Int) -> UInt32 { isBigEndian ? word(at) : word(at).byteSwapped }
  func add(_ range: Range<Int>) {
    for at in stride(from: range.lowerBound, to: range.upperBound - 7, by: 8) {
      sums.first &+= summed(at) &+ sums.second
      sums.second &+= summed(at + 4) &+ sums.first
    }
  }
  func put(_ at: Int) {
    for (offset, value) in [(0, sums.first), (4, sums.second)] {
      withUnsafeBytes(of: value.bigEndian) { log.replaceSubrange((at + offset)..<(at + offset + 4), with: $0) }
    }
  }
  add(0..<24)
  put(24)
  let pageBytes = Int(word(8))
  guard pageBytes >= 8, pageBytes <= 65_536 else { return log }
  for at in stride(from: 32, to: log.count - 24 - pageBytes + 1, by: 24 + pageBytes) {
    add(at..<(at + 8))
    add((at + 24)..<(at + 24 + pageBytes))
    put(at + 16)
  }
  return log
}

/// What is read exactly, is read leniently, and to as many values.
private func readJSON(_ bytes: [UInt8]) {
  // Most texts are refused, one way or both: which, is what is compared.
  let exact = try? JSONDocument(bytes)
  let lenient = try? JSONDocument(bytes, reading: .lenient)
  if let exact { precondition(lenient?.nodes.count == exact.nodes.count, "a JSON text is read in two ways") }
  guard let lenient else { return }
  precondition(lenient.nodes.count <= bytes.count, "a JSON text has more values than bytes")
  for index in lenient.nodes.indices {
    switch lenient.nodes[index].kind {
    case .array: _ = lenient.elements(of: index)
    case .object: _ = lenient.member("name", of: index)
    case .plainText, .escapedText:
      precondition(lenient.text(index) == nil || lenient.textBytes(index) != nil, "a text has no bytes")
    default: break
    }
  }
}
