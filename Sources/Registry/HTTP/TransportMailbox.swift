import CPosix
import Glibc
import Posix
import Synchronization

/// What other threads ask of the curl thread, in order.
final class TransportMailbox: Sendable {
  enum Command: Sendable {
    case start(StartCommand)
    case resume(UInt64)
    case cancel(UInt64)
    case closeGroup(UInt64)
  }

  private struct State {
    var commands: [Command] = []
    var isStopped = false
    /// Whether the curl thread waits for `wake`, or is about to.
    var isAsleep = false
    var lastID: UInt64 = 0
  }

  /// An eventfd: readable when the curl thread is to get up.
  let wake: Int32
  private let state = Mutex(State())

  init() {
    wake = cposix_eventfd()
    precondition(wake >= 0, "\(PosixError("eventfd"))")
  }

  deinit { close(wake) }

  func nextID() -> UInt64 {
    state.withLock {
      $0.lastID += 1
      return $0.lastID
    }
  }

  /// Whether the thread still takes commands.
  @discardableResult
  func post(_ command: Command) -> Bool {
    let (isTaken, wakes) = state.withLock { state in
      guard !state.isStopped else { return (false, false) }
      state.commands.append(command)
      return (true, Self.getsUp(&state))
    }
    if wakes { ring() }
    return isTaken
  }

  func stop() {
    let wakes = state.withLock { state in
      state.isStopped = true
      return Self.getsUp(&state)
    }
    if wakes { ring() }
  }

  /// One wake-up is enough for all that comes before the thread has looked.
  private static func getsUp(_ state: inout State) -> Bool {
    defer { state.isAsleep = false }
    return state.isAsleep
  }

  private func ring() {
    var one: UInt64 = 1
    // It cannot fail but for a full counter, which is a wake-up too.
    _ = write(wake, &one, MemoryLayout.size(ofValue: one))
  }

  // MARK: the curl thread

  func take() -> (commands: [Command], isStopped: Bool) {
    state.withLock { state in
      state.isAsleep = false
      if state.commands.isEmpty { return ([], state.isStopped) }
      defer { state.commands = [] }
      return (state.commands, state.isStopped)
    }
  }

  /// Whether nothing has come since `take`: then `wake` tells of what comes from now on.
  func fallAsleep() -> Bool {
    state.withLock { state in
      state.isAsleep = state.commands.isEmpty && !state.isStopped
      return state.isAsleep
    }
  }

  /// Takes back that `wake` is readable.
  func silence() {
    var count: UInt64 = 0
    _ = read(wake, &count, MemoryLayout.size(ofValue: count))
  }
}

/// A request on its way to the curl thread. Its answer goes to `continuation` exactly once.
struct StartCommand: Sendable {
  /// While the request waited for a permit, its registry has asked to be left alone.
  struct TooSoon: Error {}

  let id: UInt64
  let request: HTTPRequest
  let group: ConnectionGroup
  /// Whether a 200 or 206 is to be streamed.
  let streams: Bool
  /// Where to release the permit that it has taken; nil where it has taken none.
  let permits: Permits?
  let isCancelled: CancellationFlag
  let continuation: CheckedContinuation<OpenedResponse, any Error>
}

/// Set by a cancellation that may come before the request it is for has reached the curl thread.
final class CancellationFlag: Sendable {
  private let flag = Atomic(false)

  func set() { flag.store(true, ordering: .releasing) }
  var isSet: Bool { flag.load(ordering: .acquiring) }
}
