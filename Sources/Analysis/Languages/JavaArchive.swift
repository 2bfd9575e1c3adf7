import CIsal
import Inventory
import StorageMessages

/// Reads jar, war and ear files, Jenkins plugins and the archives in them, all in memory: what is in META-INF/maven, shaded
/// packages included; for an archive of which that tells nothing, its manifest and at last its name.
///
/// The archives' depth, their members, and what is unpacked are bounded. What is wrong with an archive in another hides
/// nothing of those beside it.
struct JavaArchive: ~Copyable {
  /// Of one file: an archive may hold thousands of others.
  private static let errorsMax = 16

  private let limits: AnalysisLimits
  private let inflater = Inflater()
  private var found = FoundPackages("maven")
  private var membersLeft: Int
  private var unpackedLeft: Int
  /// Archives within archives that are unpacked at this time.
  private var held = 0
  private var suppressed = 0
  private var errors: [LayerError] = []

  private init(limits: AnalysisLimits) {
    self.limits = limits
    membersLeft = limits.archiveMembers
    unpackedLeft = limits.archiveBytes
  }

  static func list(
    _ file: LayerFile, into collector: inout PackageCollector, checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) -> [LayerError] {
    var archive = JavaArchive(limits: collector.limits)
    try archive.read(
      file.bytes, Source(name: UnsafeRawBufferPointer(rebasing: file.base), trail: ""), &collector, checkTime)
    if archive.suppressed > 0 {
      archive.errors.append(LayerError(.faultLimit, "\(archive.suppressed) more faults were found in it"))
    }
    return archive.errors
  }

  /// An archive that is read.
  private struct Source {
    /// Its path in what it lies in.
    let name: UnsafeRawBufferPointer
    /// What it lies in, for messages; empty for the file itself.
    let trail: String
    var depth = 1

    func inner(_ name: UnsafeRawBufferPointer) -> Source {
      Source(name: name, trail: trail + storedText(name.prefix(160)) + ": ", depth: depth + 1)
    }

    /// The file's name without its extension.
    var stem: String {
      let base = name.lastIndex(of: UInt8(ascii: "/")).map { name[($0 + 1)...] } ?? name[...]
      return storedText(base[..<(base.lastIndex(of: UInt8(ascii: ".")) ?? base.endIndex)])
    }
  }

  private mutating func report(_ code: LayerError.Code, _ source: borrowing Source, _ message: String) {
    if errors.count < Self.errorsMax {
      errors.append(LayerError(code, source.trail + message))
    } else {
      suppressed += 1
    }
  }

  private static func isProperties(_ name: UnsafeRawBufferPointer) -> Bool {
    guard name.hasSuffix("/pom.properties") else { return false }
    let directory = "META-INF/maven/".utf8
    guard name.starts(with: directory) == false else { return true }
    // META-INF/maven/group/artifact, in the classes of a web application or the like.
    guard let top = name.parent?.parent?.parent else { return false }
    return top.hasSuffix("/META-INF/maven")
  }

  private static func isManifest(_ name: UnsafeRawBufferPointer) -> Bool { name.isText("META-INF/MANIFEST.MF") }

  private mutating func read(
    _ bytes: UnsafeRawBufferPointer, _ source: Source, _ collector: inout PackageCollector,
    _ checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) {
    try checkTime()
    let zip: ZipContents
    do throws(ZipContents.Flaw) {
      zip = try ZipContents(bytes, membersMax: membersLeft) { name in
        Self.isProperties(name) || Self.isManifest(name) || LanguageFile.of(path: name) == .javaArchive
      }
    } catch {
      return report(.archiveMalformed, source, "\(error.reason)")
    }
    membersLeft -= zip.count
    if let flaw = zip.flaw {
      report(membersLeft == 0 ? .archiveLimit : .archiveMalformed, source, flaw.reason)
    }
    let file = JavaCoordinates(stem: source.stem)
    var coordinates: [JavaCoordinates] = []
    var manifest: JavaManifest?
    for member in zip.members {
      if LanguageFile.of(path: member.name) == .javaArchive {
        try readArchive(member, in: zip, source.inner(member.name), &collector, checkTime)
      } else if Self.isManifest(member.name) {
        let contents = text(member, in: zip, source.inner(member.name), &collector)
        manifest = contents?.withUnsafeBytes { JavaManifest($0, textBytes: limits.textBytes) } ?? manifest
      } else if let contents = text(member, in: zip, source.inner(member.name), &collector),
        let properties = contents.withUnsafeBytes({ JavaCoordinates(properties: $0) })
      {
        coordinates.append(properties)
      }
    }
    for package in coordinates { found.add(package.name, package.version, into: &collector) }
    // With several, one may be its own and the others shaded; with one alone it is its own, whatever the file is called.
    let isTold = coordinates.count == 1 || coordinates.contains { Self.isArtifact($0.artifact, of: source.stem) }
    guard !isTold, let own = manifest.map({ $0.coordinates(file: file) }) ?? (file.version.isEmpty ? nil : file) else {
      return
    }
    found.add(own.name, own.version, into: &collector)
  }

