import Glibc

/// A program or library as a linker wrote it, as far as build information in it needs it: some sections by name, and which
/// bytes of the file are loaded where. ELF, PE and Mach-O.
///
/// Time and memory grow with the tables that are there, of which at most `tableMax` rows are read.
struct ExecutableImage {
  struct Segment {
    let address: UInt64
    let offset: UInt64
    /// In the file.
    let size: UInt64
  }

  /// Real programs have a hundred sections at most, and a dozen segments.
  static let tableMax = 4_096

  private let file: Binary
  let isBigEndian: Bool
  private(set) var segments: [Segment] = []
  /// The first segment of data that may be written to, which is where Go's linker puts build information.
  private(set) var data: Segment?
  /// Go's build information and cargo-auditable's list, by their sections' names.
  private(set) var goBuildInformation: Segment?
  private(set) var rustDependencies: Segment?

  /// The programs in a file: one, or those for several processors that Mach-O puts together.
  static func images(in bytes: UnsafeRawBufferPointer) -> [ExecutableImage] {
    guard let magic = Binary(bytes, isBigEndian: true).integer(0, as: UInt32.self) else { return [] }
    switch magic {
    case 0x7f45_4c46: return [elf(bytes)].compactMap(\.self)
    case 0xfeed_face, 0xfeed_facf: return [mach(bytes, isBigEndian: true)].compactMap(\.self)
    case 0xcefa_edfe, 0xcffa_edfe: return [mach(bytes, isBigEndian: false)].compactMap(\.self)
    case 0xcafe_babe, 0xcafe_babf: return machArchive(bytes, isWide: magic & 1 == 1)
    case 0x4d5a_0000...0x4d5a_ffff: return [portable(bytes)].compactMap(\.self)
    default: return []
    }
  }

  private init(_ bytes: UnsafeRawBufferPointer, isBigEndian: Bool) {
    file = Binary(bytes, isBigEndian: isBigEndian)
    self.isBigEndian = isBigEndian
  }

  /// What the file holds of a segment.
  func contents(_ segment: Segment) -> UnsafeRawBufferPointer { file.clipped(segment.offset, segment.size) }

  /// What is loaded at an address, if all of it is in the file.
  func loaded(at address: UInt64, _ length: UInt64) -> UnsafeRawBufferPointer? {
    for segment in segments where address >= segment.address && address - segment.address < segment.size {
      let into = address - segment.address
      guard length <= segment.size - into else { return nil }
      let (offset, overflow) = segment.offset.addingReportingOverflow(into)
      guard !overflow, offset <= UInt64(Int.max), length <= UInt64(Int.max) else { return nil }
      return file.piece(Int(offset), Int(length))
    }
    return nil
  }

  private mutating func note(_ name: UnsafeRawBufferPointer, _ section: Segment) {
    if name.isText(".go.buildinfo") || name.isText("__go_buildinfo") {
      goBuildInformation = goBuildInformation ?? section
    } else if name.isText(".dep-v0") {
      rustDependencies = rustDependencies ?? section
    }
  }

  // MARK: - ELF (System V ABI, chapter 4 and 5)

  private static func elf(_ bytes: UnsafeRawBufferPointer) -> ExecutableImage? {
    guard bytes.count >= 52, bytes[4] == 1 || bytes[4] == 2, bytes[5] == 1 || bytes[5] == 2 else { return nil }
    var image = ExecutableImage(bytes, isBigEndian: bytes[5] == 2)
    let isWide = bytes[4] == 2
    image.readELFSegments(isWide)
    image.readELFSections(isWide)
    return image
  }

  private mutating func readELFSegments(_ isWide: Bool) {
    let word = isWide ? 8 : 4
    guard let table = file.word(isWide ? 32 : 28, bytes: word), let rowBytes = file.u16(isWide ? 54 : 42),
      let rows = file.u16(isWide ? 56 : 44), rowBytes >= (isWide ? 56 : 32), table < UInt64(file.count)
    else { return }
    for index in 0..<min(rows, Self.tableMax) {
      let row = Int(table) + index * rowBytes
      guard let type = file.u32(row), let flags = file.u32(row + (isWide ? 4 : 24)),
        let offset = file.word(row + word, bytes: word), let address = file.word(row + 2 * word, bytes: word),
        let size = file.word(row + (isWide ? 32 : 16), bytes: word)
      else { return }
      // PT_LOAD; PF_X is 1, PF_W 2.
      guard type == 1 else { continue }
      let segment = Segment(address: address, offset: offset, size: size)
      segments.append(segment)
      if data == nil && flags & 3 == 2 { data = segment }
    }
  }

  private mutating func readELFSections(_ isWide: Bool) {
    let word = isWide ? 8 : 4
    guard let table = file.word(isWide ? 40 : 32, bytes: word), let rowBytes = file.u16(isWide ? 58 : 46),
      let rows = file.u16(isWide ? 60 : 48), let names = file.u16(isWide ? 62 : 50), rowBytes >= (isWide ? 64 : 40),
      table > 0, table < UInt64(file.count), names < rows
    else { return }
    func section(_ index: Int) -> Segment? {
      let row = Int(table) + index * rowBytes
      guard let address = file.word(row + 8 + word, bytes: word),
        let offset = file.word(row + 8 + 2 * word, bytes: word), let size = file.word(row + 8 + 3 * word, bytes: word)
      else { return nil }
      return Segment(address: address, offset: offset, size: size)
    }
    guard let nameTable = section(names).map(contents) else { return }
    for index in 0..<min(rows, Self.tableMax) {
      guard let name = file.u32(Int(table) + index * rowBytes), let found = section(index) else { return }
      note(nameTable.text(at: name), found)
    }
  }

