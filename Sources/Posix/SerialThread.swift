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
      submit { continuation.resume(with: Result(catching: body)) }
    }
  }

  /// As `run`, for a result that a cancelled caller does not wait for: it goes on at once. Work that has not begun by then
  /// is left out.
  package func runWhileWanted<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    let answer = FirstAnswer<R>()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        answer.deliver(to: continuation)
        submit {
          guard !answer.isGiven else { return }
          answer.give(Result(catching: body))
        }
      }
    } onCancel: {
      answer.give(.failure(CancellationError()))
    }
  }

  private func submit(_ work: @escaping @Sendable () -> Void) {
    let isAccepted = state.withLock { state -> Bool in
      if state.isClosed { return false }
      state.work.append(work)
      return true
    }
    if isAccepted { wake.send() } else { work() }
  }

  /// Ends the thread when what it was given is done.
  package func close() {
    state.withLock { $0.isClosed = true }
    wake.send()
  }
}

/// An answer that several may give: the first counts.
private final class FirstAnswer<R: Sendable>: Sendable {
  private enum State {
    case open(CheckedContinuation<R, any Error>?)
    /// Before anybody asked.
    case early(Result<R, any Error>)
    case delivered
  }

  private let state = Mutex(State.open(nil))

  var isGiven: Bool {
    state.withLock { state in
      if case .open = state { return false }
      return true
    }
  }

  func deliver(to continuation: CheckedContinuation<R, any Error>) {
    let early: Result<R, any Error>? = state.withLock { state in
      guard case .early(let answer) = state else {
        state = .open(continuation)
        return nil
      }
      state = .delivered
      return answer
    }
    if let early { continuation.resume(with: early) }
  }

  func give(_ answer: Result<R, any Error>) {
    let waiting: CheckedContinuation<R, any Error>? = state.withLock { state in
      guard case .open(let waiting) = state else { return nil }
      state = waiting == nil ? .early(answer) : .delivered
      return waiting
    }
    waiting?.resume(with: answer)
  }
}
