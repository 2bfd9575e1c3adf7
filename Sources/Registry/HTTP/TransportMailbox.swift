import CCurl
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
    /// The address of the handle to wake, 0 for none; the curl thread takes it away before it frees the handle.
    var multi: UInt = 0

    func wake() {
      if let multi = UnsafeMutableRawPointer(bitPattern: multi) { curl_multi_wakeup(multi) }
    }
    var lastID: UInt64 = 0
  }

  private let state = Mutex(State())

  func nextID() -> UInt64 {
    state.withLock {
      $0.lastID += 1
      return $0.lastID
    }
  }

  /// Whether the thread still takes commands.
  @discardableResult
  func post(_ command: Command) -> Bool {
    state.withLock { state in
      guard !state.isStopped else { return false }
      state.commands.append(command)
      state.wake()
      return true
    }
  }

  func stop() {
    state.withLock { state in
      state.isStopped = true
      state.wake()
    }
  }

  // MARK: the curl thread

  func attach(_ multi: UnsafeMutableRawPointer) {
    let address = UInt(bitPattern: multi)
    state.withLock { $0.multi = address }
  }

  func detach() { state.withLock { $0.multi = 0 } }

  func take() -> (commands: [Command], isStopped: Bool) {
    state.withLock { state in
      defer { state.commands.removeAll(keepingCapacity: true) }
      return (state.commands, state.isStopped)
    }
  }
}

/// A request on its way to the curl thread. Its answer goes to `continuation` exactly once.
struct StartCommand: Sendable {
  let id: UInt64
  let request: HTTPRequest
  let group: ConnectionGroup
  /// Whether a 200 or 206 is to be streamed.
  let streams: Bool
  let isCancelled: CancellationFlag
  let continuation: CheckedContinuation<OpenedResponse, any Error>
}

/// Set by a cancellation that may come before the request it is for has reached the curl thread.
final class CancellationFlag: Sendable {
  private let flag = Atomic(false)

  func set() { flag.store(true, ordering: .releasing) }
  var isSet: Bool { flag.load(ordering: .acquiring) }
}
