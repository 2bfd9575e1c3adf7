import Glibc
import RPC
import Testing

/// The protocol as its specification tells it, against a real server, byte by byte.
@Suite("ttrpc on the wire") struct WireTests {
  @Test("unary test vectors: success, status, empty reply") func vectors() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.send(
        hex: """
          00000025 00000001 01 00 0a0964656d6f2e4563686f 120450696e67 1a040a026869 208094ebdc03 2a060a016b120176
          """)
      #expect(try await client.receive(16) == bytes("00000006 00000001 02 00 12040a026869"))
      guard case .called(let peer, let metadata) = await server.events.take(1)[0] else {
        Issue.record("no call seen")
        return
      }
      #expect(metadata == ["k", "v"])
      #expect(peer.uid == geteuid() && peer.gid == getegid() && peer.pid == getpid())

      try await client.request(3, "Fail")
      #expect(try await client.receive(20) == bytes("0000000a 00000003 02 00 0a08 0805 12046e6f7065"))
      try await client.request(5, "Empty")
      #expect(try await client.receive(10) == bytes("00000000 00000005 02 00"))
      try await client.request(17, "Nope")
      #expect(try await client.receive(27) == bytes("00000011 00000011 02 00 0a0f 080c 120b6d6574686f64204e6f7065"))
      try await client.request(19, "Ping", service: "demo.None")
      #expect(
        try await client.answer() == .init(stream: 19, result: .failure(.init(.unimplemented, "service demo.None"))))
      try await client.request(21, "Odd")
      #expect(try await client.answer() == .init(stream: 21, result: .failure(.init(.unknown, "an odd error"))))
    }
  }

  @Test("a frame may come in any pieces") func pieces() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      let whole = frame(1, "Ping", [1, 2, 3]) + frame(3, "Ping", [4])
      for byte in whole { try await client.send([byte]) }
      #expect(try await client.answer() == .init(stream: 1, result: .success([1, 2, 3])))
      #expect(try await client.answer() == .init(stream: 3, result: .success([4])))
      let large = [UInt8](repeating: 9, count: (4 << 20) - 64)
      try await client.request(5, "Ping", large)
      #expect(try await client.answer() == .init(stream: 5, result: .success(large)))
    }
  }

  @Test("calls in flight are answered as they end") func outOfOrder() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.send(frame(1, "Wait", Array("slow".utf8)) + frame(3, "Ping", [3]) + frame(5, "Fail"))
      #expect(try await client.answer().stream == 3)
      #expect(try await client.answer().stream == 5)
      server.gate.open()
      #expect(try await client.answer() == .init(stream: 1, result: .success(Array("slow".utf8))))
    }
  }

  @Test("stream ids: zero, even, reused and falling ones are refused on their own id") func streamIDs() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      for stream: UInt32 in [0, 2, 0xffff_fffe] {
        try await client.request(stream, "Ping")
        let answer = try await client.answer()
        #expect(answer.stream == stream && answer.code == .invalidArgument)
      }
      try await client.request(5, "Ping", [5])
      #expect(try await client.answer() == .init(stream: 5, result: .success([5])))
      for stream: UInt32 in [5, 3] {
        try await client.request(stream, "Ping")
        let answer = try await client.answer()
        #expect(answer.stream == stream && answer.code == .invalidArgument)
      }
      try await client.request(0xffff_ffff, "Ping", [6])
      #expect(try await client.answer() == .init(stream: 0xffff_ffff, result: .success([6])))
    }
  }

  @Test(
    "malformed envelopes are refused, the connection lives",
    arguments: [
      "0a", "0a05aa", "0801", "02 00", "0b0c", "0a01ff 120450696e67", "2201", "20", "2a020801",
      "ffffffffffffffffffff01",
    ])
  func malformed(_ envelope: String) async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      let data = bytes(envelope)
      try await client.send(header(UInt32(data.count), 1) + data + frame(3, "Ping", [1]))
      let answer = try await client.answer()
      #expect(answer.stream == 1 && answer.code == .invalidArgument)
      #expect(try await client.answer() == .init(stream: 3, result: .success([1])))
    }
  }

  @Test("a frame over 4 MiB is thrown away and answered; the connection lives", arguments: [0, 1, 100_000])
  func oversized(excess: Int) async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      let length = Frame.dataMaximum + 1 + excess
      try await client.send(
        header(UInt32(length), 1) + [UInt8](repeating: 0xee, count: length) + frame(3, "Ping", [3]))
      let refused = try await client.answer()
      #expect(refused.stream == 1 && refused.code == .resourceExhausted)
      #expect(try await client.answer() == .init(stream: 3, result: .success([3])))
    }
  }

  @Test("an announced 4 GiB is answered before its body, and its id is used up") func announced() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.send(header(.max, 7))
      #expect(try await client.answer().code == .resourceExhausted)

      let second = try RawClient(server.path)
      let length = Frame.dataMaximum + 1
      try await second.send(header(UInt32(length), 7) + [UInt8](repeating: 0, count: length) + frame(5, "Ping"))
      #expect(try await second.answer().code == .resourceExhausted)
      #expect(try await second.answer().code == .invalidArgument)
    }
  }

  @Test("kinds and flags that do not exist yet are skipped; oversized ones too") func unknownKinds() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      let length = Frame.dataMaximum + 1
      try await client.send(
        header(3, 1, kind: 9) + [1, 2, 3] + header(0, 1, kind: 2) + header(0, 9, kind: 0)
          + header(UInt32(length), 11, kind: 77) + [UInt8](repeating: 1, count: length)
          + frame(1, "Ping", [1], flags: [Frame.Flags(rawValue: 0xf8)]))
      #expect(try await client.answer() == .init(stream: 1, result: .success([1])))
    }
  }

  @Test("data: late for an ended call is dropped, for others refused; streaming requests of a unary method too")
  func data() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(1, "Ping")
      #expect(try await client.answer().stream == 1)
      try await client.send(header(1, 1, kind: 3) + [0] + frame(3, "Wait"))
      try await client.send(header(0, 3, kind: 3) + header(0, 5, kind: 3))
      for stream: UInt32 in [3, 5] {
        let answer = try await client.answer()
        #expect(answer.stream == stream && answer.code == .invalidArgument)
      }
      for (stream, flags) in [(7, Frame.Flags.remoteOpen), (9, .remoteClosed)] as [(UInt32, Frame.Flags)] {
        try await client.request(stream, "Ping", flags: flags)
        let answer = try await client.answer()
        #expect(answer.stream == stream && answer.code == .invalidArgument)
      }
    }
  }

  @Test("an answer of exactly 4 MiB passes, a longer one is replaced") func bigAnswers() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      func size(_ count: Int) -> [UInt8] { withUnsafeBytes(of: UInt64(count).bigEndian) { Array($0) } }
      // Field 2 with a length of four bytes: five bytes of envelope.
      try await client.request(1, "Big", size(Frame.dataMaximum - 5))
      #expect(
        try await client.answer()
          == .init(stream: 1, result: .success(.init(repeating: 7, count: Frame.dataMaximum - 5))))
      try await client.request(3, "Big", size(Frame.dataMaximum - 4))
      #expect(try await client.answer().code == .resourceExhausted)
      try await client.request(5, "Ping", [5])
      #expect(try await client.answer() == .init(stream: 5, result: .success([5])))
    }
  }

  @Test("a long unknown name is not sent back whole") func echo() async throws {
    try await withServer { server in
      let client = try RawClient(server.path)
      try await client.request(1, String(repeating: "x", count: 1 << 20))
      guard case .failure(let error) = try await client.answer().result else {
        Issue.record("not refused")
        return
      }
      #expect(error.code == .unimplemented && error.message.utf8.count < 200)
    }
  }
}
