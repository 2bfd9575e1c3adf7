import Glibc
import RPC
import Testing

/// Streaming calls as ttrpc tells them, against a real server, byte by byte.
@Suite("Streams on the wire") struct StreamTests {
  private static let watch = Array("w".utf8)

  @Test("test vectors: server streaming, client streaming, bidirectional, failing, unknown") func vectors() async throws
  {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(9, "Count", [16, 2], flags: .remoteClosed)
      #expect(
        try await client.receive(32)
          == bytes("00000000 00000009 03 00  00000002 00000009 03 00 0801  00000000 00000009 03 05"))

      try await client.request(11, "Sum", flags: .remoteOpen)
      try await client.send(
        hex: "00000002 0000000b 03 00 0803  00000000 0000000b 03 00  00000000 0000000b 03 05")
      #expect(try await client.receive(16) == bytes("00000006 0000000b 02 00 120408031002"))

      try await client.request(13, "Chat", flags: .remoteOpen)
      try await client.send(hex: "00000002 0000000d 03 00 0807")
      #expect(try await client.receive(12) == bytes("00000002 0000000d 03 00 0807"))
      try await client.send(hex: "00000000 0000000d 03 05")
      #expect(try await client.receive(10) == bytes("00000000 0000000d 03 05"))

      try await client.request(15, "Chat", flags: .remoteOpen)
      try await client.send(hex: "00000002 0000000f 03 00 080d")
      #expect(try await client.receive(19) == bytes("00000009 0000000f 02 00 0a07 080a 12036d6964"))

      try await client.request(17, "Nope", flags: .remoteOpen)
      #expect(try await client.receive(27) == bytes("00000011 00000011 02 00 0a0f 080c 120b6d6574686f64204e6f7065"))
    }
  }

  @Test("a message that breaks the rules ends its call once, and no other") func violations() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Watch", Self.watch, flags: .remoteClosed)
      #expect(try await client.nextFrame() == .message(1, Self.watch))
      // Data on a unary call, on a server-streaming one, after the client's end, and no-data with data.
      try await client.request(3, "Wait", Self.watch)
      try await client.data(3)
      try await client.request(5, "Watch", Self.watch, flags: .remoteClosed)
      #expect(try await client.answer().code == .invalidArgument)
      #expect(try await client.nextFrame() == .message(5, Self.watch))
      try await client.data(5, [1])
      #expect(try await client.answer().code == .invalidArgument)
      try await client.request(7, "Hold", flags: .remoteOpen)
      try await client.data(7, flags: .end)
      try await client.data(7, [1])
      try await client.request(9, "Chat", flags: .remoteOpen)
      try await client.data(9, [1], flags: .noData)
      for stream: UInt32 in [7, 9] {
        let answer = try await client.answer()
        #expect(answer.stream == stream && answer.code == .invalidArgument)
      }
      server.gate.open()
      // The first call goes on, and each of the others was answered once.
      #expect(try await client.nextFrame() == .end(1))
      try await client.request(11, "Ping", [1])
      #expect(try await client.answer() == .init(stream: 11, result: .success([1])))
    }
  }

  @Test("streams take turns, and a small answer does not wait for a big stream") func fairness() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      // Two streams of 200 messages of 4,000 bytes each: more than the socket holds, less than a queue.
      for stream: UInt32 in [1, 3] { try await client.request(stream, "Many", flags: .remoteClosed) }
      try await client.request(5, "Ping", [5])
      var order: [UInt32] = []
      var ends: [UInt32] = []
      while ends.count < 2 || !order.contains(5) {
        switch try await client.nextFrame() {
        case .message(let stream, _): order.append(stream)
        case .end(let stream): ends.append(stream)
        case .response(let answer): order.append(answer.stream)
        }
      }
      #expect(order.count { $0 == 1 } == 200 && order.count { $0 == 3 } == 200)
      let ping = try #require(order.firstIndex(of: 5))
      #expect(ping < 300)
      // Neither stream is through before the other has begun.
      let secondBegins = try #require(order.firstIndex(of: 3))
      let firstEnds = try #require(order.lastIndex(of: 1))
      #expect(secondBegins < 150 && firstEnds > 250)
    }
  }

  @Test("a client that leaves ends its streams, in both directions") func disconnect() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Watch", Self.watch, flags: .remoteClosed)
      try await client.request(3, "Chat", flags: .remoteOpen)
      #expect(Set(try await began(server, 2)) == ["watch", "chat"])
      client.hangUp()
      var cancelled: Set<String> = []
      while cancelled.count < 2 {
        if case .cancelled(let name) = await server.events.take(1)[0] { cancelled.insert(name) }
      }
      #expect(cancelled == ["watch", "chat"])
    }
  }

  @Test("a deadline ends a stream of any kind and cancels its handler", arguments: ["Watch", "Hold", "Chat"])
  func deadline(_ method: String) async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      let flags: Frame.Flags = method == "Watch" ? .remoteClosed : .remoteOpen
      try await client.request(1, method, [1], timeout: 20_000_000, flags: flags)
      while true {
        guard case .response(let answer) = try await client.nextFrame() else { continue }
        #expect(answer.code == .deadlineExceeded)
        break
      }
      var isCancelled = false
      while !isCancelled { if case .cancelled = await server.events.take(1)[0] { isCancelled = true } }
      try await client.data(1, [1])
      try await client.request(3, "Ping", [3])
      #expect(try await client.answer() == .init(stream: 3, result: .success([3])))
    }
  }

  @Test("a call cancels another of its connection, whatever its kind, and none of another connection's") func cancel()
    async throws
  {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Watch", Self.watch, flags: .remoteClosed)
      #expect(try await client.nextFrame() == .message(1, Self.watch))
      try await client.request(3, "Wait", Self.watch)
      let other = try RawClient(server.path)
      for stream: UInt32 in [1, 3] {
        try await other.request(stream, "Cancel", [UInt8(stream)])
        #expect(try await other.answer().result == .success([0]))
      }
      for (stream, cancelled) in [(5, 1), (7, 3)] as [(UInt32, UInt32)] {
        try await client.request(stream, "Cancel", [UInt8(cancelled)])
        let ended = try await client.answer()
        #expect(ended.stream == cancelled && ended.code == .cancelled)
        #expect(try await client.answer() == .init(stream: stream, result: .success([1])))
      }
      // Over, unknown, and its own.
      for (stream, cancelled) in [(9, 1), (11, 99), (13, 13), (15, 0)] as [(UInt32, UInt8)] {
        try await client.request(stream, "Cancel", [cancelled])
        #expect(try await client.answer() == .init(stream: stream, result: .success([0])))
      }
    }
  }

  private func began(_ server: TestServer, _ count: Int) async throws -> [String] {
    var names: [String] = []
    while names.count < count {
      if case .began(let name) = await server.events.take(1)[0] { names.append(name) }
    }
    return names
  }
}
