import Inventory
import StorageMessages

/// An rpm header as the databases store it: index count, data length, index entries of 16 bytes, data; all integers
/// big-endian. Every offset and count is checked against the bytes that are there before it is used.
struct RPMHeader {
  struct Malformed: Error, Equatable {
    let reason: String
  }

  /// The tags that are read (rpmtag.h), and the type each has.
  private enum Tag: UInt32 {
    case name = 1000
    case version = 1001
    case release = 1002
    case epoch = 1003
    case arch = 1022
    case sourceRPM = 1044
    case modularityLabel = 5096

    var type: UInt32 { self == .epoch ? 4 : 6 }
  }

  private var texts: [Tag: String] = [:]
  private var epoch: UInt32?

  /// A text of more than `textBytes` makes the header malformed: it is not looked through for its end, nor copied.
  init(_ blob: UnsafeRawBufferPointer, textBytes: Int) throws(Malformed) {
    guard blob.count >= 8 else { throw Malformed(reason: "is shorter than its preamble") }
    let entries = Int(Self.integer(blob, 0))
    let dataLength = Int(Self.integer(blob, 4))
    // No overflow: both are below 2^32.
    guard entries * 16 + dataLength + 8 <= blob.count else { throw Malformed(reason: "claims more than there is") }
    let data = UnsafeRawBufferPointer(rebasing: blob[(8 + entries * 16)..<(8 + entries * 16 + dataLength)])
    for index in 0..<entries {
      let at = 8 + index * 16
      // Entries outside the signed region come later and may repeat a tag: the first one counts.
      guard let tag = Tag(rawValue: Self.integer(blob, at)), !has(tag) else { continue }
      guard Self.integer(blob, at + 4) == tag.type, Self.integer(blob, at + 12) == 1 else {
        throw Malformed(reason: "has a tag \(tag.rawValue) of the wrong type or count")
      }
      try read(tag, Int(Self.integer(blob, at + 8)), data, textBytes)
    }
  }

  /// As `rpm -qa` lists it: the version with the epoch where there is one, `(none)` for a missing architecture.
  var package: Package {
    var package = Package()
    package.type = "rpm"
    package.name = texts[.name] ?? ""
    if let version = texts[.version], let release = texts[.release], !version.isEmpty {
      package.version = (epoch.map { "\($0):" } ?? "") + "\(version)-\(release)"
    }
    package.arch = texts[.arch] ?? "(none)"
    package.modularity = texts[.modularityLabel] ?? ""
    if let source = texts[.sourceRPM].flatMap(Self.splitSource) {
      (package.sourceName, package.sourceVersion) = source
    }
    return package
  }

  private func has(_ tag: Tag) -> Bool { tag == .epoch ? epoch != nil : texts[tag] != nil }

  private mutating func read(_ tag: Tag, _ offset: Int, _ data: UnsafeRawBufferPointer, _ textBytes: Int)
    throws(Malformed)
  {
    if tag == .epoch {
      guard offset + 4 <= data.count else { throw Malformed(reason: "has an epoch outside its data") }
      epoch = Self.integer(data, offset)
      return
    }
    let reach = data.dropFirst(offset).prefix(textBytes + 1)
    guard let end = reach.firstIndex(of: 0) else {
      throw Malformed(
        reason: reach.count > textBytes
          ? "has a text of tag \(tag.rawValue) over \(textBytes) bytes"
          : "has a text of tag \(tag.rawValue) that begins or ends outside its data")
    }
    texts[tag] = storedText(data[offset..<end])
  }

  private static func integer(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
    UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  /// `name-version-release.src.rpm` in its parts; nil for another shape.
  private static func splitSource(_ file: String) -> (name: String, version: String)? {
    // Bytes: characters of many marks are slow to walk through.
    var stem = Array(file.utf8)[...]
    for suffix in [".nosrc.rpm", ".src.rpm"] where stem.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) {
      stem = stem.dropLast(suffix.utf8.count)
      break
    }
    let dash = UInt8(ascii: "-")
    guard let release = stem.lastIndex(of: dash), let version = stem[..<release].lastIndex(of: dash), version > 0
    else { return nil }
    return (storedText(stem[..<version]), storedText(stem[(version + 1)...]))
  }
}
