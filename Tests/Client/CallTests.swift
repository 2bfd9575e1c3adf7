import FoundationEssentials
import ProtobufRuntime
import RPC
import TestSupport
import Testing

@testable import TidewaiterClient

@Suite("Calls of the client library")
struct CallTests {
  private static let ping = RPCMethod.unary("System", "Ping") { (request: PingRequest, _) in
    var response = PingResponse()
    response.payload = request.payload
    return response
  }

  /// Answers nothing until it is ended, which it tells.
  private static func hanging(_ events: Events) -> RPCMethod {
    .unary("System", "GetStatus") { (_: GetStatusRequest, _) -> Status in
      events.record("began")
      do {
        try await waitForEnd()
      } catch {
        events.record("ended")
        throw error
      }
      return Status()
    }
  }

  private static func failing(_ error: RPCError) -> RPCMethod {
    .unary("Queue", "GetJob") { (_: GetJobRequest, _) -> Job in throw error }
  }

  private static func detail(_ message: some ProtoMessage) -> RPCError.Detail {
    RPCError.Detail(typeURL: "type.googleapis.com/" + type(of: message).messageName, value: message.packed())
  }

  /// What `call` throws; nil when it returns.
  private func failure<R>(of call: () async throws(TidewaiterError) -> R) async -> TidewaiterError? {
    do throws(TidewaiterError) {
      _ = try await call()
      return nil
    } catch {
      return error
    }
  }

  @Test("The first call connects, and the next one after the daemon has gone connects anew")
  func connectsWhenNeeded() async throws {
    let daemon = try FakeDaemon([Self.ping])
    let client = daemon.client()
    let absent = try #require(await failure { () throws(TidewaiterError) in try await client.system.ping() })
    #expect(absent.code == .unavailable)
    #expect(absent.isDisconnection)
    #expect(absent.message.contains(daemon.socket))

    try daemon.start()
    var request = PingRequest()
    request.payload = [1, 2, 3]
    #expect(try await client.system.ping(request).payload == [1, 2, 3])

    daemon.stop()
    let gone = try #require(await failure { () throws(TidewaiterError) in try await client.system.ping() })
    #expect(gone.code == .unavailable)
    #expect(gone.isDisconnection)

    try daemon.start()
    #expect(try await client.system.ping(request).payload == [1, 2, 3])
  }

  @Test("Copies of a client share its connection, and a closed one makes no calls")
  func closes() async throws {
    let daemon = try FakeDaemon([Self.ping])
    try daemon.start()
    let client = daemon.client()
    let copy = client
    _ = try await copy.system.ping()
    client.close()
    let error = try #require(await failure { () throws(TidewaiterError) in try await copy.system.ping() })
    #expect(error.code == .failedPrecondition)
    client.close()
  }

  @Test("An error has the daemon's code, reason, hint and cursor")
  func readsDetails() async throws {
    var info = ErrorInfo()
    info.reason = "UNKNOWN_JOB"
    info.domain = "tidewaiter"
    var entry = ErrorInfoMetadataEntry()
    entry.key = "cursor"
    entry.value = "0012"
    info.metadata = [entry]
    var link = HelpLink()
    link.description = "see: tidewaiter queue list"
    var help = Help()
    help.links = [link]
    let daemon = try FakeDaemon([
      Self.failing(RPCError(.notFound, "no job 7", details: [Self.detail(info), Self.detail(help)]))
    ])
    try daemon.start()
    let client = daemon.client()
    let error = try #require(await failure { () throws(TidewaiterError) in try await client.queue.getJob() })
    #expect(error.code == .notFound)
    #expect(error.message == "no job 7")
    #expect(error.reason == "UNKNOWN_JOB")
    #expect(error.hint == "see: tidewaiter queue list")
    #expect(error.cursor == "0012")
    #expect(error.fieldViolations.isEmpty)
    #expect(!error.isDisconnection)
    #expect("\(error)" == "NOT_FOUND: no job 7")
  }

  @Test("An error names every bad field, and details that do not decode count as absent")
  func readsViolations() async throws {
    var violation = BadRequestFieldViolation()
    violation.field = "integration.url"
    violation.description = "is no URL"
    var bad = BadRequest()
    bad.fieldViolations = [violation, violation]
    let broken = RPCError.Detail(typeURL: "type.googleapis.com/google.rpc.Help", value: [0xff])
    let daemon = try FakeDaemon([
      Self.failing(RPCError(.invalidArgument, "two fields", details: [broken, Self.detail(bad)]))
    ])
    try daemon.start()
    let client = daemon.client()
    let error = try #require(await failure { () throws(TidewaiterError) in try await client.queue.getJob() })
    #expect(error.code == .invalidArgument)
    let expected = TidewaiterError.FieldViolation(field: "integration.url", description: "is no URL")
    #expect(error.fieldViolations == [expected, expected])
    #expect(error.hint == nil)
    #expect(error.reason == nil)
  }

  @Test("The codes are google.rpc's, by number and name")
  func namesCodes() {
    for code in TidewaiterError.Code.allCases {
      #expect(RPCError.Code(rawValue: code.rawValue)?.name == code.name)
    }
    #expect(TidewaiterError.Code.allCases.count == 16)
    #expect(TidewaiterError.Code.resourceExhausted.name == "RESOURCE_EXHAUSTED")
  }

  @Test("A call ends at its limit here and at the daemon", arguments: [true, false])
  func keepsDeadlines(isOfCall: Bool) async throws {
    let events = Events()
    let daemon = try FakeDaemon([Self.hanging(events)])
    try daemon.start()
    let limit = Duration.milliseconds(50)
    let client = isOfCall ? daemon.client() : daemon.client(callTimeout: limit)
    let error = try #require(
      await failure { () throws(TidewaiterError) in
        try await client.system.getStatus(timeout: isOfCall ? limit : nil)
      })
    #expect(error.code == .deadlineExceeded)
    await events.wait(for: "ended")
  }

  @Test("Cancelling the task ends the call here and at the daemon, and the connection lives")
  func cancels() async throws {
    let events = Events()
    let daemon = try FakeDaemon([Self.hanging(events), Self.ping])
    try daemon.start()
    let client = daemon.client()
    let call = Task { try await client.system.getStatus() }
    await events.wait(for: "began")
    call.cancel()
    await #expect(throws: TidewaiterError(.cancelled, "the call was cancelled")) { try await call.value }
    await events.wait(for: "ended")
    _ = try await client.system.ping()
  }

  @Test("Times and spans are Swift's")
  func converts() {
    var timestamp = Timestamp()
    timestamp.seconds = -1
    timestamp.nanos = 500_000_000
    #expect(timestamp.date.timeIntervalSince1970 == -0.5)
    #expect(Timestamp(timestamp.date) == timestamp)
    #expect(ProtoDuration(seconds: 90).duration == .seconds(90))
  }
}
