import Posix
import Synchronization

/// The body of an answer, read at the reader's pace: at `bytesMax` waiting bytes the transfer pauses, and at half of
/// that it goes on. TCP then holds the sender back.
///
/// One thread reads. Dropping the stream ends the transfer.
package final class HTTPStream: Sendable {
  package let response: HTTPResponse
  private let buffer: StreamBuffer

  init(response: HTTPResponse, buffer: StreamBuffer) {
    self.response = response
    self.buffer = buffer
  }

  deinit { buffer.cancel() }

  /// The next bytes, at most 256 KiB; nil at the end. Blocks: for a thread of the caller's own, never from a task.
  package func read() throws -> [UInt8]? { try buffer.read() }

  /// Ends the transfer; a reader that waits, and every later one, gets `CancellationError`.
  package func cancel() { buffer.cancel() }
}

/// What the curl thread and the reading thread share of one body.
final class StreamBuffer: Sendable {
  static let bytesMax = 1 << 20
  static let resumeBelow = bytesMax / 2
  static let chunkBytes = 256 * 1024

  private struct State {
    var chunks: [[UInt8]] = []
    var byteCount = 0
    var isPaused = false
    var isReaderWaiting = false
    var end: Result<Void, any Error>?
  }

  enum Appended { case taken, full, abandoned }

  private let state = Mutex(State())
  private let arrival = Signal()
  /// Asks the curl thread to go on, or to stop.
  private let resume: @Sendable () -> Void
  private let stop: @Sendable () -> Void

  init(resume: @escaping @Sendable () -> Void, stop: @escaping @Sendable () -> Void) {
    self.resume = resume
    self.stop = stop
  }

  // MARK: the curl thread

  func append(_ bytes: UnsafeRawBufferPointer) -> Appended {
    state.withLock { state in
      if state.end != nil { return .abandoned }
      guard state.byteCount < Self.bytesMax else {
        state.isPaused = true
        return .full
      }
      if let last = state.chunks.indices.last, state.chunks[last].count + bytes.count <= Self.chunkBytes {
        state.chunks[last].append(contentsOf: bytes)
      } else {
        var chunk: [UInt8] = []
        chunk.reserveCapacity(max(Self.chunkBytes, bytes.count))
        chunk.append(contentsOf: bytes)
        state.chunks.append(chunk)
      }
      state.byteCount += bytes.count
      return .taken
    }
  }

  /// Wakes a waiting reader; called once for many appends, since a wake-up costs more than 16 KiB of copying.
  func flush() {
    let isWaiting = state.withLock { state in
      defer { state.isReaderWaiting = false }
      return state.isReaderWaiting
    }
    if isWaiting { arrival.send() }
  }

  func finish(_ end: Result<Void, any Error>) {
    state.withLock { if $0.end == nil { $0.end = end } }
    flush()
  }

  // MARK: the reader

  func read() throws -> [UInt8]? {
    while true {
      enum Step { case chunk([UInt8], resumes: Bool), end(Result<Void, any Error>), wait }
      let step: Step = state.withLock { state in
        if !state.chunks.isEmpty {
          let chunk = state.chunks.removeFirst()
          state.byteCount -= chunk.count
          let resumes = state.isPaused && state.byteCount <= Self.resumeBelow
          if resumes { state.isPaused = false }
          return .chunk(chunk, resumes: resumes)
        }
        if let end = state.end { return .end(end) }
        state.isReaderWaiting = true
        return .wait
      }
      switch step {
      case .chunk(let chunk, let resumes):
        if resumes { resume() }
        return chunk
      case .end(let end):
        try end.get()
        return nil
      case .wait: arrival.wait()
      }
    }
  }

  func cancel() {
    let wasRunning = state.withLock { state in
      state.chunks.removeAll()
      state.byteCount = 0
      defer { if state.end == nil { state.end = .failure(CancellationError()) } }
      return state.end == nil
    }
    guard wasRunning else { return }
    flush()
    stop()
  }
}
