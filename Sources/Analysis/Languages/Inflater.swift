import CIsal

/// Unpacks deflated pieces in memory, one after another, with the library's state of some 100 KiB held for all of them.
struct Inflater: ~Copyable {
  enum Flaw: Error {
    case corrupt, tooLarge
  }

  /// Deflate packs 258 bytes into two bits at best.
  private static let expansionMax = 1_032

  private let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)

  init() { isal_inflate_init(state) }

  deinit { state.deallocate() }

  /// A piece of a zip archive: exactly `size` bytes with that checksum. No more memory is asked for than the packed bytes
  /// can fill, whatever `size` claims.
  borrowing func member(_ packed: UnsafeRawBufferPointer, size: Int, checksum: UInt32) throws(Flaw) -> [UInt8] {
    guard size / Self.expansionMax <= packed.count else { throw .corrupt }
    let unpacked = try unpack(packed, ISAL_GZIP_NO_HDR, limit: size)
    guard unpacked.count == size, state.pointee.crc == checksum else { throw .corrupt }
    return unpacked
  }

  /// A zlib stream (RFC 1950), its checksum verified. `limit` is of what comes out.
  borrowing func zlib(_ packed: UnsafeRawBufferPointer, limit: Int) throws(Flaw) -> [UInt8] {
    try unpack(packed, ISAL_ZLIB, limit: min(limit, (packed.count + 1) * Self.expansionMax))
  }

  private borrowing func unpack(
    _ packed: UnsafeRawBufferPointer, _ format: Int32, limit: Int
  ) throws(Flaw) -> [UInt8] {
    guard packed.count <= Int(UInt32.max), limit < Int(UInt32.max) else { throw .tooLarge }
    isal_inflate_reset(state)
    state.pointee.crc_flag = UInt32(format)
    // ISA-L only reads there, though its structure says otherwise.
    state.pointee.next_in = UnsafeMutablePointer(mutating: packed.baseAddress?.assumingMemoryBound(to: UInt8.self))
    state.pointee.avail_in = UInt32(packed.count)
    var status: Int32 = 0
    // One byte more, so that a longer piece shows.
    let unpacked = [UInt8](unsafeUninitializedCapacity: limit + 1) { output, count in
      state.pointee.next_out = output.baseAddress
      state.pointee.avail_out = UInt32(limit + 1)
      status = isal_inflate(state)
      count = limit + 1 - Int(state.pointee.avail_out)
    }
    guard status == ISAL_DECOMP_OK else { throw .corrupt }
    guard unpacked.count <= limit else { throw .tooLarge }
    guard state.pointee.block_state == ISAL_BLOCK_FINISH else { throw .corrupt }
    return unpacked
  }
}
