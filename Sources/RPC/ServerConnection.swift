import CPosix
import Glibc

/// One client's connection: bytes in, frames out, and the calls in flight. Confined to the loop's thread. Without calls
/// it holds no buffers to speak of.
final class ServerConnection {
  /// Spare room an empty buffer keeps, so that a client of small calls costs no allocation each time.
  private static let keptBytes = 2048
  private static let keptCalls = 8
  /// Stream frames are fetched while less than this waits, so that answers of other calls need not wait for more.
  private static let outputTarget = 64 * 1024
  /// What one stream puts out before it is another's turn.
  private static let streamTurn = 16 * 1024
  /// Small answers pass whatever waits: they say what is wrong.
  private static let smallAnswer = 4096
  /// What a frame that is not whole may have whatever else its user's connections hold.
  private static let smallFrame = 64 * 1024

  struct Call {
    var task: Task<Void, Never>?
    let method: ServedMethod
    let started: ContinuousClock.Instant
    let streaming: Streaming?
  }

  /// What a streaming call has beside a unary one.
  final class Streaming {
    let inbound: MessageQueue?
    let outbound: OutboundStream?
    /// The client sends no more.
    var isRemoteClosed: Bool
    /// The call is over; its last frame follows what is queued.
    var outcome: Result<[UInt8], RPCError>?
    /// It is in `ready`.
    var isReady = false

    init(inbound: MessageQueue?, outbound: OutboundStream?, isRemoteClosed: Bool) {
      self.inbound = inbound
      self.outbound = outbound
      self.isRemoteClosed = isRemoteClosed
    }
  }

  let token: UInt64
  let descriptor: Int32
  let peer: Peer
  /// Set on a connection over the limits: the answer to its only call.
  let refusal: RPCError?
  private(set) var calls: [UInt32: Call] = [:]
  /// Handlers that have not ended, also of calls that have.
  var runningHandlers = 0
  var highestStream: UInt32 = 0
  /// What epoll watches for now.
  var watched: UInt32
  /// It is among the loop's connections to be flushed.
  var isTouched = false
  /// Its descriptor is closed.
  var isDropped = false
  /// Close when the output is written; what comes in is ignored.
  var isClosing = false

  /// Since when a frame has been incomplete, the socket has taken nothing, nothing has happened at all.
  private(set) var partialSince: ContinuousClock.Instant?
  private(set) var stalledSince: ContinuousClock.Instant?
  var idleSince: ContinuousClock.Instant?
  /// When the loop looks at these next.
  var timer: ContinuousClock.Instant?

  private var input: [UInt8] = []
  /// Bytes of an oversized frame still to be thrown away.
  private var skipping = 0
  private(set) var output: [UInt8] = []
  private var outputStart = 0
  /// Streams with something to send, in turn.
  private var ready: [UInt32] = []
  private let unsentMaximum: Int
  let budget: UserBudget
  /// What of the budget is this connection's own.
  private var charged = 0

  init(
    token: UInt64, descriptor: Int32, peer: Peer, unsentMaximum: Int, budget: UserBudget, refusal: RPCError? = nil
  ) {
    self.token = token
    self.descriptor = descriptor
    self.peer = peer
    self.unsentMaximum = unsentMaximum
    self.budget = budget
    self.refusal = refusal
    watched = cposix_event_in
  }

  deinit { budget.charge(-charged) }

  /// Counts what the buffers hold now.
  private func settle() {
    let held = unsentBytes + input.count
    if held != charged {
      budget.charge(held - charged)
      charged = held
    }
  }

  var unsentBytes: Int { output.count - outputStart }
  var hasReadyStreams: Bool { !ready.isEmpty }

  // MARK: - In

  /// Takes received bytes in and calls `handle` for each complete frame, with nil for the data of one over the limit,
  /// which is skipped.
  func receive(_ bytes: UnsafeRawBufferPointer, _ handle: (Frame.Header, UnsafeRawBufferPointer?) -> Void) {
    let wasPartial = !input.isEmpty || skipping > 0
    var rest = bytes[...]
    if skipping > 0 {
      let dropped = min(skipping, rest.count)
      skipping -= dropped
      rest = rest.dropFirst(dropped)
    }
    var hasCompleted = wasPartial && skipping == 0 && input.isEmpty
    if input.isEmpty {
      let used = parse(UnsafeRawBufferPointer(rebasing: rest), handle)
      hasCompleted = hasCompleted || used > 0
      if used < rest.count { input = Array(rest.dropFirst(used)) }
    } else {
      var buffer = input
      input = []
      buffer.append(contentsOf: rest)
      let used = buffer.withUnsafeBytes { parse($0, handle) }
      hasCompleted = used > 0
      input = used == 0 ? buffer : Array(buffer[used...])
    }
    settle()
    if input.count > Self.smallFrame && !budget.hasRoom(for: 0) { skipPartial(handle) }
    if input.isEmpty && skipping == 0 {
      partialSince = nil
    } else if hasCompleted || !wasPartial {
      partialSince = .now
    }
  }

  /// Skips the frame that has begun, as if it were over the limit.
  private func skipPartial(_ handle: (Frame.Header, UnsafeRawBufferPointer?) -> Void) {
    let header = input.withUnsafeBytes { Frame.Header($0, at: 0) }
    skipping = Frame.headerLength + Int(header.length) - input.count
    input = []
    settle()
    handle(header, nil)
  }