  private static func isArtifact(_ artifact: String, of stem: String) -> Bool {
    stem == artifact || stem.hasPrefix(artifact + "-")
  }

  private mutating func readArchive(
    _ member: ZipContents.Member, in zip: ZipContents, _ source: Source, _ collector: inout PackageCollector,
    _ checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) {
    guard source.depth <= limits.archiveDepth else {
      return report(.archiveLimit, source, "lies deeper than \(limits.archiveDepth) archives, and is not read")
    }
    // Stored archives, as in most that hold others, are read where they are.
    if member.method == 0 {
      guard let contents = stored(member, in: zip, source) else { return }
      return try read(contents, source, &collector, checkTime)
    }
    guard member.bytes <= limits.fileBytes - held else {
      return report(
        .archiveLimit, source, "has \(member.bytes) bytes unpacked, which are more than are held; it is not read")
    }
    guard let contents = unpacked(member, in: zip, source, &collector) else { return }
    held += contents.count
    defer { held -= contents.count }
    let result = contents.withUnsafeBytes { bytes in
      Result { () throws(LayerError) in try read(bytes, source, &collector, checkTime) }
    }
    try result.get()
  }

  private mutating func text(
    _ member: ZipContents.Member, in zip: ZipContents, _ source: Source, _ collector: inout PackageCollector
  ) -> [UInt8]? {
    guard member.bytes <= limits.archiveTextBytes else {
      report(.archiveLimit, source, "has \(member.bytes) bytes unpacked, and is not read")
      return nil
    }
    return member.method == 0
      ? stored(member, in: zip, source).map { Array($0) } : unpacked(member, in: zip, source, &collector)
  }

  private mutating func stored(
    _ member: ZipContents.Member, in zip: ZipContents, _ source: Source
  ) -> UnsafeRawBufferPointer? {
    do throws(ZipContents.Flaw) {
      let packed = try zip.packed(member)
      let start = packed.baseAddress?.assumingMemoryBound(to: UInt8.self)
      guard packed.count == member.bytes, crc32_gzip_refl(0, start, UInt64(packed.count)) == member.checksum else {
        throw ZipContents.Flaw("is corrupt: its length or checksum is another")
      }
      return packed
    } catch {
      report(.archiveMalformed, source, error.reason)
      return nil
    }
  }

  private mutating func unpacked(
    _ member: ZipContents.Member, in zip: ZipContents, _ source: Source, _ collector: inout PackageCollector
  ) -> [UInt8]? {
    do throws(ZipContents.Flaw) {
      guard member.method == 8 else {
        throw ZipContents.Flaw("is packed by method \(member.method); only deflate is known")
      }
      let packed = try zip.packed(member)
      guard member.bytes <= unpackedLeft, collector.admitUnpacked(member.bytes) else {
        report(.archiveLimit, source, "is not read: more than what is allowed was unpacked already")
        return nil
      }
      unpackedLeft -= member.bytes
      do throws(Inflater.Flaw) {
        return try inflater.member(packed, size: member.bytes, checksum: member.checksum)
      } catch {
        throw ZipContents.Flaw("is corrupt: it cannot be unpacked to the length and checksum that are told")
      }
    } catch {
      report(.archiveMalformed, source, error.reason)
      return nil
    }
  }
}
