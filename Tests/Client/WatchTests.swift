import ProtobufRuntime
import RPC
import Synchronization
import TestSupport
import Testing

@testable import TidewaiterClient

@Suite("Watches of the client library")
struct WatchTests {
  private static func event(_ number: Int) -> Event {
    var event = Event()
    event.cursor = String(number)
    event.kind = "test"
    return event
  }

  private static func error(_ code: RPCError.Code, _ reason: String, cursor: String) -> RPCError {
    var entry = ErrorInfoMetadataEntry()
    entry.key = "cursor"
    entry.value = cursor
    var info = ErrorInfo()
    info.reason = reason
    info.metadata = [entry]
    let detail = RPCError.Detail(
      typeURL: "type.googleapis.com/" + ErrorInfo.messageName, value: info.packed())
    return RPCError(code, "the stream ended", details: [detail])
  }

  /// What the watch ends with; nil when it just ends.
  private func failure(of watch: Watch<Event>, each: () -> Void = {}) async -> TidewaiterError? {
    do throws(TidewaiterError) {
      for try await _ in watch { each() }
      return nil
    } catch {
      return error
    }
  }

  /// Tells events after the request's cursor up to `through` of the stream's number (0, 1, …), then runs `end`.
  private static func events(
    _ log: Log, through: [Int], end: @escaping @Sendable (_ stream: Int, OutboundStream) async throws -> Void
  ) -> RPCMethod {
    .stream("System", "WatchEvents") { (request: WatchEventsRequest, responses) in
      let stream = log.begin(request.cursor)
      let last = through[min(stream, through.count - 1)]
      for number in (Int(request.cursor) ?? 0)..<last {
        try responses.send(event(number + 1).packed())
        responses.cursor = String(number + 1)
      }
      try await end(stream, responses)
    }
  }

  /// The cursors that streams began with.
  private final class Log: Sendable {
    private let requests = Mutex<[String]>([])
    var cursors: [String] { requests.withLock { $0 } }
    func begin(_ cursor: String) -> Int {
      requests.withLock { requests in
        requests.append(cursor)
        return requests.count - 1
      }
    }
  }

  @Test("A watch of events goes on after the last one over restarts: none is missed, none told twice")
  func resumesEvents() async throws {
    let log = Log()
    let daemon = try FakeDaemon([
      Self.events(log, through: [3, 5, 7]) { stream, _ in if stream < 2 { try await waitForEnd() } }
    ])
    try daemon.start()
    var cursors: [String] = []
    for try await event in daemon.client().system.watchEvents() {
      cursors.append(event.cursor)
      if cursors.count == 3 || cursors.count == 5 { try daemon.restart() }
    }
    #expect(cursors == (1...7).map(String.init))
    #expect(log.cursors == ["", "3", "5"])
  }

  @Test("A stream that overflows is gone on with from its cursor")
  func resumesOverflow() async throws {
    let log = Log()
    let daemon = try FakeDaemon([
      Self.events(log, through: [2, 4]) { stream, _ in
        if stream == 0 { throw Self.error(.resourceExhausted, "STREAM_OVERFLOW", cursor: "2") }
      }
    ])
    try daemon.start()
    var cursors: [String] = []
    for try await event in daemon.client().system.watchEvents() { cursors.append(event.cursor) }
    #expect(cursors == ["1", "2", "3", "4"])
    #expect(log.cursors == ["", "2"])
  }

  @Test("A reader that is slower than its stream misses nothing")
  func survivesSlowReader() async throws {
    let told = Events()
    let count = 100
    let daemon = try FakeDaemon([
      .stream("System", "WatchEvents") { (request: WatchEventsRequest, responses) in
        defer { told.record("ended") }
        for number in (Int(request.cursor) ?? 0)..<count {
          var event = Self.event(number + 1)
          event.detail = String(repeating: "x", count: 256 << 10)
          try await responses.sendWhenReady(event.packed())
        }
      }
    ])
    try daemon.start()
    var cursors: [String] = []
    for try await event in daemon.client().system.watchEvents() {
      cursors.append(event.cursor)
      // The daemon has come to an end only when more waits here than is kept for one that does not read.
      if cursors.count == 1 { await told.wait(for: "ended") }
    }
    #expect(cursors == (1...count).map(String.init))
    #expect(told.count("ended") > 1)
  }

