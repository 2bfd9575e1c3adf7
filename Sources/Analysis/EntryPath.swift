/// A path inside the image, normalised into memory that is used again for every entry: no leading slash, no empty,
/// `.` or `..` component. The image's root is the empty path.
struct EntryPath: ~Copyable {
  private let storage: UnsafeMutablePointer<UInt8>
  private let capacity: Int
  private(set) var count = 0
  /// Where the last component begins.
  private(set) var lastComponent = 0
  /// The name as written ended in a slash.
  private(set) var endsInSlash = false

  init(capacity: Int) {
    self.capacity = capacity
    storage = .allocate(capacity: capacity + 1)
  }

  deinit { storage.deallocate() }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: storage, count: count) }
  var base: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: storage + lastComponent, count: count - lastComponent)
  }
  var parent: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: storage, count: max(0, lastComponent - 1)) }

  /// Takes `prefix/name`, or `name` alone for an empty prefix. False, and an unspecified path, when the name leaves the
  /// image's root, holds a NUL, or is longer than the capacity.
  mutating func set(prefix: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer) -> Bool {
    count = 0
    lastComponent = 0
    endsInSlash = false
    if prefix.isEmpty { return append(name) }
    return append(prefix) && append(name)
  }

  private mutating func append(_ text: UnsafeRawBufferPointer) -> Bool {
    guard text.count <= capacity else { return false }
    var start = 0
    while start < text.count {
      var end = start
      while end < text.count, text[end] != UInt8(ascii: "/") {
        if text[end] == 0 { return false }
        end += 1
      }
      guard appendComponent(UnsafeRawBufferPointer(rebasing: text[start..<end])) else { return false }
      start = end + 1
    }
    endsInSlash = text.last == UInt8(ascii: "/")
    return true
  }

  private mutating func appendComponent(_ component: UnsafeRawBufferPointer) -> Bool {
    let dot = UInt8(ascii: ".")
    if component.isEmpty || (component.count == 1 && component[0] == dot) { return true }
    if component.count == 2 && component[0] == dot && component[1] == dot { return removeLast() }
    let start = count == 0 ? 0 : count + 1
    guard let source = component.baseAddress, start + component.count <= capacity else { return false }
    if count > 0 { storage[count] = UInt8(ascii: "/") }
    UnsafeMutableRawPointer(storage + start).copyMemory(from: source, byteCount: component.count)
    lastComponent = start
    count = start + component.count
    return true
  }

  /// Each byte that is walked back over was written before: the whole stays linear.
  private mutating func removeLast() -> Bool {
    guard count > 0 else { return false }
    count = max(0, lastComponent - 1)
    lastComponent = count
    while lastComponent > 0, storage[lastComponent - 1] != UInt8(ascii: "/") { lastComponent -= 1 }
    return true
  }
}