  /// How many bytes were used; an oversized frame uses what is there of it.
  private func parse(
    _ bytes: UnsafeRawBufferPointer, _ handle: (Frame.Header, UnsafeRawBufferPointer?) -> Void
  ) -> Int {
    var start = 0
    while bytes.count - start >= Frame.headerLength {
      let header = Frame.Header(bytes, at: start)
      let length = Int(header.length)
      let available = bytes.count - start - Frame.headerLength
      if length > Frame.dataMaximum {
        let dropped = min(length, available)
        skipping = length - dropped
        start += Frame.headerLength + dropped
        handle(header, nil)
        continue
      }
      if available < length { break }
      let data = start + Frame.headerLength
      handle(header, UnsafeRawBufferPointer(rebasing: bytes[data..<data + length]))
      start = data + length
    }
    return start
  }

  /// While the server itself does not read, an incomplete frame is no fault of the peer.
  func restartFrameClock() { if partialSince != nil { partialSince = .now } }

  // MARK: - Calls

  func add(_ call: Call, _ stream: UInt32) { calls[stream] = call }

  /// A handler's task, unless the call has ended meanwhile.
  func setTask(_ task: Task<Void, Never>, of stream: UInt32) { calls[stream]?.task = task }

  func removeCall(_ stream: UInt32) -> Call? {
    let call = calls.removeValue(forKey: stream)
    if calls.isEmpty {
      if calls.capacity > Self.keptCalls { calls = [:] }
      if idleSince != nil && refusal == nil { idleSince = .now }
    }
    return call
  }

  func markReady(_ stream: UInt32) {
    guard let streaming = calls[stream]?.streaming, !streaming.isReady else { return }
    streaming.isReady = true
    ready.append(stream)
  }

  // MARK: - Out

  /// Queues a response frame. An answer over the frame limit is replaced (older clients panic on one), and so is one for
  /// a peer that has left too much unread.
  func respond(stream: UInt32, _ result: Result<[UInt8], RPCError>) {
    guard case .success(let payload) = result else { return append(ResponseEnvelope.encode(result), stream) }
    let length = ResponseEnvelope.length(ofSuccess: payload)
    if let refusal = refusal(ofAnswer: length) { return append(ResponseEnvelope.encode(.failure(refusal)), stream) }
    Frame.Header(length: UInt32(length), stream: stream, kind: .response).write(to: &output)
    ResponseEnvelope.append(success: payload, to: &output)
  }

  /// A status, which may be too long as well.
  private func append(_ status: [UInt8], _ stream: UInt32) {
    let data = refusal(ofAnswer: status.count).map { ResponseEnvelope.encode(.failure($0)) } ?? status
    Frame.Header(length: UInt32(data.count), stream: stream, kind: .response).write(to: &output)
    output.append(contentsOf: data)
  }

  /// What takes the place of an answer of `length` bytes; nil when it may go.
  private func refusal(ofAnswer length: Int) -> RPCError? {
    if length <= Self.smallAnswer { return nil }
    if length > Frame.dataMaximum {
      return RPCError(.resourceExhausted, "the answer has \(length) bytes, more than a message may have (4 MiB)")
    }
    if unsentBytes + length > unsentMaximum {
      return RPCError(.resourceExhausted, "\(unsentBytes) bytes of answers wait for this client to read them")
    }
    if !budget.hasRoom(for: unsentBytes - charged + length) {
      return RPCError(.resourceExhausted, "this user's clients do not read what waits for them")
    }
    return nil
  }

  /// Moves what streams have queued to the output, in turn.
  private func fetch() {
    while unsentBytes < Self.outputTarget, !ready.isEmpty {
      let stream = ready.removeFirst()
      guard let streaming = calls[stream]?.streaming else { continue }
      if streaming.outbound?.fetch(into: &output, quantum: Self.streamTurn) ?? false {
        ready.append(stream)
        continue
      }
      streaming.isReady = false
      guard let outcome = streaming.outcome else { continue }
      _ = removeCall(stream)
      finish(stream, streaming, outcome)
    }
    if ready.isEmpty && ready.capacity > Self.keptCalls { ready = [] }
  }

  /// The last frame of a streaming call.
  private func finish(_ stream: UInt32, _ streaming: Streaming, _ outcome: Result<[UInt8], RPCError>) {
    if case .success = outcome, streaming.outbound != nil {
      Frame.Header(length: 0, stream: stream, kind: .data, flags: .end).write(to: &output)
    } else {
      respond(stream: stream, outcome)
    }
  }

  enum Flush { case done, blocked, failed }

  /// Writes what is queued as far as the socket takes it, streams included; `done` with ready streams left means that
  /// others have their turn first.
  func flush() -> Flush {
    fetch()
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
        if stalledSince == nil { stalledSince = .now }
        settle()
        return .blocked
      }
      outputStart += count
      stalledSince = nil
    }
    output.removeAll(keepingCapacity: output.capacity <= Self.keptBytes)
    outputStart = 0
    settle()
    return .done
  }

  /// When the peer has used up one of its times.
  func expiry(_ limits: RPCServer.Limits) -> ContinuousClock.Instant? {
    var next = stalledSince.map { $0 + limits.outputTime }
    func consider(_ instant: ContinuousClock.Instant) { next = min(next ?? instant, instant) }
    if let partialSince, watched & cposix_event_in != 0 { consider(partialSince + limits.frameTime) }
    if let idleSince, calls.isEmpty, let idleTime = refusal == nil ? limits.idleTime : limits.frameTime {
      consider(idleSince + idleTime)
    }
    return next
  }
}
