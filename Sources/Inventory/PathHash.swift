/// The hash of a path, byte by byte: FNV-1a, its bits mixed at the end. Part of the on-disk format.
package struct PathHash {
  private var state: UInt64 = 0xcbf2_9ce4_8422_2325

  package init() {}

  package init(_ path: some Sequence<UInt8>) {
    for byte in path { add(byte) }
  }

  package mutating func add(_ byte: UInt8) {
    state = (state ^ UInt64(byte)) &* 0x100_0000_01b3
  }

  /// Of what was added so far.
  package var value: UInt64 {
    var mixed = state
    mixed = (mixed ^ (mixed >> 33)) &* 0xff51_afd7_ed55_8ccd
    mixed = (mixed ^ (mixed >> 33)) &* 0xc4ce_b9fe_1a85_ec53
    return mixed ^ (mixed >> 33)
  }
}

/// What entries a layer places, as the first 48 bits of their paths' hashes, ascending, 6 bytes each: enough to say that
/// something of a lower layer is not there any more. A path that was never placed is taken for one of n others with a
/// chance of n in 2.8e14.
///
/// A directory is noted with a slash behind it: it takes the place of a file of its name, and of nothing below.
package struct PlacedPaths: Sendable {
  package static let hashBytes = 6

  private let bytes: [UInt8]

  /// Nil where they are not what `Builder` writes.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count.isMultiple(of: Self.hashBytes) else { return nil }
    self.bytes = bytes
    for index in 0..<count where index > 0 && self[index - 1] >= self[index] { return nil }
  }

  package var count: Int { bytes.count / Self.hashBytes }

  private subscript(_ index: Int) -> UInt64 {
    bytes.withUnsafeBytes { bytes in
      let start = index * Self.hashBytes
      return UInt64(bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self).bigEndian) << 16
        | UInt64(bytes.loadUnaligned(fromByteOffset: start + 4, as: UInt16.self).bigEndian)
    }
  }

  fileprivate static func short(_ hash: UInt64) -> UInt64 { hash >> 16 }

  private func contains(_ hash: UInt64) -> Bool {
    let wanted = Self.short(hash)
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < wanted { low = middle + 1 } else { high = middle }
    }
    return low < count && self[low] == wanted
  }

  /// Whether a file of a lower layer at `path` is replaced by, or lay below, something that this layer places.
  package func replaces(_ path: [UInt8]) -> Bool {
    if bytes.isEmpty { return false }
    var hash = PathHash()
    for byte in path {
      if byte == UInt8(ascii: "/"), contains(hash.value) { return true }
      hash.add(byte)
    }
    if contains(hash.value) { return true }
    hash.add(UInt8(ascii: "/"))
    return contains(hash.value)
  }

  /// Collects the paths of one layer in any order, each as often as it comes.
  package struct Builder {
    private var hashes: [UInt64] = []

    package init() {}

    package mutating func add(_ hash: PathHash, isDirectory: Bool) {
      var hash = hash
      if isDirectory { hash.add(UInt8(ascii: "/")) }
      hashes.append(PlacedPaths.short(hash.value))
    }

    package consuming func encoded() -> [UInt8] {
      hashes.sort()
      var bytes: [UInt8] = []
      bytes.reserveCapacity(hashes.count * PlacedPaths.hashBytes)
      var last: UInt64?
      for hash in hashes where hash != last {
        for shift in stride(from: 40, through: 0, by: -8) {
          bytes.append(UInt8(truncatingIfNeeded: hash >> UInt64(shift)))
        }
        last = hash
      }
      return bytes
    }
  }
}
