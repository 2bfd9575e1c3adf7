import CPosix
import Glibc

/// One client's connection: bytes in, frames out. Confined to the loop's thread.
final class ServerConnection {
  struct Call {
    let task: Task<Void, Never>?
    let method: String
    let started: ContinuousClock.Instant
  }

  let token: UInt64
  let descriptor: Int32
  let peer: Peer
  var calls: [UInt32: Call] = [:]
  var highestStream: UInt32 = 0
  /// What epoll watches for now.
  var watched: UInt32

  private var input: [UInt8] = []
  private var inputStart = 0
  /// Bytes of an oversized frame still to be thrown away.
  private var skipping = 0
  private(set) var output: [UInt8] = []
  private var outputStart = 0

  init(token: UInt64, descriptor: Int32, peer: Peer) {
    self.token = token
    self.descriptor = descriptor
    self.peer = peer
    watched = cposix_event_in
  }

  var unsentBytes: Int { output.count - outputStart }

  enum Incoming {
    case frame(Frame.Header, ArraySlice<UInt8>)
    /// A frame longer than the limit; its data is skipped.
    case oversized(Frame.Header)
  }

  /// Takes received bytes in and calls `handle` for each complete frame.
  func receive(_ bytes: UnsafeRawBufferPointer, _ handle: (Incoming) -> Void) {
    var bytes = bytes[...]
    if skipping > 0 {
      let dropped = min(skipping, bytes.count)
      skipping -= dropped
      bytes = bytes.dropFirst(dropped)
      if bytes.isEmpty { return }
    }
    input.append(contentsOf: bytes)
    while input.count - inputStart >= Frame.headerLength {
      let header = Frame.Header(input[inputStart..<inputStart + Frame.headerLength])
      let length = Int(header.length)
      let available = input.count - inputStart - Frame.headerLength
      if length > Frame.dataMaximum {
        let dropped = min(length, available)
        inputStart += Frame.headerLength + dropped
        skipping = length - dropped
        handle(.oversized(header))
        continue
      }
      if available < length { break }
      let start = inputStart + Frame.headerLength
      handle(.frame(header, input[start..<start + length]))
      inputStart = start + length
    }
    if inputStart == input.count {
      input.removeAll(keepingCapacity: input.capacity <= 64 * 1024)
      inputStart = 0
    } else if inputStart > 64 * 1024 {
      input.removeFirst(inputStart)
      inputStart = 0
    }
  }

  /// Queues a response frame. An answer over the frame limit is replaced: older clients panic on one.
  func respond(stream: UInt32, _ result: Result<[UInt8], RPCError>) {
    var data = ResponseEnvelope.encode(result)
    if data.count > Frame.dataMaximum {
      data = ResponseEnvelope.encode(
        .failure(
          RPCError(.resourceExhausted, "the answer has \(data.count) bytes, more than a message may have (4 MiB)")))
    }
    Frame.Header(length: UInt32(data.count), stream: stream, kind: .response).write(to: &output)
    output.append(contentsOf: data)
  }

  enum Flush { case done, blocked, failed }

  /// Writes what is queued as far as the socket takes it.
  func flush() -> Flush {
    while outputStart < output.count {
      let count = output.withUnsafeBytes { bytes in
        cposix_send(descriptor, bytes.baseAddress.map { $0 + outputStart }, bytes.count - outputStart)
      }
      if count < 0 {
        if errno == EINTR { continue }
        guard errno == EAGAIN else { return .failed }
        // A peer that reads slowly and never catches up must not keep what it has read in memory.
        if outputStart > unsentBytes {
          output.removeFirst(outputStart)
          outputStart = 0
        }
        return .blocked
      }
      outputStart += count
    }
    output.removeAll(keepingCapacity: output.capacity <= 64 * 1024)
    outputStart = 0
    return .done
  }
}
