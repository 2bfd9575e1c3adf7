import API
import CPosix
import Glibc
import Posix
import ProtobufRuntime
import RPC
import TestSupport
import Testing

/// The generated stubs of both sides, over a real server.
@Suite("Generated streams") struct StreamTests {
  private struct Health: HealthService {
    func check(_ request: HealthCheckRequest, _ context: CallContext) throws -> HealthCheckResponse {
      var response = HealthCheckResponse()
      response.status = request.service.isEmpty ? .serving : .serviceUnknown
      return response
    }

    /// Three statuses; for service "flood", as many as fit; for "wait", one and then none.
    func watch(
      _ request: HealthCheckRequest, _ responses: ResponseStream<HealthCheckResponse>, _ context: CallContext
    ) async throws {
      var response = HealthCheckResponse()
      for number in Int32(0)... {
        response.status = HealthCheckResponseServingStatus(rawValue: number)
        try responses.send(response)
        responses.cursor = "\(number)"
        if number == 2 && request.service.isEmpty { return }
        if request.service == "wait" { while true { try await Task.sleep(for: .seconds(3600)) } }
      }
    }
  }

  private func withServer(_ body: (RPCConnection) async throws -> Void) async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/s"
    let listener = cposix_listen_unix(path, 0o600, -1, 8)
    #expect(listener >= 0)
    let server = try RPCServer(
      listener: listener, methods: Health().healthMethods,
      policy: RPCServer.Policy(
        rule: { _ in RPCServer.Policy.Rule(authorise: { _ in nil }, observe: { _, _, _ in }) },
        translate: { _ in RPCError(.cancelled, "cancelled") }),
      limits: .standard)
    let connection = try RPCConnection.connect(toSocket: path, cancellation: .system)
    defer {
      startThread(named: "stop") {
        connection.close()
        server.stop(drain: .zero)
      }
    }
    try await body(connection)
  }

  @Test("a stream's messages, its end, and a call beside it") func whole() async throws {
    try await withServer { connection in
      let client = HealthClient(connection)
      var statuses: [Int32] = []
      for try await response in client.watch(HealthCheckRequest(), timeout: .seconds(60)) {
        statuses.append(response.status.rawValue)
        #expect(try await client.check(HealthCheckRequest(), timeout: .seconds(60)).status == .serving)
      }
      #expect(statuses == [0, 1, 2])
    }
  }

  @Test("an overflow tells its reason and the cursor of the last message") func overflow() async throws {
    try await withServer { connection in
      var request = HealthCheckRequest()
      request.service = "flood"
      var last: Int32 = -1
      do {
        for try await response in HealthClient(connection).watch(request, timeout: nil) {
          #expect(response.status.rawValue == last + 1)
          last = response.status.rawValue
        }
        Issue.record("the stream ended well")
      } catch let error as RPCError {
        #expect(error.code == .resourceExhausted && error.reason == "STREAM_OVERFLOW" && error.cursor == "\(last)")
      }
    }
  }

  @Test("a request that does not decode names its field") func malformed() async throws {
    try await withServer { connection in
      let stream = try connection.openStream(
        service: "grpc.health.v1.Health", method: "Watch", kind: .serverStreaming, payload: [0x0a, 1, 0xff],
        timeout: nil)
      do {
        _ = try await stream.next()
        Issue.record("taken")
      } catch let error as RPCError {
        #expect(error.code == .invalidArgument)
        #expect(error.fieldViolations.first?.field == "grpc.health.v1.HealthCheckRequest.service")
      }
    }
  }

  @Test("leaving the loop early, or cancelling its task, gives the call up") func leaving() async throws {
    try await withServer { connection in
      var request = HealthCheckRequest()
      request.service = "wait"
      for try await _ in HealthClient(connection).watch(request, timeout: nil) { break }
      let task = Task { [request] in
        for try await _ in HealthClient(connection).watch(request, timeout: nil) {
          withUnsafeCurrentTask { $0?.cancel() }
        }
      }
      await #expect(throws: RPCError.self) { try await task.value }
    }
  }

  @Test("the served descriptors hold the schema") func descriptors() {
    let set = ServedSchema.fileDescriptorSet
    #expect(set.count > 5000)
    for name in ["tidewaiter.proto", "health.proto", "google/protobuf/timestamp.proto", "WatchEvents"] {
      #expect(contains(set, Array(name.utf8)))
    }
    #expect(!contains(set, Array("storage.proto".utf8)))
  }

  private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
    bytes.indices.contains { bytes[$0...].starts(with: part) }
  }
}
