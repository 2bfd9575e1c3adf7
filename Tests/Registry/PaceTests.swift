import Model
import TestSupport
import Testing

@testable import Registry

/// The pace of an integration: our limits, the registry's, and retries. Time passes only where somebody sleeps.
@Suite(.timeLimit(.minutes(1)))
struct PaceTests {
  private let origin: WebAddress.Origin
  private let other: WebAddress.Origin

  init() throws {
    origin = try WebAddress("https://registry.example.test").origin
    other = try WebAddress("https://api.example.test").origin
  }

  private func answer(_ status: Int, _ headers: [(String, String)] = []) -> HTTPResponse {
    var all = HTTPHeaders()
    for (name, value) in headers { all.append(name, value) }
    return HTTPResponse(
      status: status, headers: all, body: [],
      connection: ConnectionInfo(address: "192.0.2.1", port: 443, version: 2, proxy: nil, certificates: []))
  }

  @Test func `requests keep to their number a second after a short burst`() async throws {
    let pace = FakePace()
    let limiter = RateLimiter(RateLimits(requestsPerSecond: 10), clock: pace.clock)
    for _ in 0..<103 { try await limiter.admit(to: origin) }
    // A quarter of a second's worth goes at once, then one each 100 ms.
    #expect(pace.elapsed == .seconds(10) - .milliseconds(50))
    pace.advance(.seconds(60))
    let before = pace.elapsed
    for _ in 0..<3 { try await limiter.admit(to: origin) }
    #expect(pace.elapsed == before)
  }

  @Test func `one pace holds for every host of the integration`() async throws {
    let pace = FakePace()
    let limiter = RateLimiter(RateLimits(requestsPerSecond: 1), clock: pace.clock)
    for _ in 0..<5 {
      try await limiter.admit(to: origin)
      try await limiter.admit(to: other)
    }
    #expect(pace.elapsed >= .seconds(8))
  }

  @Test func `bytes are paid for by whoever asks next`() async throws {
    let pace = FakePace()
    let limiter = RateLimiter(RateLimits(bytesPerSecond: 1000), clock: pace.clock)
    #expect(limiter.spend(250) == .zero)
    #expect(limiter.spend(5000) == .seconds(5))
    try await limiter.admit(to: origin)
    #expect(pace.elapsed == .seconds(5))
    limiter.update(RateLimits())
    #expect(limiter.spend(1 << 30) == .zero)
  }

  @Test func `a short Retry-After is sat out, at that host alone`() async throws {
    let pace = FakePace()
    let limiter = RateLimiter(clock: pace.clock)
    limiter.note(answer(429, [("Retry-After", "7")]), from: origin)
    try await limiter.admit(to: other)
    #expect(pace.elapsed == .zero)
    try await limiter.admit(to: origin)
    #expect(pace.elapsed == .seconds(7))
    #expect(limiter.budget?.refusals == 1)
    #expect(limiter.budget?.throttledUntil == nil)
  }

  /// H13.
  @Test(arguments: [
    ("999999999", 3600), ("99999999999999999999999", 3600), ("-1", 1), ("0", 1), ("x", 2), ("", 2),
    ("Thu, 01 Jan 1970 00:00:10 GMT", 1), ("Tue, 14 Nov 2200 22:13:20 GMT", 3600),
    ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
  ])
  func `Retry-After is held within bounds and told`(text: String, seconds: Int64) async throws {
    let pace = FakePace()
    let limiter = RateLimiter(clock: pace.clock)
    limiter.note(answer(429, [("Retry-After", text)]), from: origin)
    let until = try #require(limiter.budget?.throttledUntil)
    #expect(until == Timestamp(seconds: FakePace.wallStart + seconds))
    if Duration.seconds(seconds) > RateLimiter.patience {
      let error = try await registryError { try await limiter.admit(to: origin) }
      #expect(error.code == .rateLimited)
      #expect(error.isTransient)
      #expect(error.retryAfter == .seconds(seconds))
      #expect(pace.sleeps.isEmpty)
      try await limiter.admit(to: other)
      pace.advance(.seconds(seconds))
    }
    try await limiter.admit(to: origin)
    #expect(pace.elapsed == .seconds(seconds))
  }