  @Test("A watch that waits for what comes goes on from the daemon's cursor when the daemon stops")
  func resumesFromStatus() async throws {
    let log = Log()
    let begun = Events()
    let daemon = try FakeDaemon([
      .stream("System", "WatchEvents") { (request: WatchEventsRequest, responses) in
        if log.begin(request.cursor) == 0 {
          responses.cursor = "41"
          begun.record("began")
          try await waitForEnd()
        }
        try responses.send(Self.event(42).packed())
      }
    ])
    try daemon.start()
    let client = daemon.client()
    let watch = Task {
      var request = WatchEventsRequest()
      request.cursor = "latest"
      var cursors: [String] = []
      for try await event in client.system.watchEvents(request) { cursors.append(event.cursor) }
      return cursors
    }
    await begun.wait(for: "began")
    try daemon.restart()
    #expect(try await watch.value == ["42"])
    #expect(log.cursors == ["latest", "41"])
  }

  @Test("A cursor that is not kept any more ends the watch, with the place to go on from")
  func tellsExpiredCursor() async throws {
    let daemon = try FakeDaemon([
      Self.events(Log(), through: [0]) { _, _ in
        throw Self.error(.outOfRange, "CURSOR_EXPIRED", cursor: "9")
      }
    ])
    try daemon.start()
    let error = await failure(of: daemon.client().system.watchEvents())
    #expect(error?.code == .outOfRange)
    #expect(error?.reason == "CURSOR_EXPIRED")
    #expect(error?.cursor == "9")
  }

  @Test("A daemon that was never there is not waited for")
  func failsAtFirst() async throws {
    let daemon = try FakeDaemon([])
    let error = await failure(of: daemon.client().system.watchEvents())
    #expect(error?.code == .unavailable)
    #expect(error?.isDisconnection == true)
  }

  @Test("A daemon that refuses from the start is asked once")
  func takesRefusal() async throws {
    let log = Log()
    let daemon = try FakeDaemon([
      Self.events(log, through: [0]) { _, _ in throw RPCError(.resourceExhausted, "too many streams") }
    ])
    try daemon.start()
    let error = await failure(of: daemon.client().system.watchEvents())
    #expect(error?.code == .resourceExhausted)
    #expect(log.cursors.count == 1)
  }

  @Test("Patience ends", arguments: [Duration.zero, .milliseconds(20)])
  func losesPatience(patience: Duration) async throws {
    let daemon = try FakeDaemon([Self.events(Log(), through: [1]) { _, _ in try await waitForEnd() }])
    try daemon.start()
    var told = 0
    let error = await failure(of: daemon.client(patience: patience).system.watchEvents()) {
      told += 1
      daemon.stop()
    }
    #expect(error?.code == .unavailable)
    #expect(told == 1)
  }

  @Test("Leaving the loop ends the watch at the daemon; so does cancelling its task", arguments: [true, false])
  func endsAtDaemon(isLeaving: Bool) async throws {
    let events = Events()
    let daemon = try FakeDaemon([
      Self.events(Log(), through: [1]) { _, _ in
        do {
          try await waitForEnd()
        } catch {
          events.record("ended")
          throw error
        }
      }
    ])
    try daemon.start()
    let client = daemon.client()
    let watch = Task {
      for try await _ in client.system.watchEvents() {
        events.record("told")
        if isLeaving { break }
      }
    }
    await events.wait(for: "told")
    if !isLeaving { watch.cancel() }
    await events.wait(for: "ended")
    let result = await watch.result
    if isLeaving {
      #expect(throws: Never.self) { try result.get() }
    } else {
      #expect(throws: TidewaiterError(.cancelled, "the call was cancelled")) { try result.get() }
    }
  }

