import Posix
import StorageMessages
import TestSupport
import Testing

@testable import Store

struct EventLogTests {
  private let scratch: TemporaryDirectory

  init() throws { scratch = try TemporaryDirectory() }

  private func open(kept: Int = StateStore.eventsKept) async throws -> StateStore {
    var options = Environment.Options()
    options.mapSizeBytes = 1 << 28
    options.isSynchronous = false
    return try await StateStore(
      directory: try StateDirectory(opening: scratch.path + "/state"), tables: [], options: options, eventsMaximum: kept
    )
  }

  private func event(_ number: Int) -> EventRecord {
    var event = EventRecord(.jobChanged, time: Int64(number))
    event.detail = "\(number)"
    return event
  }

  private func append(_ numbers: Range<Int>, to store: StateStore) async throws {
    try await store.write { transaction in
      for number in numbers { try store.append(event(number), in: transaction) }
    }
  }

  @Test func `Events are numbered without gaps, across restarts, and read from any position`() async throws {
    var store = try await open()
    #expect(store.feed.newest == 0)
    #expect(try store.events(after: 0, limit: 10).isEmpty)
    try await append(1..<8, to: store)
    store.close()
    store = try await open()
    defer { store.close() }
    #expect(store.feed.newest == 7)
    try await append(8..<21, to: store)
    var seen: [String] = []
    var position: UInt64 = 0
    while case let batch = try store.events(after: position, limit: 6), let last = batch.last {
      #expect(batch.map(\.sequence) == Array(position + 1...last.sequence))
      seen += batch.map(\.event.detail)
      position = last.sequence
    }
    #expect(seen == (1..<21).map(String.init))
    #expect(try store.events(after: .max, limit: 1).isEmpty)
  }

  @Test func `The log is bounded, trimmed in batches, and says what is gone`() async throws {
    let store = try await open(kept: 100)
    defer { store.close() }
    let batch = StateStore.eventsTrimmed
    try await append(1..<101 + batch, to: store)
    #expect(try store.read { try StateStore.eventRange(in: $0) }.oldest == 1)
    try await append(101 + batch..<102 + batch, to: store)
    let range = try store.read { try StateStore.eventRange(in: $0) }
    #expect(range.newest == UInt64(101 + batch))
    #expect(range.oldest == range.newest - 99)
    #expect(throws: StateStore.EventsGone(oldest: range.oldest)) {
      try store.events(after: range.oldest - 2, limit: 1)
    }
    #expect(try store.events(after: range.oldest - 1, limit: 1_000).count == 100)
    #expect(range.reaches(back: range.oldest - 1))
    #expect(!range.reaches(back: range.oldest - 2))
  }

  @Test func `What is rolled back is neither there nor announced`() async throws {
    struct Refused: Error {}
    let store = try await open()
    defer { store.close() }
    try await append(1..<3, to: store)
    await #expect(throws: Refused.self) {
      try await store.write { transaction in
        try store.append(event(3), in: transaction)
        throw Refused()
      }
    }
    #expect(store.feed.newest == 2)
    try await append(4..<5, to: store)
    #expect(store.feed.newest == 3)
    #expect(try store.events(after: 2, limit: 9).map(\.event.detail) == ["4"])
  }

  @Test func `A change and its event are one`() async throws {
    let store = try await open()
    defer { store.close() }
    var wanted = IntegrationRecord()
    wanted.name = "hub"
    let made = try await store.createIntegration(wanted, now: 5, actor: "uid:7")
    _ = try await store.updateIntegration(named: "hub", revision: 0, now: 6) { $0.description = "x" }
    await #expect(throws: IntegrationError.changed("hub")) {
      try await store.updateIntegration(named: "hub", revision: 1, now: 6) { _ in }
    }
    var wantedPoll = PollRecord()
    wantedPoll.integrationId = made.id
    wantedPoll.startedAt = 7
    wantedPoll.actor = "uid:8"
    var poll = try await store.createPoll(wantedPoll)
    try await store.interruptRunningPolls(now: 8)
    poll.state = .finished
    _ = try await store.beginRemoval(named: "hub", now: 9, also: { _, _ in })
    let events = try store.events(after: 0, limit: 100).map(\.event)
    #expect(
      events.map(\.kind) == [
        "integration.created", "integration.updated", "poll.started", "poll.ended", "integration.removed",
      ])
    #expect(events.map(\.time) == [5, 6, 7, 8, 9])
    #expect(events.map(\.actor) == ["uid:7", "", "uid:8", "", ""])
    #expect(events.allSatisfy { $0.integration == "hub" && $0.integrationId == made.id })
    #expect(events[3].state == "interrupted" && events[3].pollId == poll.id)
  }
}
