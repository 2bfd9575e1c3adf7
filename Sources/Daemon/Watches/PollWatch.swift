import API
import Pipeline
import Posix
import RPC
import StorageMessages
import Store

/// One `WatchPoll`: the poll as it stands, then as it stands after changes, a few times a second at most, until it has
/// ended.
struct PollWatch {
  private static let interval = Duration.milliseconds(250)

  let poller: Poller
  let feed: Broadcast
  let key: PollKey
  let integration: String
  let responses: ResponseStream<API.Poll>

  func run() async throws {
    var told: PollRecord?
    var next = ContinuousClock.now
    while true {
      // Before the poll is looked at: its end comes with an event after this one.
      let known = feed.newest
      guard let poll = try poller.poll(key) else {
        throw RPCError(
          .notFound, reason: "UNKNOWN_POLL", "no poll \(key.poll) of \(integration)",
          hint: "start one with: tidewaiter integration poll \(integration)")
      }
      let isOver = poll.state != .running
      if poll != told && (isOver || ContinuousClock.now >= next) {
        // Each message makes the one before worthless: a slow client gets fewer.
        try await responses.sendWhenReady(API.Poll(poll, integration: integration))
        told = poll
        next = .now + Self.interval
      }
      if isOver { return }
      try await feed.wait(above: known, atMost: Self.interval)
    }
  }
}
