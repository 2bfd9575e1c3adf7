/// The ttrpc frame: a 10-byte header (length, stream id, type, flags), then `length` bytes.
package enum Frame {
  package static let headerLength = 10
  /// Most data bytes in a frame, as in the reference implementation; not negotiable.
  package static let dataMaximum = 4 << 20

  package enum Kind: UInt8, Sendable {
    case request = 1
    case response = 2
    case data = 3
  }

  package struct Flags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The sender sends no more.
    package static let remoteClosed = Flags(rawValue: 1)
    /// The sender will send more.
    package static let remoteOpen = Flags(rawValue: 2)
    /// The empty data is no message.
    package static let noData = Flags(rawValue: 4)
    /// The end of a stream, as a frame of its own.
    package static let end: Flags = [.remoteClosed, .noData]
  }

  package struct Header: Sendable, Equatable {
    package var length: UInt32
    package var stream: UInt32
    /// Raw: unknown kinds must be skipped, not refused.
    package var kind: UInt8
    package var flags: Flags

    package init(length: UInt32, stream: UInt32, kind: Kind, flags: Flags = []) {
      self.length = length
      self.stream = stream
      self.kind = kind.rawValue
      self.flags = flags
    }

    /// Reads the first ten of `bytes`.
    package init(_ bytes: some RandomAccessCollection<UInt8>) {
      var iterator = bytes.makeIterator()
      func word() -> UInt32 { (0..<4).reduce(0) { value, _ in value << 8 | UInt32(iterator.next() ?? 0) } }
      length = word()
      stream = word()
      kind = iterator.next() ?? 0
      flags = Flags(rawValue: iterator.next() ?? 0)
    }

    /// Reads ten bytes at `offset`.
    init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
      length = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      stream = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
      kind = bytes[offset + 8]
      flags = Flags(rawValue: bytes[offset + 9])
    }

    package func write(to output: inout [UInt8]) {
      withUnsafeTemporaryAllocation(byteCount: Frame.headerLength, alignment: 4) { bytes in
        bytes.storeBytes(of: length.bigEndian, toByteOffset: 0, as: UInt32.self)
        bytes.storeBytes(of: stream.bigEndian, toByteOffset: 4, as: UInt32.self)
        bytes.storeBytes(of: kind, toByteOffset: 8, as: UInt8.self)
        bytes.storeBytes(of: flags.rawValue, toByteOffset: 9, as: UInt8.self)
        output.append(contentsOf: bytes)
      }
    }
  }
}
