/// A regular file of a layer, as those who look into contents are given it. Valid inside the call that it was handed to.
package struct LayerFile {
  /// Normalised: inside the image, without a leading slash; bytes, as names need not be UTF-8.
  package let path: UnsafeRawBufferPointer
  /// Permission, setuid, setgid and sticky bits.
  package let mode: UInt16
  /// What its header says; more than `bytes` where the file was too large to be held, or the layer ends in it.
  package let size: Int
  package let bytes: UnsafeRawBufferPointer

  package init(path: UnsafeRawBufferPointer, mode: UInt16, size: Int, bytes: UnsafeRawBufferPointer) {
    self.path = path
    self.mode = mode
    self.size = size
    self.bytes = bytes
  }

  package var isComplete: Bool { bytes.count == size }

  /// The last component of the path.
  package var base: Slice<UnsafeRawBufferPointer> {
    let start = path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? path.startIndex
    return path[start...]
  }
}
