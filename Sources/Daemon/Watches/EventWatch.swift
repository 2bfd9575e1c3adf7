import API
import Posix
import RPC
import StorageMessages
import Store

/// One `WatchEvents`: every event after a cursor that matches, in order and once, then what happens.
struct EventWatch {
  let reader: EventReader
  let request: WatchEventsRequest
  let responses: ResponseStream<API.Event>

  func run() async throws {
    let log = try await reader.log()
    var position = try EventCursor.position(request.cursor, in: log)
    responses.cursor = EventCursor.text(position)
    do {
      while request.follow || position < log.newest {
        let events = try await reader.next(after: position)
        for (sequence, event) in events {
          if !request.follow && sequence > log.newest { return }
          try await tell(event, sequence, isPast: sequence <= log.newest)
          position = sequence
        }
        if events.isEmpty { try await reader.feed.wait(above: position) }
      }
    } catch let error as StateStore.EventsGone {
      throw EventCursor.expired(oldest: error.oldest)
    } catch is Broadcast.Closed {
      throw EventCursor.stopping(at: position)
    }
  }

  /// The client sets the pace for what is past; one that does not keep up with the present is told so and given a cursor.
  private func tell(_ event: EventRecord, _ sequence: UInt64, isPast: Bool) async throws {
    guard request.integration.isEmpty || event.integration == request.integration else {
      responses.cursor = EventCursor.text(sequence)
      return
    }
    let message = API.Event(event, sequence: sequence)
    if isPast {
      try await responses.sendWhenReady(message, cursor: message.cursor)
    } else {
      try responses.send(message, cursor: message.cursor)
    }
  }
}

extension API.Event {
  init(_ event: EventRecord, sequence: UInt64) {
    self.init()
    cursor = EventCursor.text(sequence)
    time = API.Timestamp(nanoseconds: event.time)
    kind = event.kind
    integration = event.integration
    if !event.repository.isEmpty {
      reference = ImageConversion.reference(
        integration: event.integration, repository: event.repository, tag: event.tag, digest: event.digest)
    }
    jobId = event.jobId
    pollId = event.pollId
    state = event.state
    detail = event.detail
    actor = event.actor
  }
}
