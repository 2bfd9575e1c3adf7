/// Integers and pieces of a binary format. Nothing outside the bytes that are there is ever touched, whatever the numbers in
/// them say: what is not there is nil.
struct Binary {
  let bytes: UnsafeRawBufferPointer
  let isBigEndian: Bool

  init(_ bytes: UnsafeRawBufferPointer, isBigEndian: Bool = false) {
    self.bytes = bytes
    self.isBigEndian = isBigEndian
  }

  var count: Int { bytes.count }

  func integer<Value: FixedWidthInteger>(_ offset: Int, as type: Value.Type) -> Value? {
    guard offset >= 0, bytes.count >= MemoryLayout<Value>.size, offset <= bytes.count - MemoryLayout<Value>.size else {
      return nil
    }
    let value = bytes.loadUnaligned(fromByteOffset: offset, as: Value.self)
    return isBigEndian ? Value(bigEndian: value) : Value(littleEndian: value)
  }

  func u16(_ offset: Int) -> Int? { integer(offset, as: UInt16.self).map(Int.init) }
  func u32(_ offset: Int) -> Int? { integer(offset, as: UInt32.self).map(Int.init) }
  /// An integer of 4 or 8 bytes.
  func word(_ offset: Int, bytes size: Int) -> UInt64? {
    size == 8 ? integer(offset, as: UInt64.self) : integer(offset, as: UInt32.self).map(UInt64.init)
  }

  /// A piece, if all of it is there.
  func piece(_ offset: Int, _ length: Int) -> UnsafeRawBufferPointer? {
    guard offset >= 0, length >= 0, offset <= bytes.count, length <= bytes.count - offset else { return nil }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)])
  }

  /// As much of a piece as is there.
  func clipped(_ offset: UInt64, _ length: UInt64) -> UnsafeRawBufferPointer {
    guard offset < UInt64(bytes.count) else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let start = Int(offset)
    return UnsafeRawBufferPointer(rebasing: bytes[start..<(start + Int(min(length, UInt64(bytes.count - start))))])
  }
}