  @Test func `refusals without a word are met with ever longer waits, to a minute`() async throws {
    let pace = FakePace()
    let limiter = RateLimiter(clock: pace.clock)
    var waits: [Int64] = []
    for _ in 0..<8 {
      limiter.note(answer(429), from: origin)
      let until = try #require(limiter.budget?.throttledUntil)
      waits.append(until.seconds - FakePace.wallStart - pace.elapsed.components.seconds)
      pace.advance(.seconds(100))
    }
    #expect(waits == [2, 4, 8, 16, 32, 60, 60, 60])
    limiter.note(answer(200), from: origin)
    limiter.note(answer(429), from: origin)
    let until = try #require(limiter.budget?.throttledUntil)
    #expect(until.seconds - FakePace.wallStart - pace.elapsed.components.seconds == 2)
  }

  @Test func `who waits can be cancelled`() async throws {
    let limiter = RateLimiter(RateLimits(requestsPerSecond: 1))
    limiter.note(answer(503, [("Retry-After", "15")]), from: origin)
    let task = Task { [origin] in try await limiter.admit(to: origin) }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test func `Docker Hub's budget is told with its window`() async throws {
    let pace = FakePace()
    let limiter = RateLimiter(clock: pace.clock)
    #expect(limiter.budget == nil)
    limiter.note(
      answer(200, [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")]), from: origin)
    let budget = try #require(limiter.budget)
    #expect(budget.limit == 100)
    #expect(budget.remaining == 76)
    #expect(budget.window == .seconds(21600))
    #expect(budget.resetsAt == nil)
    #expect(budget.observedAt == Timestamp(seconds: FakePace.wallStart))
    #expect(budget.throttledUntil == nil)
    // Nothing left, but other requests than those that are counted may still be made.
    limiter.note(answer(200, [("ratelimit-remaining", "0;w=21600")]), from: origin)
    try await limiter.admit(to: origin)
    limiter.note(answer(429, [("ratelimit-remaining", "0;w=21600")]), from: origin)
    #expect(limiter.budget?.throttledUntil == Timestamp(seconds: FakePace.wallStart + 60))
  }

  @Test(
    arguments: [
      (
        [("X-RateLimit-Limit", "180"), ("X-RateLimit-Remaining", "3"), ("X-RateLimit-Reset", "1700000060")], 180, 3, 60
      ),
      ([("RateLimit-Limit", "600"), ("RateLimit-Remaining", "5"), ("RateLimit-Reset", "30")], 600, 5, 30),
      ([("RateLimit", "limit=100, remaining=50, reset=20")], 100, 50, 20),
      ([("RateLimit", "\"default\";r=7;t=9")], nil, 7, 9),
      ([("RateLimit-Remaining", "76;w=21600, 5;w=60"), ("RateLimit-Limit", "200;w=21600, 10;w=60")], 10, 5, nil),
      ([("X-RateLimit-Remaining", "99999999999999999999")], nil, 1 << 40, nil),
    ] as [([(String, String)], Int64?, Int64?, Int64?)])
  func `budgets are read in every vendor's spelling`(
    headers: [(String, String)], limit: Int64?, remaining: Int64?, resetsIn: Int64?
  ) {
    let read = RateHeaders(answer(200, headers).headers, now: FakePace.wallStart)
    #expect(read.limit == limit)
    #expect(read.remaining == remaining)
    #expect(read.resetsIn == resetsIn.map { .seconds($0) })
  }

  @Test(arguments: ["-5", "x", "", "1;2;3;w=", "5 6", ";;;", String(repeating: "9,", count: 5000)])
  func `headers that make no sense are no budget`(text: String) {
    let read = RateHeaders(answer(200, [("RateLimit-Remaining", text), ("RateLimit", text)]).headers, now: 0)
    #expect(read.remaining == nil || read.remaining == 1)
  }

  @Test func `what resets at a stated moment is not asked before it`() async throws {
    let pace = FakePace()
    let limiter = RateLimiter(clock: pace.clock)
    limiter.note(
      answer(200, [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "\(FakePace.wallStart + 12)")]), from: origin)
    try await limiter.admit(to: origin)
    #expect(pace.elapsed == .seconds(12))
  }

  @Test func `the hosts of a registry that invents them are forgotten`() throws {
    let limiter = RateLimiter(clock: FakePace().clock)
    for number in 0..<1000 {
      limiter.note(answer(429), from: try WebAddress("https://h\(number).example.test").origin)
    }
    #expect(limiter.budget?.refusals == 1000)
  }

  // MARK: retries

  private func retrying(_ server: ScriptedServer, _ pace: FakePace) throws -> RegistryClient {
    client(
      try RegistryEndpoint(url: server.url), transport: HTTPTransport(retries: RetryPolicy(), environment: [:]),
      pace: pace)
  }

  /// H14.
  @Test(arguments: [408, 429, 500, 502, 503, 504])
  func `what fails in passing is asked again, not for ever`(status: Int) async throws {
    let pace = FakePace()
    try await withServer({ request in request.path == "/v2/" ? .json("{}") : .reply(status) }) { server in
      let error = try await registryError {
        try await retrying(server, pace).fetchManifest(tag("1"), in: repository("a"))
      }
      #expect(error.isTransient)
      #expect(server.requests.filter { $0.path != "/v2/" }.count == 3)
      #expect(pace.sleeps.count >= 2)
    }
  }

  @Test(arguments: [400, 401, 403, 404, 405, 416, 501])
  func `what will not change is asked once`(status: Int) async throws {
    try await withServer({ request in request.path == "/v2/" ? .json("{}") : .reply(status) }) { server in
      _ = try await registryError {
        try await retrying(server, FakePace()).fetchManifest(tag("1"), in: repository("a"))
      }
      #expect(server.requests.filter { $0.path != "/v2/" }.count == 1)
    }
  }

  @Test func `an answer after a refusal is as good as a first one`() async throws {
    let image = TestImage(layers: [])
    let asked = Counter()
    let pace = FakePace()
    try await withServer({ request in
      if request.path == "/v2/" { return .json("{}") }
      switch asked.add() {
      case 1: return .reply(429, [("Retry-After", "3")])
      case 2: return .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx".utf8))
      default: return .reply(200, [("Content-Type", MediaType.ociManifest)], image.manifest)
      }
    }) { server in
      let client = try retrying(server, pace)
      #expect(try await client.fetchManifest(tag("1"), in: repository("a")).digest == image.digest)
      #expect(pace.elapsed >= .seconds(3))
      #expect(client.session.group.limiter.budget?.refusals == 1)
    }
  }

  @Test func `a registry that wants to be left alone for long is left alone`() async throws {
    try await withServer({ request in
      request.path == "/v2/" ? .json("{}") : .reply(429, [("Retry-After", "600")])
    }) { server in
      let client = try retrying(server, FakePace())
      for _ in 0..<5 {
        let error = try await registryError { try await client.fetchManifest(tag("1"), in: repository("a")) }
        #expect(error.code == .rateLimited)
        #expect(error.retryAfter == .seconds(600))
      }
      #expect(server.requests.filter { $0.path != "/v2/" }.count == 1)
    }
  }

  @Test func `a blob comes no faster than the limit`() async throws {
    let layer = noise(200_000)
    try await withServer({ request in
      request.path == "/v2/" ? .json("{}") : .reply(200, [], layer)
    }) { server in
      // Real time: the transfer is paused on the curl thread, and a byte more would have come at once.
      let endpoint = try RegistryEndpoint(url: server.url, rates: RateLimits(bytesPerSecond: 400_000))
      let client = RegistryClient(endpoint, transport: patient)
      let start = ContinuousClock.now
      let bytes = try await readAll(client.openBlob(descriptor(of: layer), in: repository("a")))
      #expect(bytes == layer)
      // 200,000 bytes less the burst's 100,000.
      #expect(start.duration(to: .now) >= .milliseconds(200))
    }
  }
}
