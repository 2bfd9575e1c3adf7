import StorageMessages

extension Package {
  /// All texts that come from the image.
  package var texts: [String] { [name, version, arch, sourceName, sourceVersion, modularity] }
}

/// A text for the store: what is not UTF-8 is replaced, and so is NUL, which no stored text may hold.
package func storedText(_ bytes: some Collection<UInt8>) -> String {
  if bytes.contains(0) {
    return String(decoding: bytes, as: UTF8.self).replacingNULs()
  }
  return String(decoding: bytes, as: UTF8.self)
}

extension String {
  fileprivate func replacingNULs() -> String {
    String(String.UnicodeScalarView(unicodeScalars.map { $0 == "\0" ? "\u{fffd}" : $0 }))
  }
}
