import Inventory

extension [UInt8] {
  /// `withUnsafeBytes` for those that throw but one type of error.
  func withBytes<R>(_ look: (UnsafeRawBufferPointer) throws(LayerError) -> R) throws(LayerError) -> R {
    let result = withUnsafeBytes { bytes in
      Result { () throws(LayerError) in try look(bytes) }
    }
    return try result.get()
  }
}
