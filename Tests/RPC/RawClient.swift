import CPosix
import Glibc
import Posix
import RPC
import Testing

/// Runs blocking code on a thread of its own: a test that blocked a thread of Swift's pool could starve the very handlers
/// it waits for.
func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await withCheckedThrowingContinuation { continuation in
    startThread(named: "test") { continuation.resume(with: Result { try body() }) }
  }
}

/// A ttrpc client that writes whatever bytes it is told to.
final class RawClient: Sendable {
  struct Answer: Equatable {
    let stream: UInt32
    let result: Result<[UInt8], RPCError>
    var code: RPCError.Code? {
      if case .failure(let error) = result { error.code } else { nil }
    }
  }

  struct Hangup: Error {}

  let descriptor: Int32

  init(_ path: String) throws {
    descriptor = cposix_connect_unix(path)
    guard descriptor >= 0 else { throw PosixError("connect to \(path)") }
    cposix_set_nonblocking(descriptor)
  }

  deinit { close(descriptor) }

  /// Ends the connection in both directions at once.
  func hangUp() { shutdown(descriptor, Int32(SHUT_RDWR)) }

  /// Waits until the socket is ready. The minute is a guard against hanging, not a measure of anything.
  private func wait(for event: Int32) throws {
    var polled = [pollfd(fd: descriptor, events: Int16(event), revents: 0)]
    guard poll(&polled, 1, 60_000) == 1 else { throw PosixError("poll", errno: ETIMEDOUT) }
  }

  func send(_ bytes: [UInt8]) async throws {
    try await blocking { [self] in
      var rest = bytes[...]
      while !rest.isEmpty {
        try wait(for: POLLOUT)
        let count = rest.withUnsafeBytes { cposix_send(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { throw PosixError("send") }
        rest = rest.dropFirst(count)
      }
    }
  }

  func send(hex: String) async throws { try await send(bytes(hex)) }

  func request(
    _ stream: UInt32, _ method: String, _ payload: [UInt8] = [], service: String = "demo.Echo", timeout: Int64 = 0,
    flags: Frame.Flags = []
  ) async throws {
    try await send(frame(stream, method, payload, service: service, timeout: timeout, flags: flags))
  }

  func receive(_ count: Int) async throws -> [UInt8] {
    try await blocking { [self] in
      var bytes: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 64 * 1024)
      while bytes.count < count {
        try wait(for: POLLIN)
        let wanted = min(chunk.count, count - bytes.count)
        let got = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, wanted) }
        if got == 0 || (got < 0 && errno == ECONNRESET) { throw Hangup() }
        guard got > 0 else { throw PosixError("read") }
        bytes.append(contentsOf: chunk[..<got])
      }
      return bytes
    }
  }

  func answer() async throws -> Answer {
    guard case .response(let answer) = try await nextFrame() else {
      Issue.record("data where a response was due")
      throw Hangup()
    }
    return answer
  }

  enum Received: Equatable {
    case message(UInt32, [UInt8])
    /// The end of a stream.
    case end(UInt32)
    case response(Answer)
  }

  /// The next frame, whose form is checked.
  func nextFrame() async throws -> Received {
    let header = Frame.Header(try await receive(Frame.headerLength))
    let data = try await receive(Int(header.length))
    if header.kind == Frame.Kind.response.rawValue {
      #expect(header.flags == [])
      return .response(Answer(stream: header.stream, result: try ResponseEnvelope.decode(data)))
    }
    #expect(header.kind == Frame.Kind.data.rawValue)
    #expect(header.flags == [] || (header.flags == .end && data.isEmpty))
    return header.flags == .end ? .end(header.stream) : .message(header.stream, data)
  }

  /// A message of a stream, or its end.
  func data(_ stream: UInt32, _ message: [UInt8] = [], flags: Frame.Flags = []) async throws {
    try await send(header(UInt32(message.count), stream, kind: 3, flags: flags) + message)
  }

  /// Whether the server hangs up without another byte.
  func isHungUp() async throws -> Bool {
    do {
      _ = try await receive(1)
      return false
    } catch is Hangup {
      return true
    }
  }
}

func frame(
  _ stream: UInt32, _ method: String, _ payload: [UInt8] = [], service: String = "demo.Echo", timeout: Int64 = 0,
  flags: Frame.Flags = []
) -> [UInt8] {
  var request = RequestEnvelope()
  request.service = service
  request.method = method
  request.payload = payload
  request.timeoutNanoseconds = timeout
  let data = request.encoded()
  return header(UInt32(data.count), stream, flags: flags) + data
}

func header(_ length: UInt32, _ stream: UInt32, kind: UInt8 = 1, flags: Frame.Flags = []) -> [UInt8] {
  var bytes: [UInt8] = []
  var header = Frame.Header(length: length, stream: stream, kind: .request, flags: flags)
  header.kind = kind
  header.write(to: &bytes)
  return bytes
}

func bytes(_ hex: String) -> [UInt8] {
  let digits = hex.filter { !$0.isWhitespace }.utf8.map { UInt8(String(UnicodeScalar($0)), radix: 16) ?? 0 }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
