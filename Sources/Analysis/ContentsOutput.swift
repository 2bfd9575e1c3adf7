import Glibc
import Inventory

/// Who gets the bytes of a layer's files as they are passed, whatever else is made of them.
package protocol BodySink: AnyObject {
  /// A regular file with a body begins. False where its bytes are not wanted.
  func begin(_ path: UnsafeRawBufferPointer, size: Int, isSparse: Bool) -> Bool
  func take(_ bytes: UnsafeRawBufferPointer)
  /// All bytes of the file were taken.
  func end()
  /// A regular file with a body was passed over, as its name is none inside the image.
  func passOverUnnamed(size: Int)
  /// No more of the layer is read: its end was reached, or what ended the reading early is a fault in the analysis.
  func finish(isWhole: Bool)
}

/// Hands file bytes back as `ContentsProtocol` has it, at a descriptor. Holds no more than a buffer of a fixed size.
///
/// When nobody takes them, which is no fault of the layer's, the rest is dropped: the stream then has no end, which whoever
/// reads it sees.
package final class ContentsOutput: BodySink {
  private let descriptor: Int32
  private let bounds: ContentsProtocol.Bounds
  private let buffer = Buffer(64 << 10)
  private var filled = 0
  private var layerBytes = 0
  private var isInFile = false
  private var isBroken = false

  package init(_ descriptor: Int32, bounds: ContentsProtocol.Bounds) {
    self.descriptor = descriptor
    self.bounds = bounds
  }

  package func begin(_ path: UnsafeRawBufferPointer, size: Int, isSparse: Bool) -> Bool {
    let kind: ContentsProtocol.Kind =
      if isSparse {
        .sparse
      } else if size > bounds.fileBytes {
        .tooLarge
      } else if size > bounds.layerBytes - layerBytes {
        .overLayer
      } else {
        .begin
      }
    put(kind)
    withUnsafeBytes(of: UInt16(path.count).bigEndian) { put($0) }
    withUnsafeBytes(of: UInt64(size).bigEndian) { put($0) }
    put(path)
    guard kind == .begin else { return false }
    layerBytes += size
    isInFile = true
    return true
  }

  package func take(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(ContentsProtocol.pieceBytesMax))
      put(.piece)
      withUnsafeBytes(of: UInt32(piece.count).bigEndian) { put($0) }
      put(piece)
      rest = UnsafeRawBufferPointer(rebasing: rest[piece.count...])
    }
  }

  package func end() {
    put(.whole)
    isInFile = false
  }

  package func passOverUnnamed(size: Int) {
    put(.unnamed)
    withUnsafeBytes(of: UInt16(0)) { put($0) }
    withUnsafeBytes(of: UInt64(size).bigEndian) { put($0) }
  }

  package func finish(isWhole: Bool) {
    if isInFile { put(.cut) }
    put(isWhole ? .end : .endEarly)
    flush()
  }

  private func put(_ kind: ContentsProtocol.Kind) { withUnsafeBytes(of: kind.rawValue) { put($0) } }

  private func put(_ bytes: UnsafeRawBufferPointer) {
    if filled + bytes.count > buffer.bytes.count { flush() }
    if bytes.count > buffer.bytes.count { return write(bytes) }
    UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[filled...]).copyBytes(from: bytes)
    filled += bytes.count
  }

  private func flush() {
    write(buffer.prefix(filled))
    filled = 0
  }

  private func write(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty && !isBroken {
      let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
      if count >= 0 {
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      } else if errno != EINTR {
        isBroken = true
      }
    }
  }
}
