import CPosix
import Glibc
import Posix
import Synchronization

/// What the connection's thread does, and how bytes get to the socket.
extension RPCConnection {
  /// Queues a frame and writes what the socket takes; true when the thread must be woken to write the rest.
  func write(
    _ header: Frame.Header, _ data: [UInt8], _ state: inout State
  ) -> Result<Bool, RPCError> {
    let isIdle = state.unsent.isEmpty
    header.write(to: &state.unsent)
    state.unsent.append(contentsOf: data)
    if isIdle, let error = flush(&state) { return .failure(error) }
    return .success(isIdle && !state.unsent.isEmpty)
  }

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
        if state.unsentStart > state.unsentBytes {
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

  func signal() {
    var one: UInt64 = 1
    state.withLock { state in
      // EAGAIN, at 2^64 - 2 unread wake-ups, would mean that the thread is awake anyway.
      if !state.isClosed { _ = Glibc.write(wake, &one, 8) }
    }
  }

  func run() {
    var input: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 * 1024)
    let readable = Int16(POLLIN)
    let writable = Int16(POLLOUT)
    reading: while true {
      let (hasUnsent, nextDeadline) = state.withLock { (!$0.unsent.isEmpty, Self.nextDeadline($0)) }
      var polled = [
        pollfd(fd: descriptor, events: hasUnsent ? readable | writable : readable, revents: 0),
        pollfd(fd: wake, events: readable, revents: 0),
      ]
      let count = poll(&polled, 2, nextDeadline.map(Self.milliseconds(until:)) ?? -1)
      if nextDeadline != nil { expireStreams() }
      guard count > 0 else { continue }
      if polled[1].revents != 0 {
        var count: UInt64 = 0
        _ = read(wake, &count, 8)
      }
      // Those whose frames are lost by a failure here hear of it when reading ends.
      if polled[0].revents & writable != 0 { writeMore() }
      guard polled[0].revents & ~writable != 0 else { continue }
      let received = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      if received < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      if received <= 0 { break }
      input.append(contentsOf: chunk[..<received])
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

  private func writeMore() {
    let senders = state.withLock { state -> [Waiters.Continuation] in
      // Those whose frames are lost by a failure here hear of it when reading ends.
      _ = flush(&state)
      return state.unsentBytes <= Self.unsentStreamMaximum ? state.senders.removeAll() : []
    }
    for sender in senders { sender.resume() }
  }

  private static func nextDeadline(_ state: borrowing State) -> ContinuousClock.Instant? {
    var next: ContinuousClock.Instant?
    for case .stream(_, _, let deadline?) in state.waiting.values { next = min(next ?? deadline, deadline) }
    return next
  }

  private static func milliseconds(until instant: ContinuousClock.Instant) -> Int32 {
    let (seconds, attoseconds) = (instant - .now).components
    return Int32(clamping: max(0, min(seconds, 86_400) * 1000 + attoseconds / 1_000_000_000_000_000 + 1))
  }

  private func expireStreams() {
    let now = ContinuousClock.now
    let expired = state.withLock { state -> [(UInt32, Waiting)] in
      let expired = state.waiting.filter {
        if case .stream(_, _, let deadline?) = $0.value { deadline <= now } else { false }
      }
      for stream in expired.keys { state.waiting[stream] = nil }
      return expired.map { ($0.key, $0.value) }
    }
    for (stream, waiting) in expired {
      waiting.end(RPCError(.deadlineExceeded, "no end of the stream within the time limit"))
      tellServer(ofCancelled: stream)
    }
  }

  // MARK: - Answers

  /// Kinds that do not exist yet are skipped, and frames for calls that nobody waits for any more.
  private func accept(_ header: Frame.Header, _ data: ArraySlice<UInt8>) {
    switch Frame.Kind(rawValue: header.kind) {
    case .response: acceptResponse(header.stream, data)
    case .data: acceptData(header, data)
    case .request, nil: break
    }
  }

  private func acceptResponse(_ stream: UInt32, _ data: ArraySlice<UInt8>) {
    guard let waiting = state.withLock({ $0.waiting.removeValue(forKey: stream) }) else { return }
    let payload: [UInt8]
    do {
      payload = try ResponseEnvelope.decode(data).get()
    } catch let error as RPCError {
      return waiting.end(error)
    } catch {
      return waiting.end(RPCError(.internal, "the daemon's answer does not decode: \(error)"))
    }
    switch waiting {
    case .call(let continuation): continuation.resume(returning: payload)
    case .stream(let queue, let kind, _):
      // The answer of a client-streaming call is its queue's only message, which always fits.
      if kind == .clientStreaming { _ = queue.push(payload) }
      queue.end()
    }
  }

  private func acceptData(_ header: Frame.Header, _ data: ArraySlice<UInt8>) {
    let stream = header.stream
    guard let waiting = state.withLock({ $0.waiting[stream] }) else { return }
    guard case .stream(let queue, let kind, _) = waiting, kind != .clientStreaming else {
      return giveUp(stream, RPCError(.internal, "the daemon answered with a stream where one message was due"))
    }
    if !header.flags.contains(.noData) && !queue.push(Array(data)) {
      let limit = Self.streamQueueBytes
      return giveUp(
        stream, RPCError(.resourceExhausted, "the stream ended: more than \(limit) bytes of it wait to be read"))
    }
    if header.flags.contains(.remoteClosed) {
      state.withLock { state in _ = state.waiting.removeValue(forKey: stream) }
      queue.end()
    }
  }

  /// Ends a call that cannot go on.
  private func giveUp(_ stream: UInt32, _ error: RPCError) {
    guard let waiting = state.withLock({ $0.waiting.removeValue(forKey: stream) }) else { return }
    waiting.end(error)
    tellServer(ofCancelled: stream)
  }
}
