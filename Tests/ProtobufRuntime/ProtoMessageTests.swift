import API
import ProtobufRuntime
import RPC
import StorageMessages
import Testing

@Suite("Messages") struct ProtoMessageTests {
  private func job() -> StorageMessages.JobRecord {
    var job = JobRecord()
    job.id = .max
    job.repository = "team/Größe"
    job.state = .parsingResults
    job.attempt = 3
    job.notBefore = -1
    return job
  }

  @Test("what is packed reads back equal") func roundTrip() throws {
    #expect(try JobRecord(packed: job().packed(), limits: .storage) == job())

    var condition = ConditionRecord()
    condition.kind = .latest(5)
    #expect(try ConditionRecord(packed: condition.packed(), limits: .storage) == condition)
    var within = CreatedWithinRecord()
    within.months = 2
    condition.kind = .createdWithin(within)
    #expect(try ConditionRecord(packed: condition.packed(), limits: .storage) == condition)

    var analysis = LayerAnalysis()
    analysis.whiteouts = [Array("etc/x".utf8), [], [0xff, 0]]
    var database = PackageDatabase()
    database.kind = "apk"
    database.packages = (0..<1000).map { number in
      var package = StorageMessages.Package()
      package.name = "p\(number)"
      return package
    }
    analysis.databases = [database]
    #expect(try LayerAnalysis(packed: analysis.packed(), limits: .storage) == analysis)
    #expect(try PingRequest(packed: [], limits: .rpc) == PingRequest())
  }

  @Test("an unknown enum number is kept") func unknownEnum() throws {
    var job = job()
    job.state = JobState(rawValue: 77)
    let read = try JobRecord(packed: job.packed(), limits: .storage)
    #expect(read.state.rawValue == 77)
    #expect(read.state.name == "77")
  }

  @Test("texts must be UTF-8 without NUL, and the error names the field")
  func texts() {
    for bad: [UInt8] in [[0xff], [0x61, 0, 0x62]] {
      let bytes: [UInt8] = [0x0a, UInt8(bad.count)] + bad
      #expect {
        try GetIntegrationRequest(packed: bytes, limits: .rpc)
      } throws: { error in
        (error as? MalformedMessage)?.field == "tidewaiter.v1.GetIntegrationRequest.name"
      }
    }
  }

  @Test("hostile bytes are refused before anything is built from them")
  func hostile() {
    let cases: [(String, [UInt8])] = [
      ("cut in a length", [0x0a]),
      ("length past the end", [0x0a, 5, 0x61]),
      ("wrong wire type", [0x08, 1]),
      ("field zero", [0x02, 0]),
      ("group", [0x0b, 0x0c]),
      ("endless number", [UInt8](repeating: 0xff, count: 11)),
    ]
    for (name, bytes) in cases {
      #expect(throws: MalformedMessage.self, "\(name)") { try GetIntegrationRequest(packed: bytes, limits: .rpc) }
    }
    // Two million empty messages in 4 MiB; and one singular message many times over.
    let many = [UInt8](repeating: 0, count: 4 << 20).enumerated().map { $0.offset % 2 == 0 ? UInt8(0x0a) : 0 }
    #expect(throws: MalformedMessage.self) { try ListJobsResponse(packed: many, limits: .rpc) }
    let repeated = [UInt8](repeating: 0, count: 1000).enumerated().map { $0.offset % 2 == 0 ? UInt8(0x0a) : 0 }
    #expect(throws: MalformedMessage.self) { try CreateIntegrationRequest(packed: repeated, limits: .rpc) }
  }

  @Test("a message needs no more memory than allowed") func memory() {
    var upload = WriteUploadRequest()
    upload.data = [UInt8](repeating: 7, count: 10_000)
    var limits = MessageLimits.rpc
    limits.memoryBytes = 5_000
    #expect(throws: MalformedMessage.self) { try WriteUploadRequest(packed: upload.packed(), limits: limits) }
  }

  @Test("many small pieces need no more memory than allowed either") func smallPieces() throws {
    var analysis = LayerAnalysis()
    analysis.whiteouts = [[UInt8]](repeating: [1], count: 10_000)
    // Each takes a pointer and a length, and 16 bytes for its one.
    var limits = MessageLimits.storage
    limits.memoryBytes = 10_000 * (16 + 16)
    #expect(throws: MalformedMessage.self) { try LayerAnalysis(packed: analysis.packed(), limits: limits) }
    limits.memoryBytes *= 10
    #expect(try LayerAnalysis(packed: analysis.packed(), limits: limits) == analysis)
  }

  @Test("every bit flip and every cut of a message decodes or is refused") func mutations() throws {
    var integration = Integration()
    integration.name = "mirror"
    integration.criteria = [API.Pattern(), API.Pattern()]
    integration.tls = Tls()
    integration.scanTimeout = ProtoDuration(seconds: 1800)
    let bytes = integration.packed()
    var read = 0
    for index in bytes.indices {
      for bit in 0..<8 {
        var mutated = bytes
        mutated[index] ^= 1 << bit
        if (try? Integration(packed: mutated, limits: .rpc)) != nil { read += 1 }
      }
      _ = try? Integration(packed: Array(bytes[..<index]), limits: .rpc)
    }
    #expect(read > 0 && read < bytes.count * 8)
  }
}

@Suite("JSON") struct JSONTests {
  @Test("keys in lowerCamelCase, enums without prefix, times RFC 3339, durations in seconds") func forms() {
    var job = Job()
    job.id = 7
    job.state = .inProgress
    job.enqueuedAt = Timestamp(nanoseconds: 1_700_000_000_000_000_000)
    #expect(job.json["state"] == .string("in_progress"))
    #expect(job.json["enqueuedAt"] == .string("2023-11-14T22:13:20Z"))
    #expect(job.json["finishedAt"] == .null)
    #expect(job.json["id"]?.text() == "7")
    var integration = Integration()
    integration.scanTimeout = ProtoDuration(seconds: 1800)
    #expect(integration.json["scanTimeout"]?.text() == "1800")
  }

  @Test("text is escaped so that it is harmless on a terminal") func escapes() {
    #expect(JSONValue.string("a\u{1b}[2J\"\\\n\u{202e}é").text() == #""a\u001b[2J\"\\\n\u202eé""#)
    #expect(
      JSONValue.object([("a", .array([.integer(1), .null]))]).text(indented: true)
        == "{\n  \"a\": [\n    1,\n    null\n  ]\n}")
  }
}

@Suite("Status details") struct StatusTests {
  @Test("an error carries its reason, its hint and its bad fields") func details() {
    let bad = RPCError.invalidArgument([("name", "is empty"), ("url", "has a query")])
    #expect(bad.fieldViolations.map(\.field) == ["name", "url"])
    #expect(bad.message == "name: is empty; url: has a query")
    let reasoned = RPCError(.notFound, reason: "UNKNOWN_INTEGRATION", "no integration x", hint: "list them")
    #expect(reasoned.reason == "UNKNOWN_INTEGRATION")
    #expect(reasoned.hint == "list them")
  }
}
