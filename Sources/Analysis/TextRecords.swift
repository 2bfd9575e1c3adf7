import Glibc

/// Text in memory, line by line, without its line breaks. Linear in the bytes whatever they are.
struct Lines {
  private var rest: UnsafeRawBufferPointer
  /// Whether the last line had its line break.
  private(set) var lastWasComplete = true

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

  mutating func next() -> UnsafeRawBufferPointer? {
    guard let start = rest.baseAddress, !rest.isEmpty else { return nil }
    guard let found = memchr(start, Int32(UInt8(ascii: "\n")), rest.count) else {
      defer { rest = UnsafeRawBufferPointer(start: nil, count: 0) }
      lastWasComplete = false
      return rest
    }
    let length = UnsafeRawPointer(found) - start
    defer { rest = UnsafeRawBufferPointer(rebasing: rest[(length + 1)...]) }
    return UnsafeRawBufferPointer(rebasing: rest[..<length])
  }
}

extension UnsafeRawBufferPointer {
  /// Without blanks, tabs and carriage returns at both ends.
  var trimmed: UnsafeRawBufferPointer {
    var start = 0
    var end = count
    while start < end, Self.isBlank(self[start]) { start += 1 }
    while end > start, Self.isBlank(self[end - 1]) { end -= 1 }
    return UnsafeRawBufferPointer(rebasing: self[start..<end])
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
  }

  /// Whether this is `name` in upper or lower case; `name` is lower case.
  func isField(_ name: StaticString) -> Bool {
    guard count == name.utf8CodeUnitCount else { return false }
    for index in 0..<count {
      let byte = self[index]
      let lower = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
      if lower != name.utf8Start[index] { return false }
    }
    return true
  }
}
