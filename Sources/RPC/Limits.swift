extension RPCServer {
  /// What a peer may take of the server. proto/PROTOCOL.md tells clients of these numbers.
  package struct Limits: Sendable {
    /// Calls in flight on one connection, with handlers that were cancelled and have not ended yet; the next is answered
    /// RESOURCE_EXHAUSTED.
    package var streamsPerConnection = 64
    /// Methods (`Service/Method`) that a connection may still call then, as often again: what ends other calls.
    package var exemptMethods: Set<String> = []
    /// Connections of all users together, and of one (by uid). One too many has its first call answered
    /// RESOURCE_EXHAUSTED and is closed; with `refusals` of those open, further ones are closed at once.
    package var connections = 4096
    package var connectionsPerUser = 1024
    package var refusals = 64
    /// Handlers of one user that were cancelled with their connections and have not ended yet; then the user's calls are
    /// answered RESOURCE_EXHAUSTED. Without it, whoever connects anew would shed the handlers that count for a connection.
    package var abandonedPerUser = 1024
    /// Bytes that may wait in each direction of a stream, or a single message. A full one ends with RESOURCE_EXHAUSTED.
    package var streamQueueBytes = 1 << 20
    /// Answer bytes that may wait for a peer that does not read; then its requests are not read either. At twice this,
    /// answers to calls already in flight are replaced by RESOURCE_EXHAUSTED.
    package var unsentBytes = 8 << 20
    /// What all connections of a user together may fill of the above, and of frames that are not whole: then streams end,
    /// larger answers are replaced and larger frames skipped, all with RESOURCE_EXHAUSTED.
    package var userBytes = 64 << 20
    /// How long a frame may take from its first byte to its last.
    package var frameTime: Duration = .seconds(30)
    /// How long a peer may take nothing of the output that waits for it.
    package var outputTime: Duration = .seconds(30)
    /// How long a connection may be without a call; nil: for ever.
    package var idleTime: Duration?
    package init() {}
  }
}
