import StorageMessages

/// What a tar entry is, as container runtimes extract it.
package enum TarEntryKind: Sendable {
  case file, hardLink, symlink, directory
  /// A device or FIFO.
  case special

  var entryKind: EntryKind {
    switch self {
    case .file: .file
    case .hardLink: .hardLink
    case .symlink: .symlink
    case .directory: .directory
    case .special: .other
    }
  }
}

/// One 512-byte header block (POSIX ustar, GNU, v7): fields by their offsets, nothing copied. Valid as long as the
/// memory it looks at.
struct TarHeader {
  static let blockBytes = 512

  enum Format { case v7, ustar, gnu }

  let block: UnsafeRawPointer

  var typeFlag: UInt8 { byte(156) }

  var format: Format {
    let magic = bytes(257, 6)
    if magic.elementsEqual("ustar\0".utf8) { return .ustar }
    if magic.elementsEqual("ustar ".utf8) { return .gnu }
    return .v7
  }

  /// Without a NUL; up to 100 bytes.
  var name: UnsafeRawBufferPointer { text(0, 100) }
  var linkName: UnsafeRawBufferPointer { text(157, 100) }
  /// What ustar puts before the name, with a slash between; empty in the other formats, which use these bytes otherwise.
  var prefix: UnsafeRawBufferPointer { format == .ustar ? text(345, 155) : bytes(345, 0) }

  /// Old GNU sparse: whether another block of the map follows this header.
  var sparseMapContinues: Bool { byte(482) != 0 }

  /// Whether the block is a header, all zero, or neither. Old tars summed signed bytes: both sums are accepted, as by GNU tar.
  func verify() -> Verdict {
    var sum: UInt32 = 0
    let base = block.assumingMemoryBound(to: UInt8.self)
    for index in 0..<Self.blockBytes { sum &+= UInt32(base[index]) }
    if sum == 0 { return .zero }
    guard let stored = number(148, 8) else { return .invalid }
    var field: UInt32 = 0
    for index in 148..<156 { field &+= UInt32(base[index]) }
    if Int(sum - field) + 8 * 32 == stored { return .header }
    var signedSum = 8 * 32
    for index in 0..<Self.blockBytes where !(148..<156).contains(index) {
      signedSum += Int(Int8(bitPattern: base[index]))
    }
    return signedSum == stored ? .header : .invalid
  }

  enum Verdict { case header, zero, invalid }

  var mode: UInt16 { UInt16((number(100, 8) ?? 0) & 0o7777) }

  /// Nil when the field is no number, negative, or over `Int.max`.
  var size: Int? { number(124, 12) }

  /// An octal field, with spaces or NULs around it, or a big-endian one marked by its first bit (GNU, star).
  private func number(_ offset: Int, _ length: Int) -> Int? {
    let field = bytes(offset, length)
    if field[0] & 0x80 != 0 {
      guard field[0] == 0x80 else { return nil }
      var value = 0
      for digit in field[1...] {
        guard value <= Int.max >> 8 else { return nil }
        value = value << 8 | Int(digit)
      }
      return value
    }
    var index = 0
    while index < length, field[index] == UInt8(ascii: " ") || field[index] == 0 { index += 1 }
    // Twelve octal digits are 36 bits: no overflow.
    var value = 0
    while index < length, (UInt8(ascii: "0")...UInt8(ascii: "7")).contains(field[index]) {
      value = value << 3 | Int(field[index] - UInt8(ascii: "0"))
      index += 1
    }
    while index < length {
      guard field[index] == UInt8(ascii: " ") || field[index] == 0 else { return nil }
      index += 1
    }
    return value
  }

  private func byte(_ offset: Int) -> UInt8 { block.load(fromByteOffset: offset, as: UInt8.self) }

  private func bytes(_ offset: Int, _ length: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: block + offset, count: length)
  }

  private func text(_ offset: Int, _ length: Int) -> UnsafeRawBufferPointer {
    let field = bytes(offset, length)
    return UnsafeRawBufferPointer(rebasing: field[..<(field.firstIndex(of: 0) ?? length)])
  }
}
