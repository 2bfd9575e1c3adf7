import Glibc
import Inventory

/// Bytes in the order they come, handed out in pieces of the source's choosing. Pulled, so that nothing between a
/// socket and the tar reader holds more than one piece.
package protocol ChunkSource: AnyObject {
  /// The next bytes, valid until the next call; empty at the end, and again ever after.
  func next() throws(LayerError) -> UnsafeRawBufferPointer
}

/// Memory of a fixed size that lives as long as its owner.
final class Buffer {
  let bytes: UnsafeMutableRawBufferPointer

  init(_ count: Int) { bytes = .allocate(byteCount: count, alignment: 64) }

  deinit { bytes.deallocate() }

  func prefix(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[..<count]) }
}

/// What can be read from a descriptor up to its end. Reads block; the descriptor stays the caller's.
package final class DescriptorSource: ChunkSource {
  private let descriptor: Int32
  private let buffer = Buffer(256 << 10)

  package init(_ descriptor: Int32) { self.descriptor = descriptor }

  package func next() throws(LayerError) -> UnsafeRawBufferPointer {
    while true {
      let count = read(descriptor, buffer.bytes.baseAddress, buffer.bytes.count)
      if count >= 0 { return buffer.prefix(count) }
      let reason = errno
      if reason != EINTR {
        throw LayerError(.inputFailed, "the layer's bytes could not be read: \(String(cString: strerror(reason)))")
      }
    }
  }
}

/// Bytes in memory, in pieces of at most `pieceBytes`.
package final class MemorySource: ChunkSource {
  private let buffer: Buffer
  private let pieceBytes: Int
  private var position = 0

  package init(_ bytes: some Collection<UInt8>, pieceBytes: Int = 256 << 10) {
    buffer = Buffer(bytes.count)
    buffer.bytes.copyBytes(from: bytes)
    self.pieceBytes = max(1, pieceBytes)
  }

  package func next() throws(LayerError) -> UnsafeRawBufferPointer {
    let end = min(position + pieceBytes, buffer.bytes.count)
    defer { position = end }
    return UnsafeRawBufferPointer(rebasing: buffer.bytes[position..<end])
  }
}

/// Counts what passes.
final class CountedSource: ChunkSource {
  private let input: any ChunkSource
  private(set) var count = 0

  init(_ input: any ChunkSource) { self.input = input }

  func next() throws(LayerError) -> UnsafeRawBufferPointer {
    let chunk = try input.next()
    count += chunk.count
    return chunk
  }
}

/// Shows the first bytes of a source before anybody takes them.
final class PeekedSource: ChunkSource {
  private let input: any ChunkSource
  private var head: UnsafeRawBufferPointer
  /// Keeps the head where it had to be put together from several pieces.
  private var gathered: Buffer?
  private var headTaken = false

  /// At least `count` bytes are in `head`, unless the input is shorter.
  init(_ input: any ChunkSource, count: Int) throws(LayerError) {
    self.input = input
    head = try input.next()
    if head.count >= count || head.isEmpty { return }
    var bytes = Array(head)
    while bytes.count < count {
      let more = try input.next()
      if more.isEmpty { break }
      bytes.append(contentsOf: more)
    }
    let buffer = Buffer(bytes.count)
    buffer.bytes.copyBytes(from: bytes)
    gathered = buffer
    head = buffer.prefix(bytes.count)
  }

  /// The input's first bytes; valid until the first `next`.
  var peeked: UnsafeRawBufferPointer { head }

  func next() throws(LayerError) -> UnsafeRawBufferPointer {
    if headTaken { return try input.next() }
    headTaken = true
    return head
  }
}
