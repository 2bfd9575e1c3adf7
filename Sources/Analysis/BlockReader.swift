import Inventory

/// Takes 512-byte blocks and bodies from a source of pieces of any size. Blocks and bodies that lie within one piece are
/// not copied.
struct BlockReader {
  private let source: any ChunkSource
  private var chunk = UnsafeRawBufferPointer(start: nil, count: 0)
  private let block = Buffer(TarHeader.blockBytes)
  private var bodyLeft = 0
  private var padding = 0
  /// Who gets the bytes of the present body.
  private var sink: (any BodySink)?
  /// Bytes of the stream taken so far.
  private(set) var position = 0

  init(_ source: any ChunkSource) { self.source = source }

  /// The next block, valid until the next call of anything here; nil at the end of the stream.
  mutating func nextBlock() throws(LayerError) -> UnsafeRawPointer? {
    let size = TarHeader.blockBytes
    if chunk.count >= size, let start = chunk.baseAddress {
      take(size)
      return start
    }
    var gathered = 0
    while gathered < size {
      if chunk.isEmpty {
        chunk = try source.next()
        if chunk.isEmpty { break }
      }
      let count = min(size - gathered, chunk.count)
      block.bytes[gathered..<(gathered + count)].copyBytes(from: chunk[..<count])
      gathered += count
      take(count)
    }
    if gathered == 0 { return nil }
    guard gathered == size else { throw LayerError(.truncated, "the archive is cut short within a header") }
    return UnsafeRawPointer(block.bytes.baseAddress)
  }

  /// Says how long the body is that begins here, and who gets its bytes beside those who ask for them.
  mutating func beginBody(_ size: Int, for sink: (any BodySink)? = nil) {
    self.sink = sink
    bodyLeft = size
    padding = (TarHeader.blockBytes - size % TarHeader.blockBytes) % TarHeader.blockBytes
  }

  /// Appends up to `limit` bytes of the body. Room is made for all of them at once, so that a body is never held twice;
  /// memory that no byte was written to is not the process's yet, so what a header only claims costs none.
  mutating func readBody(into bytes: inout [UInt8], limit: Int) throws(LayerError) {
    var wanted = min(limit, bodyLeft)
    bytes.reserveCapacity(bytes.count + wanted)
    while wanted > 0 {
      let count = try piece(min(wanted, bodyLeft))
      bytes.append(contentsOf: chunk[..<count])
      takeBody(count)
      wanted -= count
    }
  }

  /// Passes over what is left of the body and its padding. A body of nothing but its claim costs nothing.
  mutating func finishBody() throws(LayerError) {
    while bodyLeft > 0 { takeBody(try piece(bodyLeft)) }
    sink?.end()
    sink = nil
    while padding > 0 {
      let count = try piece(padding)
      take(count)
      padding -= count
    }
  }

  /// Reads to the end of the stream.
  mutating func requireOnlyZeros() throws(LayerError) {
    while true {
      guard chunk.isAllZero else {
        throw LayerError(.tarDataAfterEnd, "data follows the end of the archive; runtimes do not see it")
      }
      take(chunk.count)
      chunk = try source.next()
      if chunk.isEmpty { return }
    }
  }

  /// How many bytes of `wanted` lie at the front of `chunk`; at least one.
  private mutating func piece(_ wanted: Int) throws(LayerError) -> Int {
    if chunk.isEmpty {
      chunk = try source.next()
      if chunk.isEmpty { throw LayerError(.truncated, "the archive is cut short within a file") }
    }
    return min(wanted, chunk.count)
  }

  private mutating func takeBody(_ count: Int) {
    sink?.take(UnsafeRawBufferPointer(rebasing: chunk[..<count]))
    take(count)
    bodyLeft -= count
  }

  private mutating func take(_ count: Int) {
    chunk = UnsafeRawBufferPointer(rebasing: chunk[count...])
    position += count
  }
}
