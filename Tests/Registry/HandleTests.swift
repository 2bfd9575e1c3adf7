import Posix
import TestSupport
import Testing

@testable import Registry

/// Handles of libcurl's that serve one request after another: nothing of one is in the next.
@Suite(.timeLimit(.minutes(1)))
struct HandleTests {
  private func send(
    _ method: HTTPRequest.Method, _ path: String, _ headers: [(name: String, value: String)] = [],
    authorization: SecretHeader? = nil, content: String = "", gzip: Bool = false, to server: ScriptedServer,
    in group: ConnectionGroup, takesPermit: Bool = false
  ) async throws -> HTTPResponse {
    var request = HTTPRequest(
      method, try WebAddress(server.url + path), headers: headers, authorization: authorization, bodyMax: 1000,
      acceptsGzip: gzip)
    request.content = Secret(content)
    request.takesPermit = takesPermit
    return try await patient.send(request, in: group)
  }

  @Test func `each request is sent with what is its own`() async throws {
    try await withServer({ _ in .reply(200, [], Array("answer".utf8)) }) { server in
      let group = patient.makeGroup()
      let secret = SecretHeader("Authorization", Secret("Bearer " + canary))
      let first = try await send(
        .get, "/1", [("Accept", "a/1")], authorization: secret, gzip: true, to: server, in: group)
      let second = try await send(.head, "/2", [("Accept", "a/2")], to: server, in: group)
      let third = try await send(.get, "/3", [("Accept", "a/2")], to: server, in: group)
      _ = try await send(.get, "/4", [("Accept", "a/2")], to: server, in: group)
      _ = try await send(.post, "/5", [("X-Own", "5")], content: "said", to: server, in: group)
      _ = try await send(.get, "/6", gzip: true, to: server, in: group)
      #expect(first.body == Array("answer".utf8) && second.body.isEmpty && third.body == first.body)
      let requests = server.requests
      #expect(requests.map(\.method) == ["GET", "HEAD", "GET", "GET", "POST", "GET"])
      #expect(requests.map(\.target) == (1...6).map { "/\($0)" })
      #expect(requests.map { $0.headers["authorization"] } == ["Bearer " + canary, nil, nil, nil, nil, nil])
      #expect(requests.map { $0.headers["accept-encoding"] } == ["gzip", nil, nil, nil, nil, "gzip"])
      #expect(requests.map { $0.headers["accept"] } == ["a/1", "a/2", "a/2", "a/2", "*/*", "*/*"])
      #expect(requests.map { $0.headers["x-own"] } == [nil, nil, nil, nil, "5", nil])
      #expect(requests.map(\.text) == ["", "", "", "", "said", ""])
      #expect(Set(requests.map(\.connection)) == [1])
    }
  }

  @Test func `what failed leaves the next request as it was`() async throws {
    try await withServer({ request in
      switch request.path {
      case "/lost": .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx".utf8))
      case "/long": .reply(200, [], Array(repeating: 120, count: 5000))
      default: .reply(200, [], Array("answer".utf8))
      }
    }) { server in
      let group = patient.makeGroup()
      for _ in 0..<3 {
        let lost = try await registryError { try await send(.get, "/lost", to: server, in: group) }
        #expect(lost.code == .connectionLost)
        let long = try await registryError { try await send(.get, "/long", to: server, in: group) }
        #expect(long.code == .tooLarge)
        let good = try await send(.get, "/good", to: server, in: group)
        #expect(good.status == 200 && good.body == Array("answer".utf8))
      }
    }
  }

  @Test func `many requests side by side come on few connections`() async throws {
    try await withServer({ request in .reply(200, [], Array(request.target.utf8)) }) { server in
      let group = patient.makeGroup()
      let permits = Permits(8)
      try await withThrowingTaskGroup(of: Bool.self) { tasks in
        for number in 0..<400 {
          tasks.addTask {
            try await permits.withPermit {
              try await send(.get, "/\(number)", to: server, in: group).body == Array("/\(number)".utf8)
            }
          }
        }
        for try await isOwn in tasks { #expect(isOwn) }
      }
      #expect(Set(server.requests.map(\.connection)).count <= 8)
    }
  }

  @Test func `a request that waits for its turn leaves it when it is cancelled`() async throws {
    try await withServer({ request in request.path == "/silent" ? .silence() : .reply(200) }) { server in
      let group = patient.makeGroup(permits: Permits(1))
      let first = Task { try await send(.get, "/silent", to: server, in: group, takesPermit: true) }
      while server.requests.isEmpty { await Task.yield() }
      let second = Task { try await send(.get, "/second", to: server, in: group, takesPermit: true) }
      let third = Task { try await send(.get, "/third", to: server, in: group, takesPermit: true) }
      second.cancel()
      await #expect(throws: CancellationError.self) { try await second.value }
      #expect(server.requests.map(\.path) == ["/silent"])
      first.cancel()
      await #expect(throws: CancellationError.self) { try await first.value }
      let answer = try await third.value
      #expect(answer.status == 200)
      #expect(server.requests.map(\.path) == ["/silent", "/third"])
    }
  }

  @Test func `what waits for its turn knows that the registry wants to be left alone`() async throws {
    try await withServer({ _ in .reply(429, [("Retry-After", "5")]) }) { server in
      let pace = FakePace()
      let group = patient.makeGroup(limiter: RateLimiter(RateLimits(), clock: pace.clock), permits: Permits(1))
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        for number in 0..<5 {
          tasks.addTask {
            let answer = try await send(.get, "/\(number)", to: server, in: group, takesPermit: true)
            #expect(answer.status == 429)
          }
        }
        try await tasks.waitForAll()
      }
      #expect(server.requests.count == 5)
      #expect(pace.sleeps.count >= 4)
    }
  }
}
