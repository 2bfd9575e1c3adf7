import Glibc

/// Bytes nobody may see: every way of printing it gives "[redacted]", and the memory is wiped when the last copy goes.
package struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  /// Unchecked because of the pointer: the bytes are written in `init`, before anybody else can hold the object, and
  /// wiped in `deinit`, when nobody does.
  private final class Storage: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
      // Never without an address: to C, none means something else.
      bytes = UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 1)[..<count])
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
      fill(bytes)
    }

    deinit {
      if let base = bytes.baseAddress { explicit_bzero(base, bytes.count) }
      bytes.deallocate()
    }
  }

  private let storage: Storage

  package init(_ text: String) { self.init(text.utf8) }

  package init(_ bytes: some Collection<UInt8>) { storage = Storage(count: bytes.count) { $0.copyBytes(from: bytes) } }

  /// The bytes that `fill` writes into a place made for them: no other copy is left behind.
  package init(count: Int, filledBy fill: (UnsafeMutableRawBufferPointer) -> Void) {
    storage = Storage(count: count, fill)
  }

  /// The secret itself: for a header that is about to be sent. Copies live as long as the caller's.
  package var revealed: String { String(decoding: storage.bytes, as: UTF8.self) }

  package var count: Int { storage.bytes.count }
  package var isEmpty: Bool { storage.bytes.isEmpty }

  /// Lends the bytes to what copies them nowhere.
  package func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeRawBufferPointer(storage.bytes))
  }

  package static func == (one: Secret, other: Secret) -> Bool {
    one.storage.bytes.elementsEqual(other.storage.bytes)
  }

  package func hash(into hasher: inout Hasher) { hasher.combine(bytes: UnsafeRawBufferPointer(storage.bytes)) }

  package var description: String { "[redacted]" }
  package var debugDescription: String { "[redacted]" }
  package var customMirror: Mirror { Mirror(self, children: [:]) }
}
