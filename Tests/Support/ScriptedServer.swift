import Glibc
import Posix
import Synchronization

/// A web server that says exactly what a test tells it to, proper HTTP or not. One thread a connection.
package final class ScriptedServer: Sendable {
  package struct Request: Sendable {
    package let method: String
    /// Path and query, as sent.
    package let target: String
    /// Names in lower case.
    package let headers: [String: String]
    package let body: [UInt8]
    /// Which connection it came on, counted from 1.
    package let connection: Int

    package var path: String { String(target.prefix { $0 != "?" }) }
    package var query: String { String(target.drop { $0 != "?" }.dropFirst()) }
    package var text: String { String(decoding: body, as: UTF8.self) }
  }

  package enum Answer: Sendable {
    /// A whole answer with a right Content-Length; the connection is kept.
    case reply(Int, [(String, String)] = [], [UInt8] = [])
    /// These bytes, then the end of the connection.
    case raw([UInt8])
    /// These bytes, then nothing more until the peer leaves.
    case silence(after: [UInt8] = [])
    /// These bytes, then one "x" after each `milliseconds` until the peer leaves.
    case drip([UInt8], milliseconds: Int32)
    /// A whole answer that leaves the connection half-promised: it is closed right after.
    case replyAndClose(Int, [(String, String)] = [], [UInt8] = [])

    package static func json(_ text: String, _ headers: [(String, String)] = []) -> Answer {
      .reply(200, [("Content-Type", "application/json")] + headers, Array(text.utf8))
    }
  }

  package typealias Handler = @Sendable (Request) -> Answer

  package let host: String
  package let port: Int
  private let listener: Int32
  private let log = Mutex<[Request]>([])

  package var url: String { "http://\(host):\(port)" }
  package var requests: [Request] { log.withLock { $0 } }

  /// Listens at a free port of `host`.
  package init(host: String = "127.0.0.1", _ handler: @escaping Handler) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard listener >= 0 else { throw PosixError("socket") }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    inet_pton(AF_INET, host, &address.sin_addr)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(listener, pointer, length) == 0 && listen(listener, 64) == 0
          && getsockname(listener, pointer, &length) == 0
      }
    }
    guard isListening else { throw PosixError("listen at \(host)") }
    self.host = host
    self.listener = listener
    port = Int(UInt16(bigEndian: address.sin_port))
    startThread(named: "script-accept") { [self] in accept(handler) }
  }

  /// Ends the accepting thread, which holds the server until then; connections end with their clients.
  package func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

  private func accept(_ handler: @escaping Handler) {
    var count = 0
    while true {
      let connection = Glibc.accept(listener, nil, nil)
      guard connection >= 0 else { break }
      count += 1
      let number = count
      startThread(named: "script") { [self] in
        serve(connection, number: number, handler)
        close(connection)
      }
    }
    close(listener)
  }

  private func serve(_ connection: Int32, number: Int, _ handler: Handler) {
    var pending: [UInt8] = []
    while let request = Self.read(from: connection, &pending, number: number) {
      log.withLock { $0.append(request) }
      let isHead = request.method == "HEAD"
      switch handler(request) {
      case .reply(let status, let headers, let body):
        guard Self.send(Self.bytes(status, headers, body, isHead: isHead), to: connection) else { return }
      case .replyAndClose(let status, let headers, let body):
        _ = Self.send(Self.bytes(status, headers, body, isHead: isHead), to: connection)
        return
      case .raw(let bytes):
        _ = Self.send(bytes, to: connection)
        return
      case .silence(let bytes):
        _ = Self.send(bytes, to: connection)
        var byte: UInt8 = 0
        while recv(connection, &byte, 1, 0) > 0 {}
        return
      case .drip(let bytes, let milliseconds):
        guard Self.send(bytes, to: connection) else { return }
        var peer = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
        while poll(&peer, 1, milliseconds) == 0 {
          guard Self.send([UInt8(ascii: "x")], to: connection) else { return }
        }
        return
      }
    }
  }

  private static func bytes(_ status: Int, _ headers: [(String, String)], _ body: [UInt8], isHead: Bool) -> [UInt8] {
    var head = "HTTP/1.1 \(status) Whatever\r\n"
    for (name, value) in headers { head += "\(name): \(value)\r\n" }
    if !headers.contains(where: { $0.0.lowercased() == "content-length" }) {
      head += "Content-Length: \(body.count)\r\n"
    }
    return Array((head + "\r\n").utf8) + (isHead ? [] : body)
  }

  private static func read(from connection: Int32, _ pending: inout [UInt8], number: Int) -> Request? {
    let end = Array("\r\n\r\n".utf8)
    var chunk = [UInt8](repeating: 0, count: 16 * 1024)
    while true {
      if let at = pending.indices.first(where: { pending[$0...].starts(with: end) }) {
        let lines = String(decoding: pending[..<at], as: UTF8.self).split(separator: "\r\n")
        pending.removeFirst(at + end.count)
        let words = (lines.first ?? "").split(separator: " ").map(String.init)
        guard words.count == 3 else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
          let sides = line.split(separator: ":", maxSplits: 1)
          guard sides.count == 2 else { continue }
          headers[sides[0].lowercased()] = String(sides[1].drop { $0 == " " })
        }
        let length = headers["content-length"].flatMap { Int($0) } ?? 0
        while pending.count < length {
          let count = recv(connection, &chunk, chunk.count, 0)
          guard count > 0 else { return nil }
          pending += chunk[..<count]
        }
        let body = Array(pending.prefix(length))
        pending.removeFirst(length)
        return Request(method: words[0], target: words[1], headers: headers, body: body, connection: number)
      }
      let count = recv(connection, &chunk, chunk.count, 0)
      guard count > 0 else { return nil }
      pending += chunk[..<count]
    }
  }

  private static func send(_ bytes: [UInt8], to connection: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}

/// Runs `body` with a server that is stopped afterwards.
package func withServer(
  host: String = "127.0.0.1", _ handler: @escaping ScriptedServer.Handler,
  _ body: (ScriptedServer) async throws -> Void
) async throws {
  let server = try ScriptedServer(host: host, handler)
  defer { server.stop() }
  try await body(server)
}
