import CPosix
import Glibc
import Posix
import Synchronization

/// A client's connection to the daemon: unary calls, several in flight, answered in any order. A thread of its own reads,
/// so that a blocked write never keeps answers from being read.
package final class RPCConnection: RPCChannel {
  private struct State {
    var nextStream: UInt32 = 1
    var waiting: [UInt32: CheckedContinuation<[UInt8], any Error>] = [:]
    var failure: RPCError?
  }

  private let descriptor: Int32
  private let state = Mutex(State())
  /// Held while a frame is written, so that frames stay whole and stream ids rise on the wire.
  private let writing = Mutex(())
  private let ended = Signal()

  private init(descriptor: Int32) { self.descriptor = descriptor }

  /// Connects; throws UNAVAILABLE when nothing listens at `path` and PERMISSION_DENIED when the socket refuses the user.
  package static func connect(toSocket path: String) throws(RPCError) -> RPCConnection {
    let descriptor = cposix_connect_unix(path)
    guard descriptor >= 0 else {
      let reason = String(cString: strerror(errno))
      throw RPCError(errno == EACCES || errno == EPERM ? .permissionDenied : .unavailable, "connect to \(path): \(reason)")
    }
    let connection = RPCConnection(descriptor: descriptor)
    startThread(named: "rpc-client") { connection.readLoop() }
    return connection
  }

  /// Ends the connection; calls in flight fail with CANCELLED.
  package func close() {
    fail(RPCError(.cancelled, "the connection was closed"))
    ended.wait()
    Glibc.close(descriptor)
  }

  package func call(service: String, method: String, payload: [UInt8], timeout: Duration?) async throws -> [UInt8] {
    var request = RequestEnvelope()
    request.service = service
    request.method = method
    request.payload = payload
    if let timeout {
      let (seconds, attoseconds) = timeout.components
      let nanoseconds = seconds.multipliedReportingOverflow(by: 1_000_000_000)
      request.timeoutNanoseconds =
        nanoseconds.overflow ? .max : nanoseconds.partialValue + attoseconds / 1_000_000_000
    }
    let data = request.encoded()
    guard data.count <= Frame.dataMaximum else {
      throw RPCError(.resourceExhausted, "the request has \(data.count) bytes, more than a message may have (4 MiB)")
    }
    guard let timeout else { return try await send(data) }
    return try await withThrowingTaskGroup(of: [UInt8].self) { group in
      group.addTask { try await self.send(data) }
      group.addTask {
        // The server ends the call too; a little later, so that its own answer wins where there is one.
        try await Task.sleep(for: timeout + .milliseconds(250))
        throw RPCError(.deadlineExceeded, "no answer from the daemon within the time limit")
      }
      defer { group.cancelAll() }
      guard let first = try await group.next() else { throw RPCError(.internal, "no result") }
      return first
    }
  }

  private func send(_ data: [UInt8]) async throws -> [UInt8] {
    let stream = Mutex<UInt32>(0)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        writing.withLock { _ in
          let (id, failure) = state.withLock { state -> (UInt32, RPCError?) in
            if let failure = state.failure { return (0, failure) }
            let id = state.nextStream
            state.nextStream += 2
            state.waiting[id] = continuation
            return (id, nil)
          }
          if let failure { return continuation.resume(throwing: failure) }
          stream.withLock { $0 = id }
          var frame: [UInt8] = []
          frame.reserveCapacity(Frame.headerLength + data.count)
          Frame.Header(length: UInt32(data.count), stream: id, kind: .request).write(to: &frame)
          frame.append(contentsOf: data)
          if let error = write(frame) {
            fail(RPCError(.unavailable, "the daemon closed the connection (\(error.reason))"))
          }
        }
        if Task.isCancelled { abandon(stream.withLock { $0 }) }
      }
    } onCancel: {
      abandon(stream.withLock { $0 })
    }
  }

  private func write(_ frame: [UInt8]) -> PosixError? {
    var sent = 0
    while sent < frame.count {
      let count = frame.withUnsafeBytes { bytes in
        cposix_send(descriptor, bytes.baseAddress.map { $0 + sent }, bytes.count - sent)
      }
      if count < 0 {
        if errno == EINTR { continue }
        return PosixError("send")
      }
      sent += count
    }
    return nil
  }

  /// Stops waiting for a call. ttrpc has no cancel frame: the late answer is dropped.
  private func abandon(_ stream: UInt32) {
    state.withLock { $0.waiting.removeValue(forKey: stream) }?
      .resume(throwing: RPCError(.cancelled, "the call was cancelled"))
  }

  private func fail(_ error: RPCError) {
    let waiting = state.withLock { state -> [CheckedContinuation<[UInt8], any Error>] in
      if state.failure == nil { state.failure = error }
      defer { state.waiting = [:] }
      return Array(state.waiting.values)
    }
    shutdown(descriptor, Int32(SHUT_RDWR))
    for continuation in waiting { continuation.resume(throwing: error) }
  }

  private func readLoop() {
    var input: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 * 1024)
    reading: while true {
      let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      input.append(contentsOf: chunk[..<count])
      var start = 0
      while input.count - start >= Frame.headerLength {
        let header = Frame.Header(input[start..<start + Frame.headerLength])
        let length = Int(header.length)
        guard length <= Frame.dataMaximum else {
          fail(RPCError(.internal, "the daemon sent a frame over 4 MiB"))
          break reading
        }
        guard input.count - start - Frame.headerLength >= length else { break }
        let data = input[start + Frame.headerLength..<start + Frame.headerLength + length]
        accept(header, data)
        start += Frame.headerLength + length
      }
      input.removeFirst(start)
    }
    fail(RPCError(.unavailable, "the daemon closed the connection"))
    ended.send()
  }

  private func accept(_ header: Frame.Header, _ data: ArraySlice<UInt8>) {
    guard let continuation = state.withLock({ $0.waiting.removeValue(forKey: header.stream) }) else { return }
    guard header.kind == Frame.Kind.response.rawValue else {
      return continuation.resume(throwing: RPCError(.internal, "the daemon answered a unary call with a stream"))
    }
    do {
      continuation.resume(with: try ResponseEnvelope.decode(data).mapError { $0 as any Error })
    } catch {
      continuation.resume(throwing: RPCError(.internal, "the daemon's answer does not decode: \(error.reason)"))
    }
  }
}
