import Glibc
import Posix
import Synchronization
import TestSupport

/// Speaks clamd's protocol at a Unix socket, and says of each file what the test wants.
final class FakeClamd: Sendable {
  enum Reply: Sendable {
    case say(String)
    /// Says it, and ends the connection.
    case sayAndEnd(String)
    case nothing
  }

  let path: String
  /// Sent to whenever it has ended a connection.
  let ended = Signal()
  private let directory: TemporaryDirectory
  private let listener: Int32
  private let reply: @Sendable ([UInt8]) -> Reply
  private let counts = Mutex((connections: 0, files: 0))

  init(_ reply: @escaping @Sendable ([UInt8]) -> Reply) throws {
    directory = try TemporaryDirectory()
    path = directory.path + "/clamd"
    self.reply = reply
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard status == 0, listen(listener, 64) == 0 else { throw PosixError("listen") }
    try startThreadIfPossible(named: "fake clamd") { [listener, weak self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0, let self else { break }
        self.counts.withLock { $0.connections += 1 }
        self.serve(connection)
      }
      close(listener)
    }
  }

  deinit { shutdown(listener, Int32(SHUT_RDWR)) }

  var connections: Int { counts.withLock(\.connections) }
  var files: Int { counts.withLock(\.files) }

  /// On a thread of its own: a relay may have two connections at a time.
  private func serve(_ connection: Int32) {
    startThread(named: "fake session") { [self] in
      defer {
        close(connection)
        ended.send()
      }
      var number = 0
      while let command = Self.command(connection) {
        if command == "zVERSION" { Self.send(connection, "Fake 1/7/today") }
        guard command == "zINSTREAM" else { continue }
        number += 1
        var file: [UInt8] = []
        while let size = Self.take(connection, 4), size != [0, 0, 0, 0] {
          let count = size.reduce(0) { $0 << 8 | Int($1) }
          guard let bytes = Self.take(connection, count) else { return }
          file += bytes
        }
        counts.withLock { $0.files += 1 }
        switch reply(file) {
        case .say(let text): Self.send(connection, "\(number): \(text)")
        case .sayAndEnd(let text):
          Self.send(connection, "\(number): \(text)")
          return
        case .nothing: break
        }
      }
    }
  }

  private static func command(_ connection: Int32) -> String? {
    var text: [UInt8] = []
    while let byte = take(connection, 1)?.first {
      if byte == 0 { return String(decoding: text, as: UTF8.self) }
      text.append(byte)
    }
    return nil
  }

  private static func take(_ connection: Int32, _ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = bytes.withUnsafeMutableBytes { recv(connection, $0.baseAddress, $0.count, Int32(MSG_WAITALL)) }
    return got == count ? bytes : nil
  }

  private static func send(_ connection: Int32, _ text: String) {
    let bytes = Array(text.utf8) + [0]
    // Who does not want it any more has gone.
    _ = bytes.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }
}
