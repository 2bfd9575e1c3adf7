import API
import Posix
import ProtobufRuntime

/// A watch of one thing that changes until it ends: as it stands, then as it stands after changes, a few times a second at
/// most.
struct ProgressWatch<Message: ProtoMessage> {
  private static var interval: Duration { .milliseconds(250) }

  /// Rises with each change, of other things too.
  let feed: Broadcast
  let responses: ResponseStream<Message>

  /// Returns when `look` has said that it is over, and that is told.
  func run(_ look: () throws -> (Message, isOver: Bool)) async throws {
    var told: Message?
    var next = ContinuousClock.now
    while true {
      // Before it is looked at: what changes afterwards is a rise above this.
      let known = feed.newest
      let (message, isOver) = try look()
      if message != told && (isOver || ContinuousClock.now >= next) {
        // Each message makes the one before worthless: a slow client gets fewer.
        try await responses.sendWhenReady(message)
        told = message
        next = .now + Self.interval
      }
      if isOver { return }
      try await feed.wait(above: known, atMost: Self.interval)
    }
  }
}
