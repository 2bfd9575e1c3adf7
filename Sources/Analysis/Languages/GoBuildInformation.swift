import Glibc
import Inventory
import StorageMessages

/// The build information that Go's linker leaves in every program: the version of Go and the modules that it was built of.
/// It stays when symbols are stripped. (Format: Go's package debug/buildinfo.)
struct GoBuildInformation {
  private static let headerBytes = 32
  private static let alignment = 16
  /// Of the list of modules; the largest programs have some hundred KiB.
  private static let modulesBytesMax: UInt64 = 16 << 20

  private let goVersion: UnsafeRawBufferPointer
  /// Empty for a program that was built without modules.
  private let modules: UnsafeRawBufferPointer

  /// Nil for a program that no Go compiler made.
  init?(in image: ExecutableImage) {
    // Linkers other than Go's lose the section's name.
    for segment in [image.goBuildInformation, image.data] {
      guard let segment else { continue }
      let contents = image.contents(segment)
      guard let start = Self.find(in: contents, at: segment.address),
        let texts = Self.texts(Binary(contents, isBigEndian: image.isBigEndian), start, image)
      else { continue }
      (goVersion, modules) = texts
      return
    }
    return nil
  }

  /// Lists the standard library and the modules, replaced ones by what replaced them. The program's own module is left out:
  /// it is none that was published.
  func list(into collector: inout PackageCollector) {
    var found = FoundPackages("golang")
    // "go1.22.1 X:boringcrypto": experiments follow the version.
    let version = goVersion.prefix { $0 != UInt8(ascii: " ") }
    found.add("stdlib", storedText(version.starts(with: "go".utf8) ? version : goVersion[...]), into: &collector)
    var lines = Lines(modules)
    var dependency: (path: String, version: String)?
    func finish(_ collector: inout PackageCollector) {
      if let dependency { found.add(dependency.path, dependency.version, into: &collector) }
      dependency = nil
    }
    while let line = lines.next() {
      let fields = line.split(separator: UInt8(ascii: "\t"), maxSplits: 4, omittingEmptySubsequences: false)
      let kind = UnsafeRawBufferPointer(rebasing: fields[0])
      if kind.isText("dep") {
        finish(&collector)
        guard fields.count >= 3 else {
          collector.addMalformed()
          continue
        }
        dependency = (storedText(fields[1]), storedText(fields[2]))
      } else if kind.isText("=>"), dependency != nil, fields.count >= 3 {
        // A directory took the module's place: its version is all that is known of what it was copied from.
        if !fields[2].isEmpty && !fields[2].elementsEqual("(devel)".utf8) {
          dependency = (storedText(fields[1]), storedText(fields[2]))
        }
      }
    }
    finish(&collector)
  }

  /// Where the header begins: at an address that is a multiple of 16.
  private static func find(in contents: UnsafeRawBufferPointer, at address: UInt64) -> Int? {
    var offset = Int((UInt64(alignment) - address % UInt64(alignment)) % UInt64(alignment))
    // "\u{ff} Go bui", the first half of what it begins with.
    let start = UInt64(bigEndian: 0xff20_476f_2062_7569)
    while offset + headerBytes <= contents.count {
      if contents.loadUnaligned(fromByteOffset: offset, as: UInt64.self) == start,
        contents[(offset + 8)..<(offset + 14)].elementsEqual("ldinf:".utf8)
      {
        return offset
      }
      offset += alignment
    }
    return nil
  }

  private static func texts(
    _ contents: Binary, _ start: Int, _ image: ExecutableImage
  ) -> (version: UnsafeRawBufferPointer, modules: UnsafeRawBufferPointer)? {
    let (pointerBytes, flags) = (Int(contents.bytes[start + 14]), contents.bytes[start + 15])
    let version, modules: UnsafeRawBufferPointer?
    if flags & 2 != 0 {
      // Since Go 1.18 both texts follow the header, each after its length.
      var at = start + headerBytes
      version = counted(contents, &at)
      modules = counted(contents, &at)
    } else {
      // Before, the header has the addresses of two Go strings, each an address and a length.
      guard pointerBytes == 4 || pointerBytes == 8 else { return nil }
      let header = Binary(contents.bytes, isBigEndian: flags & 1 != 0)
      version = header.word(start + 16, bytes: pointerBytes).flatMap { string(image, $0, pointerBytes, flags & 1 != 0) }
      modules = header.word(start + 16 + pointerBytes, bytes: pointerBytes)
        .flatMap { string(image, $0, pointerBytes, flags & 1 != 0) }
    }
    guard let version, !version.isEmpty, version.count <= 256 else { return nil }
    return (version, withoutSentinels(modules))
  }

  /// The list of modules stands between two texts of 16 bytes.
  private static func withoutSentinels(_ modules: UnsafeRawBufferPointer?) -> UnsafeRawBufferPointer {
    guard let modules, modules.count >= 33, modules[modules.count - 17] == UInt8(ascii: "\n") else {
      return UnsafeRawBufferPointer(start: nil, count: 0)
    }
    return UnsafeRawBufferPointer(rebasing: modules[16..<(modules.count - 16)])
  }

  private static func counted(_ contents: Binary, _ at: inout Int) -> UnsafeRawBufferPointer? {
    var length = 0
    var shift = 0
    while true {
      guard let byte = contents.integer(at, as: UInt8.self), shift <= 28 else { return nil }
      at += 1
      length |= Int(byte & 0x7f) << shift
      if byte & 0x80 == 0 { break }
      shift += 7
    }
    guard length <= modulesBytesMax else { return nil }
    defer { at += length }
    return contents.piece(at, length)
  }

  private static func string(
    _ image: ExecutableImage, _ address: UInt64, _ pointerBytes: Int, _ isBigEndian: Bool
  ) -> UnsafeRawBufferPointer? {
    guard let header = image.loaded(at: address, UInt64(pointerBytes * 2)) else { return nil }
    let fields = Binary(header, isBigEndian: isBigEndian)
    guard let start = fields.word(0, bytes: pointerBytes), let length = fields.word(pointerBytes, bytes: pointerBytes),
      length <= modulesBytesMax
    else { return nil }
    return image.loaded(at: start, length)
  }
}
