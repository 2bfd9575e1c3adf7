import CZstd
import Inventory

/// The contents of one or more zstd frames (RFC 8878), skippable ones passed over, checksums verified where a frame
/// has one. Memory is the largest frame's window, at most `2 ^ windowLog` bytes.
final class ZstdSource: ChunkSource {
  /// `ZSTD_error_frameParameter_windowTooLarge`: zstd keeps the numbers below 100, and its header of them apart.
  private static let windowTooLarge: UInt = 16
  /// `ZSTD_error_memory_allocation`, likewise.
  private static let memoryAllocation: UInt = 64

  private let input: any ChunkSource
  private let context: OpaquePointer
  private let output = Buffer(256 << 10)
  private let windowLog: Int32
  private var pending = ZSTD_inBuffer(src: nil, size: 0, pos: 0)
  private var inputEnded = false
  /// Whether the last frame ended where the input now stands.
  private var atFrameEnd = true
  /// The last call filled the output, so more may be waiting inside the decoder.
  private var outputWaits = false

  init(_ input: any ChunkSource, windowLog: Int32) throws(LayerError) {
    guard let context = ZSTD_createDCtx() else { throw Self.outOfMemory }
    self.input = input
    self.context = context
    self.windowLog = windowLog
    let status = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, windowLog)
    precondition(ZSTD_isError(status) == 0, "zstd refuses a window of 2^\(windowLog) bytes")
  }

  deinit { ZSTD_freeDCtx(context) }

  func next() throws(LayerError) -> UnsafeRawBufferPointer {
    while true {
      if pending.pos == pending.size && !outputWaits {
        let chunk = try input.next()
        if chunk.isEmpty {
          guard atFrameEnd else { throw LayerError(.truncated, "the zstd stream is cut short") }
          return output.prefix(0)
        }
        pending = ZSTD_inBuffer(src: chunk.baseAddress, size: chunk.count, pos: 0)
      }
      var into = ZSTD_outBuffer(dst: output.bytes.baseAddress, size: output.bytes.count, pos: 0)
      let status = ZSTD_decompressStream(context, &into, &pending)
      if ZSTD_isError(status) != 0 { throw Self.error(status, windowLog: windowLog) }
      atFrameEnd = status == 0
      outputWaits = into.pos == into.size && !atFrameEnd
      if into.pos > 0 { return output.prefix(into.pos) }
    }
  }

  private static let outOfMemory = LayerError(.outOfMemory, "there is no memory to decode the zstd stream")

  /// What a status of zstd means that is an error.
  static func error(_ status: Int, windowLog: Int32) -> LayerError {
    let number = 0 &- UInt(bitPattern: status)
    if number == memoryAllocation { return outOfMemory }
    if number == windowTooLarge {
      let isLargest = windowLog >= AnalysisLimits.zstdLargeWindowLog
      return LayerError(
        isLargest ? .windowTooLarge : .windowNotAllowed,
        "the zstd stream needs a window over \(1 << (windowLog - 20)) MiB")
    }
    return LayerError(.corrupt, "the zstd stream is corrupt: \(String(cString: ZSTD_getErrorName(status)))")
  }
}
