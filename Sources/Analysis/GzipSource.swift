import CIsal
import Inventory

/// The contents of a gzip stream of one or more members (RFC 1952), each with its checksum and length verified.
/// After the last member only zeros may follow, as tapes and some tools pad; anything else is an error.
final class GzipSource: ChunkSource {
  private enum Phase { case member, between, padding, ended }

  private let input: any ChunkSource
  private let state: UnsafeMutablePointer<inflate_state>
  private let output = Buffer(256 << 10)
  private var phase = Phase.member
  private var inputEnded = false
  /// Found together with bytes that had to be handed out first.
  private var failure: LayerError?

  init(_ input: any ChunkSource) {
    self.input = input
    state = .allocate(capacity: 1)
    isal_inflate_init(state)
    state.pointee.crc_flag = UInt32(ISAL_GZIP)
    state.pointee.avail_in = 0
  }

  deinit { state.deallocate() }

  func next() throws(LayerError) -> UnsafeRawBufferPointer {
    if let failure { throw failure }
    while true {
      switch phase {
      case .member:
        let produced = try inflate()
        if produced > 0 { return output.prefix(produced) }
      case .between: try beginNextMember()
      case .padding: try skipPadding()
      case .ended: return output.prefix(0)
      }
    }
  }

  /// Makes `state.avail_in` positive, or sets `inputEnded`.
  private func fill() throws(LayerError) {
    guard state.pointee.avail_in == 0, !inputEnded else { return }
    let chunk = try input.next()
    inputEnded = chunk.isEmpty
    // ISA-L only reads there, though its structure says otherwise.
    state.pointee.next_in = UnsafeMutablePointer(mutating: chunk.baseAddress?.assumingMemoryBound(to: UInt8.self))
    state.pointee.avail_in = UInt32(chunk.count)
  }

  private func inflate() throws(LayerError) -> Int {
    try fill()
    let offered = state.pointee.avail_in
    state.pointee.next_out = output.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    state.pointee.avail_out = UInt32(output.bytes.count)
    let status = isal_inflate(state)
    let produced = output.bytes.count - Int(state.pointee.avail_out)
    if status < 0 {
      failure = Self.error(status)
    } else if state.pointee.block_state == ISAL_BLOCK_FINISH {
      phase = .between
    } else if produced == 0 && inputEnded {
      failure = LayerError(.truncated, "the gzip stream is cut short")
    } else if produced == 0 && offered > 0 && state.pointee.avail_in == offered {
      failure = LayerError(.corrupt, "the gzip stream makes no progress")
    }
    if produced == 0, let failure { throw failure }
    return produced
  }

  private func beginNextMember() throws(LayerError) {
    try fill()
    guard let byte = state.pointee.next_in, state.pointee.avail_in > 0 else {
      phase = .ended
      return
    }
    if byte.pointee == 0 {
      phase = .padding
    } else if byte.pointee == 0x1f {
      let rest = (state.pointee.next_in, state.pointee.avail_in)
      isal_inflate_reset(state)
      state.pointee.crc_flag = UInt32(ISAL_GZIP)
      (state.pointee.next_in, state.pointee.avail_in) = rest
      phase = .member
    } else {
      throw Self.trailing
    }
  }

  private func skipPadding() throws(LayerError) {
    while true {
      try fill()
      if state.pointee.avail_in == 0 { break }
      let rest = UnsafeRawBufferPointer(start: state.pointee.next_in, count: Int(state.pointee.avail_in))
      guard rest.isAllZero else { throw Self.trailing }
      state.pointee.avail_in = 0
    }
    phase = .ended
  }

  private static let trailing = LayerError(.trailingBytes, "bytes that are no gzip member follow the gzip stream")

  private static func error(_ status: Int32) -> LayerError {
    switch status {
    case ISAL_INCORRECT_CHECKSUM: LayerError(.corrupt, "the gzip stream's checksum or length does not fit its contents")
    case ISAL_INVALID_WRAPPER: LayerError(.corrupt, "a gzip member's header is malformed")
    case ISAL_UNSUPPORTED_METHOD: LayerError(.corrupt, "a gzip member uses a method other than deflate")
    default: LayerError(.corrupt, "the gzip stream is corrupt (ISA-L error \(status))")
    }
  }
}

extension UnsafeRawBufferPointer {
  /// Whether every byte is zero. Eight at a time: padding may be long.
  var isAllZero: Bool {
    var offset = 0
    while offset + 8 <= count {
      if loadUnaligned(fromByteOffset: offset, as: UInt64.self) != 0 { return false }
      offset += 8
    }
    return self[offset...].allSatisfy { $0 == 0 }
  }
}
