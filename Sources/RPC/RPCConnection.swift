import CPosix
import Glibc
import Posix
import Synchronization

/// A client's connection to the daemon: unary calls, several in flight, answered in any order. A call writes as far as
/// the socket takes it; a thread of its own reads, and writes the rest. So no caller ever blocks in a write: a daemon that
/// does not read delays answers, but neither deadlines nor cancellation.
///
/// It holds its descriptors until it is closed, or until the daemon hangs up and the last reference goes.
package final class RPCConnection: RPCChannel {
  /// Request bytes that may wait for a daemon that does not read.
  private static let unsentMaximum = 64 << 20
  /// Longest wait for an answer: beyond it the clock's arithmetic, not the daemon, would decide.
  private static let timeoutMaximum: Duration = .seconds(10 * 365 * 86_400)

  private struct State {
    var nextStream: UInt32 = 1
    var waiting: [UInt32: CheckedContinuation<[UInt8], any Error>] = [:]
    /// Set once: no call begins after it.
    var failure: RPCError?
    var unsent: [UInt8] = []
    var unsentStart = 0
    var isClosed = false
  }

  private let descriptor: Int32
  private let wake: Int32
  private let state = Mutex(State())
  private let ended = Signal()

  private init(descriptor: Int32, wake: Int32) {
    self.descriptor = descriptor
    self.wake = wake
  }

  // The I/O thread holds a reference: it has ended.
  deinit { closeDescriptors() }

  /// Connects; throws UNAVAILABLE when nothing listens at `path` and PERMISSION_DENIED when the socket refuses the user.
  package static func connect(toSocket path: String) throws(RPCError) -> RPCConnection {
    let descriptor = cposix_connect_unix(path)
    guard descriptor >= 0 else {
      let error = PosixError("connect to \(path)")
      throw RPCError(error.errno == EACCES || error.errno == EPERM ? .permissionDenied : .unavailable, "\(error)")
    }
    let wake = cposix_eventfd()
    guard wake >= 0, cposix_set_nonblocking(descriptor) == 0 else {
      let error = PosixError("prepare the connection to \(path)")
      Glibc.close(descriptor)
      if wake >= 0 { Glibc.close(wake) }
      throw RPCError(.resourceExhausted, "\(error)")
    }
    let connection = RPCConnection(descriptor: descriptor, wake: wake)
    startThread(named: "rpc-client") { connection.run() }
    return connection
  }

  /// Ends the connection; calls in flight fail with CANCELLED. Blocks until its thread has ended.
  package func close() {
    fail(RPCError(.cancelled, "the connection was closed"))
    ended.wait()
    ended.send()
    closeDescriptors()
  }

  private func closeDescriptors() {
    state.withLock { state in
      if state.isClosed { return }
      state.isClosed = true
      Glibc.close(descriptor)
      Glibc.close(wake)
    }
  }

  // MARK: - Calls

  package func call(service: String, method: String, payload: [UInt8], timeout: Duration?) async throws -> [UInt8] {
    var request = RequestEnvelope()
    request.service = service
    request.method = method
    request.payload = payload
    if let timeout {
      guard timeout > .zero else { throw RPCError(.deadlineExceeded, "the time limit was over before the call began") }
      request.timeoutNanoseconds = Self.nanoseconds(timeout)
    }
    let data = request.encoded()
    guard data.count <= Frame.dataMaximum else {
      throw RPCError(.resourceExhausted, "the request has \(data.count) bytes, more than a message may have (4 MiB)")
    }
    guard let timeout else { return try await send(data) }
    return try await withThrowingTaskGroup(of: [UInt8].self) { group in
      group.addTask { try await self.send(data) }
      group.addTask {
        do {
          // The server ends the call too; a little later, so that its own answer wins where there is one.
          try await Task.sleep(for: min(timeout, Self.timeoutMaximum) + .milliseconds(250))
        } catch {
          throw RPCError(.cancelled, "the call was cancelled")
        }
        throw RPCError(.deadlineExceeded, "no answer from the daemon within the time limit")
      }
      defer { group.cancelAll() }
      guard let first = try await group.next() else { throw RPCError(.internal, "no result") }
      return first
    }
  }

  /// At least 1, since 0 means no deadline on the wire; at most what the wire holds.
  private static func nanoseconds(_ timeout: Duration) -> Int64 {
    let (seconds, attoseconds) = timeout.components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return .max }
    let (sum, overflowed) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflowed ? .max : max(1, sum)
  }

  private func send(_ data: [UInt8]) async throws -> [UInt8] {
    let stream = Mutex<UInt32>(0)
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        if Task.isCancelled { return continuation.resume(throwing: RPCError(.cancelled, "the call was cancelled")) }
        switch begin(data, continuation) {
        case .failure(let error): continuation.resume(throwing: error)
        case .success(let id):
          stream.withLock { $0 = id }
          // The handler below may have run before the id was known.
          if Task.isCancelled { abandon(id) }
        }
      }
    } onCancel: {
      abandon(stream.withLock { $0 })
    }
  }

  /// Numbers the call and writes its frame under one lock, so that frames stay whole and ids rise on the wire.
  private func begin(
    _ data: [UInt8], _ continuation: CheckedContinuation<[UInt8], any Error>
  ) -> Result<UInt32, RPCError> {
    let (result, mustWake) = state.withLock { state -> (Result<UInt32, RPCError>, Bool) in
      if let failure = state.failure { return (.failure(failure), false) }
      guard state.nextStream < UInt32.max - 1 else {
        return (
          .failure(RPCError(.unavailable, "the connection has carried all the calls it can: connect anew")), false
        )
      }
      guard state.unsent.count - state.unsentStart <= Self.unsentMaximum else {
        return (.failure(RPCError(.resourceExhausted, "the daemon does not read: 64 MiB of requests wait")), false)
      }
      let id = state.nextStream
      state.nextStream += 2
      let isIdle = state.unsent.isEmpty
      Frame.Header(length: UInt32(data.count), stream: id, kind: .request).write(to: &state.unsent)
      state.unsent.append(contentsOf: data)
      if isIdle, let error = flush(&state) { return (.failure(error), false) }
      state.waiting[id] = continuation
      return (.success(id), isIdle && !state.unsent.isEmpty)
    }
    if mustWake { signal() }
    return result
  }

  /// Stops waiting for a call. ttrpc has no cancel frame: the late answer is dropped.
  private func abandon(_ stream: UInt32) {
    state.withLock { $0.waiting.removeValue(forKey: stream) }?
      .resume(throwing: RPCError(.cancelled, "the call was cancelled"))
  }

  private func fail(_ error: RPCError) {
    let waiting = state.withLock { state -> [CheckedContinuation<[UInt8], any Error>] in
      if state.failure == nil { state.failure = error }
      if !state.isClosed { shutdown(descriptor, Int32(SHUT_RDWR)) }
      defer { state.waiting = [:] }
      return Array(state.waiting.values)
    }
    for continuation in waiting { continuation.resume(throwing: error) }
  }

  // MARK: - Bytes

  /// Writes what the socket takes. A failure ends only this direction: answers that are already here are still read.
  private func flush(_ state: inout State) -> RPCError? {
    while state.unsentStart < state.unsent.count {
      let start = state.unsentStart
      let count = state.unsent.withUnsafeBytes { bytes in
        cposix_send(descriptor, bytes.baseAddress.map { $0 + start }, bytes.count - start)
      }
      if count >= 0 {
        state.unsentStart += count
      } else if errno == EAGAIN {
        if state.unsentStart > state.unsent.count - state.unsentStart {
          state.unsent.removeFirst(state.unsentStart)
          state.unsentStart = 0
        }
        return nil
      } else if errno != EINTR {
        let error = RPCError(.unavailable, "the daemon closed the connection (\(PosixError("send").reason))")
        if state.failure == nil { state.failure = error }
        state.unsent = []
        state.unsentStart = 0
        shutdown(descriptor, Int32(SHUT_WR))
        return error
      }
    }
    state.unsent.removeAll(keepingCapacity: state.unsent.capacity <= 64 * 1024)
    state.unsentStart = 0
    return nil
  }

  private func signal() {
    var one: UInt64 = 1
    state.withLock { state in
      // EAGAIN, at 2^64 - 2 unread wake-ups, would mean that the thread is awake anyway.
      if !state.isClosed { _ = write(wake, &one, 8) }
    }
  }

  private func run() {
    var input: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 * 1024)
    let readable = Int16(POLLIN)
    let writable = Int16(POLLOUT)
    reading: while true {
      let hasUnsent = state.withLock { !$0.unsent.isEmpty }
      var polled = [
        pollfd(fd: descriptor, events: hasUnsent ? readable | writable : readable, revents: 0),
        pollfd(fd: wake, events: readable, revents: 0),
      ]
      guard poll(&polled, 2, -1) > 0 else { continue }
      if polled[1].revents != 0 {
        var count: UInt64 = 0
        _ = read(wake, &count, 8)
      }
      // Those whose frames are lost by a failure here hear of it when reading ends.
      if polled[0].revents & writable != 0 { _ = state.withLock { flush(&$0) } }
      guard polled[0].revents & ~writable != 0 else { continue }
      let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
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
        accept(header, input[start + Frame.headerLength..<start + Frame.headerLength + length])
        start += Frame.headerLength + length
      }
      input.removeFirst(start)
    }
    fail(RPCError(.unavailable, "the daemon closed the connection"))
    ended.send()
  }

  private func accept(_ header: Frame.Header, _ data: ArraySlice<UInt8>) {
    // Kinds that do not exist yet are skipped; so is an answer that nobody waits for any more.
    guard let kind = Frame.Kind(rawValue: header.kind), kind != .request,
      let continuation = state.withLock({ $0.waiting.removeValue(forKey: header.stream) })
    else { return }
    guard kind == .response else {
      return continuation.resume(throwing: RPCError(.internal, "the daemon answered a unary call with a stream"))
    }
    do {
      continuation.resume(with: try ResponseEnvelope.decode(data).mapError { $0 as any Error })
    } catch {
      continuation.resume(throwing: RPCError(.internal, "the daemon's answer does not decode: \(error.reason)"))
    }
  }
}