  // MARK: - PE (Microsoft's "PE Format")

  private static func portable(_ bytes: UnsafeRawBufferPointer) -> ExecutableImage? {
    var image = ExecutableImage(bytes, isBigEndian: false)
    let file = image.file
    guard let header = file.u32(0x3c), file.u32(header) == 0x0000_4550, let sections = file.u16(header + 6),
      let optionalBytes = file.u16(header + 20), let magic = file.u16(header + 24)
    else { return nil }
    let imageBase: UInt64
    switch magic {
    case 0x10b: imageBase = file.word(header + 52, bytes: 4) ?? 0
    case 0x20b: imageBase = file.word(header + 48, bytes: 8) ?? 0
    default: return nil
    }
    for index in 0..<min(sections, tableMax) {
      let row = header + 24 + optionalBytes + index * 40
      guard let name = file.piece(row, 8), let memory = file.u32(row + 8), let address = file.u32(row + 12),
        let size = file.u32(row + 16), let offset = file.u32(row + 20), let flags = file.u32(row + 36)
      else { break }
      let segment = Segment(
        address: imageBase &+ UInt64(address), offset: UInt64(offset),
        size: UInt64(memory == 0 ? size : min(size, memory)))
      image.segments.append(segment)
      // Initialised data that can be read and written, and is not aligned for anything special, as Go's linker has it.
      if image.data == nil && flags & 0xc000_0040 == 0xc000_0040 { image.data = segment }
      image.note(name.text(at: 0), segment)
    }
    return image
  }

  // MARK: - Mach-O (Apple's loader.h and fat.h)

  private static func machArchive(_ bytes: UnsafeRawBufferPointer, isWide: Bool) -> [ExecutableImage] {
    let file = Binary(bytes, isBigEndian: true)
    guard let members = file.u32(4) else { return [] }
    var images: [ExecutableImage] = []
    for index in 0..<min(members, 8) {
      let row = 8 + index * (isWide ? 32 : 20)
      guard let offset = file.word(row + 8, bytes: isWide ? 8 : 4),
        let size = file.word(row + (isWide ? 16 : 12), bytes: isWide ? 8 : 4)
      else { break }
      let member = file.clipped(offset, size)
      switch Binary(member, isBigEndian: true).integer(0, as: UInt32.self) {
      case 0xfeed_face, 0xfeed_facf: images += [mach(member, isBigEndian: true)].compactMap(\.self)
      case 0xcefa_edfe, 0xcffa_edfe: images += [mach(member, isBigEndian: false)].compactMap(\.self)
      default: break
      }
    }
    return images
  }

  private static func mach(_ bytes: UnsafeRawBufferPointer, isBigEndian: Bool) -> ExecutableImage? {
    var image = ExecutableImage(bytes, isBigEndian: isBigEndian)
    let file = image.file
    guard let magic = file.integer(0, as: UInt32.self), let commands = file.u32(16) else { return nil }
    let isWide = magic == 0xfeed_facf
    var at = isWide ? 32 : 28
    for _ in 0..<min(commands, tableMax) {
      guard let command = file.u32(at), let size = file.u32(at + 4), size >= 8 else { break }
      // LC_SEGMENT, LC_SEGMENT_64
      if command == (isWide ? 0x19 : 0x1) { image.readMachSegment(at, size, isWide) }
      at += size
    }
    return image
  }

  private mutating func readMachSegment(_ at: Int, _ commandBytes: Int, _ isWide: Bool) {
    let word = isWide ? 8 : 4
    guard let name = file.piece(at + 8, 16), let address = file.word(at + 24, bytes: word),
      let offset = file.word(at + 24 + 2 * word, bytes: word), let size = file.word(at + 24 + 3 * word, bytes: word),
      let sections = file.u32(at + 32 + 4 * word)
    else { return }
    let segment = Segment(address: address, offset: offset, size: size)
    segments.append(segment)
    if data == nil && name.text(at: 0).isText("__DATA") { data = segment }
    let rowBytes = isWide ? 80 : 68
    let first = at + 40 + 4 * word
    for index in 0..<min(sections, commandBytes / rowBytes) {
      let row = first + index * rowBytes
      guard let name = file.piece(row, 16), let address = file.word(row + 32, bytes: word),
        let size = file.word(row + 32 + word, bytes: word), let offset = file.u32(row + 32 + 2 * word)
      else { return }
      note(name.text(at: 0), Segment(address: address, offset: UInt64(offset), size: size))
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The text that ends in a NUL or with the buffer; no more than 64 bytes of it, as no name that matters is longer.
  fileprivate func text(at offset: Int) -> UnsafeRawBufferPointer {
    guard offset >= 0, offset < count else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let rest = self[offset..<Swift.min(count, offset + 64)]
    return UnsafeRawBufferPointer(rebasing: rest.prefix { $0 != 0 })
  }

  func isText(_ text: StaticString) -> Bool {
    guard count == text.utf8CodeUnitCount, let base = baseAddress else { return false }
    return memcmp(base, text.utf8Start, count) == 0
  }
}
