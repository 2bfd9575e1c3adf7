/// Tar archives made by hand, right or wrong, byte by byte.
enum TarBuilder {
  static func header(
    _ name: [UInt8], size: Int = 0, type: Character = "0", link: String = "", gnu: Bool = false
  ) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ bytes: some Collection<UInt8>, _ offset: Int) {
      block.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
    }
    put(name.prefix(100), 0)
    put("0000644\0".utf8, 100)
    if size < 1 << 33 {
      let octal = String(size, radix: 8)
      put((String(repeating: "0", count: 11 - octal.count) + octal + "\0").utf8, 124)
    } else {
      put([0x80, 0, 0, 0] + withUnsafeBytes(of: UInt64(size).bigEndian, Array.init), 124)
    }
    put("00000000000\0".utf8, 136)
    block[156] = type.asciiValue ?? 0
    put(link.utf8.prefix(100), 157)
    put(gnu ? Array("ustar  \0".utf8) : Array("ustar\u{0}00".utf8), 257)
    return sealed(block)
  }

  /// The block with `bytes` at `offset` and a checksum that fits.
  static func reseal(_ block: [UInt8], at offset: Int, _ bytes: [UInt8]) -> [UInt8] {
    var block = block
    block.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
    return sealed(block)
  }

  private static func sealed(_ block: [UInt8]) -> [UInt8] {
    var block = block
    block.replaceSubrange(148..<156, with: repeatElement(UInt8(ascii: " "), count: 8))
    let octal = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
    block.replaceSubrange(148..<156, with: (String(repeating: "0", count: 6 - octal.count) + octal + "\0 ").utf8)
    return block
  }

  static func body(_ bytes: [UInt8]) -> [UInt8] {
    bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
  }

  static func file(_ name: String, _ text: String = "") -> [UInt8] { file(name, Array(text.utf8)) }

  static func file(_ name: String, _ bytes: [UInt8]) -> [UInt8] {
    header(Array(name.utf8), size: bytes.count) + body(bytes)
  }

  static func directory(_ name: String) -> [UInt8] { header(Array(name.utf8), type: "5") }
  static func symlink(_ name: String, _ target: String) -> [UInt8] { header(Array(name.utf8), type: "2", link: target) }
  static func hardLink(_ name: String, _ target: String) -> [UInt8] {
    header(Array(name.utf8), type: "1", link: target)
  }

  static func pax(_ records: [(String, String)], type: Character = "x") -> [UInt8] {
    let text = records.map { key, value in
      let rest = " \(key)=\(value)\n"
      var length = rest.utf8.count + 1
      while String(length).utf8.count + rest.utf8.count != length { length += 1 }
      return "\(length)\(rest)"
    }.joined()
    return header(Array("pax".utf8), size: text.utf8.count, type: type) + body(Array(text.utf8))
  }

  static func long(_ type: Character, _ text: String) -> [UInt8] {
    header(Array("././@LongLink".utf8), size: text.utf8.count + 1, type: type, gnu: true) + body(Array(text.utf8) + [0])
  }

  static let end = [UInt8](repeating: 0, count: 1024)

  static func archive(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { $0 } + end }
}

/// A gzip member of stored blocks: compresses nothing, but has a true checksum.
func gzipStored(_ bytes: [UInt8]) -> [UInt8] {
  var out: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]
  var rest = bytes[...]
  repeat {
    let piece = rest.prefix(65_535)
    rest = rest.dropFirst(piece.count)
    let length = UInt16(piece.count)
    out.append(rest.isEmpty ? 1 : 0)
    out += [UInt8(length & 255), UInt8(length >> 8), UInt8(~length & 255), UInt8(~length >> 8)] + piece
  } while !rest.isEmpty
  var crc: UInt32 = ~0
  for byte in bytes {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
  }
  return out + withUnsafeBytes(of: (~crc).littleEndian, Array.init)
    + withUnsafeBytes(of: UInt32(bytes.count).littleEndian, Array.init)
}

/// A zstd frame of raw blocks, its size not announced.
func zstdRaw(_ bytes: [UInt8], windowDescriptor: UInt8 = 0x38) -> [UInt8] {
  var out: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0, windowDescriptor]
  var rest = bytes[...]
  repeat {
    let piece = rest.prefix(100_000)
    rest = rest.dropFirst(piece.count)
    let head = piece.count << 3 | (rest.isEmpty ? 1 : 0)
    out += [UInt8(head & 255), UInt8(head >> 8 & 255), UInt8(head >> 16 & 255)] + piece
  } while !rest.isEmpty
  return out
}
