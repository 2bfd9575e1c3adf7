import CPosix
import Glibc
import Posix
import TestSupport
import Testing

@testable import Pipeline

/// How long is waited for a connection to clamd and for its version, with less than the 5 s of each.
struct ClamdTimeTests {
  /// A socket that nobody accepts connections of; so many may wait, and one more.
  private final class Listener {
    let path: String
    private let directory: TemporaryDirectory
    private let descriptor: Int32

    init(waiting: Int32) throws {
      directory = try TemporaryDirectory()
      path = directory.path + "/clamd"
      descriptor = cposix_listen_unix(path, 0o600, -1, waiting)
      try #require(descriptor >= 0)
    }

    deinit { close(descriptor) }
  }

  @Test func `A daemon that takes no connection is given up`() throws {
    let listener = try Listener(waiting: 0)
    let waits = try ClamdWaits()
    let first = try ClamdChannel(listener.path, waits, by: waits.now + .seconds(60))
    let error = #expect(throws: ClamdError.self) {
      try ClamdChannel(listener.path, waits, by: waits.now + .milliseconds(100))
    }
    #expect(error?.code == .unreachable)
    withExtendedLifetime((listener, first)) {}
  }

  @Test func `A daemon that does not tell its version is given up`() throws {
    let listener = try Listener(waiting: 8)
    var settings = MalwareSettings(socket: listener.path)
    settings.connectTime = .milliseconds(100)
    let waits = try ClamdWaits()
    let error = #expect(throws: ClamdError.self) { try Clamd(settings).version(waits) }
    #expect(error?.code == .timedOut)
    withExtendedLifetime(listener) {}
  }
}
