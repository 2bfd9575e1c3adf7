import Synchronization

/// A thread that runs what it is given, one after the other: for work that blocks on disks or takes long, which must not
/// hold up the RPC loop or Swift's pool.
package final class SerialThread: Sendable {
  private struct State {
    var work: [@Sendable () -> Void] = []
    var isClosed = false
  }

  private let state = Mutex(State())
  private let wake = Signal()

  /// The thread lives until `close`.
  package init(named name: String) {
    startThread(named: name) { [self] in
      while true {
        wake.wait()
        let next = state.withLock { state in state.work.isEmpty ? nil : state.work.removeFirst() }
        if let next { next() } else if state.withLock(\.isClosed) { return }
      }
    }
  }

  /// Runs `body` on the thread and returns what it returns. After `close` it runs on the caller.
  package func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
      let work: @Sendable () -> Void = { continuation.resume(with: Result(catching: body)) }
      let isAccepted = state.withLock { state -> Bool in
        if state.isClosed { return false }
        state.work.append(work)
        return true
      }
      if isAccepted { wake.send() } else { work() }
    }
  }

  /// Ends the thread when what it was given is done.
  package func close() {
    state.withLock { $0.isClosed = true }
    wake.send()
  }
}
