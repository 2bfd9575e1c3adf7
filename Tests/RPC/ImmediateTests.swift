import RPC
import Testing

/// Methods whose handlers never wait: all that holds for a unary call holds for them.
@Suite("immediate calls") struct ImmediateTests {
  @Test("answers, statuses and metadata are those of any unary call") func results() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      for (number, size) in [0, 1, 127, 128, 20_000, (4 << 20) - 64].enumerated() {
        let payload = [UInt8](repeating: UInt8(number), count: size)
        let stream = UInt32(2 * number + 1)
        try await client.request(stream, "PingNow", payload)
        #expect(try await client.answer() == .init(stream: stream, result: .success(payload)))
      }
      try await client.request(101, "FailNow")
      #expect(try await client.answer() == .init(stream: 101, result: .failure(.init(.notFound, "nope"))))
      try await client.request(103, "OddNow")
      #expect(try await client.answer() == .init(stream: 103, result: .failure(.init(.unknown, "an odd error"))))
      let seen = await server.events.take(7)
      #expect(seen.last == .observed("demo.Echo/FailNow", .notFound))
    }
  }

  @Test("an answer over the frame limit becomes a status, and the connection lives") func tooBig() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(1, "BigNow", [0x40, 0, 0])
      guard case .failure(let error) = try await client.answer().result else {
        Issue.record("a frame that is too long was sent")
        return
      }
      #expect(error.code == .resourceExhausted)
      try await client.request(3, "PingNow", [5])
      #expect(try await client.answer() == .init(stream: 3, result: .success([5])))
    }
  }

  @Test("what is refused is refused before the handler runs") func refusals() async throws {
    let refusal = RPCError(.permissionDenied, "not you")
    try await withServer(authorise: { _, method in method.hasSuffix("FailNow") ? refusal : nil }) { server in
      let client = try RawClient(server.path)
      func code(_ stream: UInt32) async throws -> RPCError.Code? {
        let answer = try await client.answer()
        #expect(answer.stream == stream)
        guard case .failure(let error) = answer.result else { return nil }
        return error.code
      }
      try await client.request(1, "FailNow")
      #expect(try await code(1) == .permissionDenied)
      try await client.request(3, "PingNow", timeout: -1)
      #expect(try await code(3) == .deadlineExceeded)
      try await client.request(5, "PingNow", flags: .remoteOpen)
      #expect(try await code(5) == .invalidArgument)
      try await client.request(7, "PingNow", [1], timeout: 60_000_000_000)
      #expect(try await code(7) == nil)
      // A call that waits goes on beside them.
      try await client.request(9, "Wait", [1])
      try await client.request(11, "PingNow")
      #expect(try await code(11) == nil)
      server.gate.open()
      #expect(try await code(9) == nil)
    }
  }

  @Test("calls that come together are answered in their order") func order() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      let streams = (0..<500).map { UInt32(2 * $0 + 1) }
      try await client.send(streams.flatMap { frame($0, "PingNow", [UInt8(truncatingIfNeeded: $0)]) })
      for stream in streams {
        let expected = [UInt8(truncatingIfNeeded: stream)]
        #expect(try await client.answer() == .init(stream: stream, result: .success(expected)))
      }
    }
  }
}
