package import ProtobufRuntime
package import RPC

/// The responses of a server-streaming or bidirectional call, as its handler sends them.
package struct ResponseStream<Message: ProtoMessage>: Sendable {
  private let stream: OutboundStream

  package init(_ stream: OutboundStream) { self.stream = stream }

  /// Where the client goes on when the stream ends before its time: set it after each message that has a place. It is
  /// the metadata `cursor` of the ErrorInfo in the status of an overflow and of a daemon that stops.
  package var cursor: String? {
    get { stream.cursor }
    nonmutating set { stream.cursor = newValue }
  }

  /// Queues a message, never waits. Throws RESOURCE_EXHAUSTED when more than the limit waits for the client: the stream
  /// has ended then, and the handler can only leave.
  /// `cursor` becomes the stream's with the message: the two are not apart at any instant.
  package func send(_ message: Message, cursor: String? = nil) throws(RPCError) {
    try stream.send(message.packed(), cursor: cursor)
  }

  /// Queues a message when there is room for it: for listings, whose client sets the pace.
  package func sendWhenReady(_ message: Message, cursor: String? = nil) async throws {
    try await stream.sendWhenReady(message.packed(), cursor: cursor)
  }
}

/// The requests of a client-streaming or bidirectional call. One that does not decode ends the iteration with
/// INVALID_ARGUMENT; a client that sends faster than the handler reads fails its call.
package struct RequestStream<Message: ProtoMessage>: AsyncSequence, Sendable {
  package typealias Element = Message

  private let queue: MessageQueue

  package init(_ queue: MessageQueue) { self.queue = queue }

  package func makeAsyncIterator() -> Iterator { Iterator(queue: queue) }

  package struct Iterator: AsyncIteratorProtocol {
    fileprivate let queue: MessageQueue

    package mutating func next() async throws -> Message? {
      guard let payload = try await queue.next() else { return nil }
      return try Message(request: payload)
    }
  }
}

/// The responses of a server-streaming call. The call begins with the iteration; cancelling the task that iterates, or
/// dropping the iterator, ends it at the server too. Iterate once.
package struct ResponseSequence<Message: ProtoMessage>: AsyncSequence, Sendable {
  package typealias Element = Message

  private let open: @Sendable () throws(RPCError) -> ClientStream

  init(_ open: @escaping @Sendable () throws(RPCError) -> ClientStream) { self.open = open }

  package func makeAsyncIterator() -> Iterator { Iterator(open: open) }

  package struct Iterator: AsyncIteratorProtocol {
    private let open: @Sendable () throws(RPCError) -> ClientStream
    private var holder: StreamHolder?

    fileprivate init(open: @escaping @Sendable () throws(RPCError) -> ClientStream) { self.open = open }

    package mutating func next() async throws -> Message? {
      let holder: StreamHolder
      if let open = self.holder {
        holder = open
      } else {
        holder = StreamHolder(try open())
        self.holder = holder
      }
      return try await holder.stream.next().map { try Message(response: $0) }
    }
  }
}

/// Ends its stream when the last reference goes: so leaving a `for await` loop early ends the call.
private final class StreamHolder: Sendable {
  let stream: ClientStream
  init(_ stream: ClientStream) { self.stream = stream }
  deinit { stream.cancel() }
}

/// A client-streaming call.
package struct RequestCall<Request: ProtoMessage, Response: ProtoMessage>: Sendable {
  private let holder: StreamHolder

  init(_ stream: ClientStream) { holder = StreamHolder(stream) }

  /// Waits while the daemon does not read; throws the call's status when it has ended.
  package func send(_ request: Request) async throws { try await holder.stream.send(request.packed()) }

  /// Sends no more and returns the answer.
  package func finish() async throws -> Response {
    try holder.stream.finishSending()
    guard let payload = try await holder.stream.next() else {
      throw RPCError(.internal, "the daemon ended the call without an answer")
    }
    return try Response(response: payload)
  }
}

/// A bidirectional call: its responses are what it iterates over.
package struct BidirectionalCall<Request: ProtoMessage, Response: ProtoMessage>: AsyncSequence, Sendable {
  package typealias Element = Response

  private let holder: StreamHolder

  init(_ stream: ClientStream) { holder = StreamHolder(stream) }

  /// Waits while the daemon does not read; throws the call's status when it has ended.
  package func send(_ request: Request) async throws { try await holder.stream.send(request.packed()) }
  package func finishSending() throws(RPCError) { try holder.stream.finishSending() }

  package func makeAsyncIterator() -> Iterator { Iterator(holder: holder) }

  package struct Iterator: AsyncIteratorProtocol {
    fileprivate let holder: StreamHolder

    package mutating func next() async throws -> Response? {
      try await holder.stream.next().map { try Response(response: $0) }
    }
  }
}

extension ProtoMessage {
  /// From a client's bytes; INVALID_ARGUMENT names the field that does not decode.
  init(request payload: UnsafeRawBufferPointer) throws(RPCError) {
    do throws(MalformedMessage) {
      self = try Self(packed: payload, limits: .rpc)
    } catch {
      throw RPCError.invalidArgument([(error.field, error.reason)])
    }
  }

  init(request payload: [UInt8]) throws(RPCError) {
    self = try payload.withUnsafeBufferPointer { bytes throws(RPCError) in
      try Self(request: UnsafeRawBufferPointer(bytes))
    }
  }

  /// From the daemon's bytes.
  init(response payload: [UInt8]) throws(RPCError) {
    do throws(MalformedMessage) {
      self = try Self(packed: payload, limits: .rpc)
    } catch {
      throw RPCError(.internal, "the daemon's answer does not decode: \(error)")
    }
  }
}
