/// Writes zip archives as no tool would: every field can be set to what is not true.
struct ZipBuilder {
  struct Member {
    var name: [UInt8]
    var contents: [UInt8]
    var method: UInt16 = 0
    /// What the directory claims; the truth where nil.
    var size: UInt32?
    var checksum: UInt32?
    var flags: UInt16 = 0
    /// Where the directory says that it is.
    var offset: UInt32?
    /// What is stored, where that is packed.
    var packed: [UInt8]?

    init(_ name: String, _ contents: [UInt8]) {
      self.name = Array(name.utf8)
      self.contents = contents
    }

    init(_ name: String, _ text: String) { self.init(name, Array(text.utf8)) }
  }

  var members: [Member] = []
  var claimed: UInt16?

  init(_ members: Member...) { self.members = members }

  var bytes: [UInt8] {
    var bytes: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
      let packed = member.packed ?? member.contents
      let checksum = member.checksum ?? Self.crc32(member.contents)
      let offset = UInt32(bytes.count)
      bytes += Self.little(0x0403_4b50 as UInt32) + Self.little(20 as UInt16) + Self.little(member.flags)
      bytes += Self.little(member.method) + [0, 0, 0, 0] + Self.little(checksum) + Self.little(UInt32(packed.count))
      bytes +=
        Self.little(UInt32(member.contents.count)) + Self.little(UInt16(member.name.count)) + [0, 0] + member.name
      bytes += packed
      directory += Self.little(0x0201_4b50 as UInt32) + [20, 0, 20, 0] + Self.little(member.flags)
      directory +=
        Self.little(member.method) + [0, 0, 0, 0] + Self.little(checksum) + Self.little(UInt32(packed.count))
      directory += Self.little(member.size ?? UInt32(member.contents.count)) + Self.little(UInt16(member.name.count))
      directory += [UInt8](repeating: 0, count: 12) + Self.little(member.offset ?? offset) + member.name
    }
    let start = UInt32(bytes.count)
    bytes += directory
    bytes += Self.little(0x0605_4b50 as UInt32) + [0, 0, 0, 0]
    bytes += Self.little(claimed ?? UInt16(members.count)) + Self.little(claimed ?? UInt16(members.count))
    bytes += Self.little(UInt32(directory.count)) + Self.little(start) + [0, 0]
    return bytes
  }

  static func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(index) { value, _ in value & 1 == 0 ? value >> 1 : 0xedb8_8320 ^ (value >> 1) }
  }

  static func crc32(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(0xffff_ffff as UInt32) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
  }
}
