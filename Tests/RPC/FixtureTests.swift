import Glibc
import RPC
import Testing

/// The conversations of proto/fixtures, which the clients of other languages play too.
@Suite("Frame fixtures") struct FixtureTests {
  @Test("the server answers each byte for byte", arguments: ["calls", "server-accepts", "server-refuses"])
  func server(_ name: String) async throws {
    let fixture = try FrameFixture(name)
    #expect(fixture.lines.count > 10)
    try await withServer { server in
      let client = try RawClient(server.path)
      for line in fixture.lines {
        switch line {
        case .client(let frame): try await client.send(frame)
        case .server(let frame): #expect(try await client.receive(frame.count) == frame, "\(line)")
        case .refusal(let stream, let code):
          let answer = try await client.answer()
          #expect(answer.stream == stream && answer.code == code, "\(answer)")
        }
      }
      // Nothing is left to come.
      try await client.request(0x7fff_ffff, "Ping", [9])
      #expect(try await client.answer() == .init(stream: 0x7fff_ffff, result: .success([9])))
    }
  }

  @Test("the client sends and understands each", arguments: ["calls", "client-accepts"])
  func client(_ name: String) async throws {
    let fixture = try FrameFixture(name)
    let daemon = try FakeDaemon()
    let connection = try connect(daemon)
    // The client's unary calls carry no metadata: the one call with some takes its id up by hand.
    for call in fixture.calls {
      async let outcome = make(call, connection)
      for line in call.lines {
        switch line {
        case .client(let frame):
          let received = try await daemon.receive(Self.expected(frame, call).count)
          #expect(received == Self.expected(frame, call), "\(call.method)")
        case .server(let frame): daemon.send(frame)
        case .refusal: Issue.record("a client's fixture has exact frames")
        }
      }
      let (messages, failure) = await outcome
      #expect(messages == call.expected, "\(call.method)")
      #expect(failure == call.failure, "\(call.method)")
    }
    try await blocking { connection.close() }
  }

  /// `frame` without the metadata that this client does not send.
  private static func expected(_ frame: [UInt8], _ call: FrameFixture.Call) -> [UInt8] {
    if call.metadata.isEmpty { return frame }
    let cut = call.metadata.reduce(0) { $0 + 6 + $1.0.utf8.count + $1.1.utf8.count }
    var header = Frame.Header(frame[..<Frame.headerLength])
    header.length -= UInt32(cut)
    var bytes: [UInt8] = []
    header.write(to: &bytes)
    return bytes + frame[Frame.headerLength...].dropLast(cut)
  }

  private func make(
    _ call: FrameFixture.Call, _ connection: RPCConnection
  ) async -> (messages: [[UInt8]], failure: RPCError?) {
    let timeout: Duration? = call.timeout == 0 ? nil : .nanoseconds(call.timeout)
    var messages: [[UInt8]] = []
    do {
      if call.kind == .unary {
        let answer = try await connection.call(
          service: "demo.Echo", method: call.method, payload: call.request, timeout: timeout)
        return ([answer], nil)
      }
      let stream = try connection.openStream(
        service: "demo.Echo", method: call.method, kind: call.kind,
        payload: call.kind == .serverStreaming ? call.request : nil, timeout: timeout)
      for message in call.messages { try await stream.send(message) }
      if call.closes { try stream.finishSending() }
      while let message = try await stream.next() { messages.append(message) }
      return (messages, nil)
    } catch {
      return (messages, error as? RPCError)
    }
  }
}
