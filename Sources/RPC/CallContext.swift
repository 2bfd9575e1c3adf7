/// Who calls, and under which conditions.
package struct CallContext: Sendable {
  package let peer: Peer
  /// When the caller stops waiting; nil when it set no deadline.
  package let deadline: ContinuousClock.Instant?
  /// The call's metadata, in the order sent.
  package let metadata: [(key: String, value: String)]
  let connection: UInt64
  let stream: UInt32
  private let shared: LoopShared?

  /// A context without a connection: `cancelStream` finds nothing.
  package init(peer: Peer, deadline: ContinuousClock.Instant?, metadata: [(key: String, value: String)]) {
    self.init(peer: peer, deadline: deadline, metadata: metadata, connection: 0, stream: 0, shared: nil)
  }

  init(
    peer: Peer, deadline: ContinuousClock.Instant?, metadata: [(key: String, value: String)], connection: UInt64,
    stream: UInt32, shared: LoopShared?
  ) {
    self.peer = peer
    self.deadline = deadline
    self.metadata = metadata
    self.connection = connection
    self.stream = stream
    self.shared = shared
  }

  /// Ends another call of the same connection with CANCELLED; false when none with that id is in flight.
  package func cancelStream(_ id: UInt32) async -> Bool {
    guard let shared, id != stream else { return false }
    return await withCheckedContinuation { continuation in
      shared.deliver(.cancel(connection: connection, stream: id, continuation))
    }
  }
}