  @Test("A watch ends at its limit, also while there is no daemon", arguments: [true, false])
  func keepsDeadline(isGone: Bool) async throws {
    let daemon = try FakeDaemon([Self.events(Log(), through: [1]) { _, _ in try await waitForEnd() }])
    try daemon.start()
    let error = await #expect(throws: TidewaiterError.self) {
      for try await _ in daemon.client().system.watchEvents(timeout: .milliseconds(300)) {
        if isGone { daemon.stop() }
      }
    }
    #expect(error?.code == .deadlineExceeded)
  }

  @Test("Jobs are told anew after a restart, those that ended meanwhile too")
  func tellsJobsAnew() async throws {
    let streams = Log()
    @Sendable func job(_ id: UInt64, _ state: JobState) -> [UInt8] {
      var response = WatchJobsResponse()
      response.job = Job()
      response.job?.id = id
      response.job?.state = state
      return response.packed()
    }
    var end = WatchJobsResponse()
    end.snapshotComplete = true
    let endOfSnapshot = end.packed()
    let daemon = try FakeDaemon([
      .stream("Queue", "WatchJobs") { (request: WatchJobsRequest, responses) in
        #expect(request.jobIds == [1, 2])
        if streams.begin("") == 0 {
          for message in [job(1, .pending), job(2, .inProgress), endOfSnapshot, job(1, .inProgress)] {
            try responses.send(message)
          }
          try await waitForEnd()
        }
        for message in [job(1, .finished), job(2, .inProgress), endOfSnapshot, job(2, .error)] {
          try responses.send(message)
        }
      }
    ])
    try daemon.start()
    var request = WatchJobsRequest()
    request.jobIds = [1, 2]
    var told: [String] = []
    for try await update in daemon.client().queue.watchJobs(request) {
      switch update {
      case .snapshotBegins: told.append("begin")
      case .snapshotEnds: told.append("end")
      case .present(let job): told.append("\(job.id) is \(job.state.name)")
      case .changed(let job): told.append("\(job.id) becomes \(job.state.name)")
      }
      if told.count == 5 { try daemon.restart() }
    }
    #expect(
      told == [
        "begin", "1 is pending", "2 is in_progress", "end", "1 becomes in_progress",
        "begin", "1 is finished", "2 is in_progress", "end", "2 becomes error",
      ])
  }

  @Test("A watch of an import ends with its connection: the next daemon knows nothing of it")
  func endsWithConnection() async throws {
    let streams = Log()
    let daemon = try FakeDaemon([
      .stream("Advisories", "WatchImport") { (request: WatchImportRequest, responses) in
        _ = streams.begin(request.id)
        var status = Import()
        status.id = request.id
        try responses.send(status.packed())
        try await waitForEnd()
      }
    ])
    try daemon.start()
    var request = WatchImportRequest()
    request.id = "x"
    var told: [String] = []
    let error = await #expect(throws: TidewaiterError.self) {
      for try await status in daemon.client().advisories.watchImport(request) {
        told.append(status.id)
        try daemon.restart()
      }
    }
    #expect(error?.code == .unavailable)
    #expect(told == ["x"] && streams.cursors == ["x"])
  }

  @Test(
    "A preview is told once: what ends it before its time is the error",
    arguments: [RPCError.Code.resourceExhausted, .aborted, .unavailable])
  func previewIsNotRepeated(code: RPCError.Code) async throws {
    let streams = Log()
    let daemon = try FakeDaemon([
      .stream("Integrations", "PreviewIntegration") { (request: PreviewIntegrationRequest, responses) in
        _ = streams.begin(request.name)
        try responses.send(PreviewIntegrationResponse().packed())
        throw RPCError(code, "no more of it")
      }
    ])
    try daemon.start()
    var request = PreviewIntegrationRequest()
    request.name = "hub"
    var told = 0
    let error = await #expect(throws: TidewaiterError.self) {
      for try await _ in daemon.client().integrations.previewIntegration(request) { told += 1 }
    }
    #expect(error?.message.contains("no more of it") == true)
    #expect(told == 1 && streams.cursors == ["hub"])
  }

  @Test("Pauses double up to the longest, less a chance quarter")
  func pauses() {
    let policy = Reconnection(firstPause: .seconds(1), longestPause: .seconds(5))
    let pauses = [0, 1, 2, 3, 1_000_000].map { policy.pause(after: $0, chance: 0) }
    #expect(pauses == [1, 2, 4, 5, 5].map { .seconds($0) })
    #expect(policy.pause(after: 1, chance: 1) == .seconds(1.5))
  }
}
