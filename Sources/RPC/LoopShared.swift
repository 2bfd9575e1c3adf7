import Glibc
import Synchronization

/// What other threads may touch of the loop: commands on their way in, and the order to stop.
final class LoopShared: Sendable {
  enum Command: Sendable {
    /// A handler has ended: once for each that began.
    case ended(connection: UInt64, stream: UInt32, Result<[UInt8], RPCError>)
    /// A stream's empty queue has got something.
    case ready(connection: UInt64, stream: UInt32)
    /// A stream's queue is full.
    case overflowed(connection: UInt64, stream: UInt32, RPCError)
    case cancel(connection: UInt64, stream: UInt32, CheckedContinuation<Bool, Never>)
  }

  private struct State {
    var commands: [Command] = []
    var stopBy: ContinuousClock.Instant?
    var isAwake = false
    var hasEnded = false
  }

  private let state = Mutex(State())
  private let wake: Int32

  init(wake: Int32) { self.wake = wake }

  /// Not closed with the loop: a cancelled handler that ends later still signals, and must not write to whatever got
  /// the descriptor's number meanwhile.
  deinit { close(wake) }

  var wakeDescriptor: Int32 { wake }

  /// From any thread.
  func deliver(_ command: Command) {
    let (mustWake, hasEnded) = state.withLock { state -> (Bool, Bool) in
      if state.hasEnded { return (false, true) }
      state.commands.append(command)
      if state.isAwake { return (false, false) }
      state.isAwake = true
      return (true, false)
    }
    if mustWake { signal() }
    if hasEnded { Self.refuse(command) }
  }

  func stop(by deadline: ContinuousClock.Instant) {
    // Somebody may have lost patience meanwhile, or have it still.
    state.withLock { state in state.stopBy = state.stopBy.map { min($0, deadline) } ?? deadline }
    signal()
  }

  func take() -> (commands: [Command], stopBy: ContinuousClock.Instant?) {
    state.withLock { state in
      state.isAwake = false
      if state.commands.isEmpty { return ([], state.stopBy) }
      defer { state.commands = [] }
      return (state.commands, state.stopBy)
    }
  }

  /// The loop is over: whoever still waits for it hears so.
  func end() {
    let commands = state.withLock { state in
      state.hasEnded = true
      defer { state.commands = [] }
      return state.commands
    }
    for command in commands { Self.refuse(command) }
  }

  private static func refuse(_ command: Command) {
    if case .cancel(_, _, let continuation) = command { continuation.resume(returning: false) }
  }

  private func signal() {
    var one: UInt64 = 1
    // Only EAGAIN can happen, at 2^64 - 2 unread wake-ups: the loop is awake then.
    _ = write(wake, &one, 8)
  }
}

/// A thread, to be compared only.
struct ThreadIdentity: Sendable {
  private let identity: UInt

  static var current: ThreadIdentity { ThreadIdentity(identity: UInt(pthread_self())) }
  var isCurrent: Bool { identity == UInt(pthread_self()) }
}
