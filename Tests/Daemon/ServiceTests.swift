import Glibc
import Posix
import TestSupport
import Testing

@testable import Daemon

/// What a service manager hands over.
struct ServiceTests {
  @Test(arguments: [
    [:], ["LISTEN_FDS": "1"], ["LISTEN_PID": "7"], ["LISTEN_PID": "8", "LISTEN_FDS": "1"],
    ["LISTEN_PID": "7", "LISTEN_FDS": "0"],
  ])
  func `Nothing is taken that was not handed to this process`(environment: [String: String]) throws {
    #expect(try InheritedSocket.take(from: environment, process: 7) == nil)
  }

  @Test(arguments: ["", "x", "-1", "65", "99999999999"])
  func `A number of sockets that is none is refused`(count: String) {
    #expect(throws: InheritedSocket.Unusable.self) {
      try InheritedSocket.take(from: ["LISTEN_PID": "7", "LISTEN_FDS": count], process: 7)
    }
  }

  @Test(.timeLimit(.minutes(1))) func `A broadcast wakes who waits for more, and ends all waiting once closed`()
    async throws
  {
    let broadcast = Broadcast(at: 3)
    try await broadcast.wait(above: 2)
    // Nothing comes: the time is over.
    try await broadcast.wait(above: 3, atMost: .milliseconds(1))
    let waiting = (0..<10).map { _ in Task { try await broadcast.wait(above: 3) } }
    broadcast.raise(to: 3)
    broadcast.raise(to: 4)
    for task in waiting { try await task.value }
    #expect(broadcast.newest == 4)
    let cancelled = Task { try await broadcast.wait(above: 4) }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    let ended = Task { try await broadcast.wait(above: 4) }
    broadcast.close()
    await #expect(throws: Broadcast.Closed.self) { try await ended.value }
    // What was told before the end is told first.
    try await broadcast.wait(above: 3)
    await #expect(throws: Broadcast.Closed.self) { try await broadcast.wait(above: 4) }
  }
}
