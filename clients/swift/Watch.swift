internal import ProtobufRuntime

/// What a watch tells, in order. It begins with the iteration, and goes on over losses of the connection and restarts of
/// the daemon, as its `Reconnection` says, unless the method that makes it says otherwise. The iteration ends when the daemon has no more to tell, and throws
/// `TidewaiterError` when the watch cannot go on. Leaving the loop, or cancelling its task, ends the watch at the daemon.
///
/// Each iteration is a watch of its own. A reader that is slow for long loses its stream, and the watch begins it anew.
public struct Watch<Element: Sendable>: AsyncSequence, Sendable {
  public typealias Failure = TidewaiterError

  private let channel: Channel
  private let timeout: Duration?
  private let renewal: WatchRenewal
  private let makeSource: @Sendable () -> any WatchSource<Element>

  init(
    _ channel: Channel, timeout: Duration?, renewal: WatchRenewal = .always,
    _ makeSource: @escaping @Sendable () -> any WatchSource<Element>
  ) {
    self.channel = channel
    self.timeout = timeout
    self.renewal = renewal
    self.makeSource = makeSource
  }

  public func makeAsyncIterator() -> Iterator {
    Iterator(
      channel: channel, deadline: timeout.map { .now + $0 }, renewal: renewal, source: makeSource())
  }

  public struct Iterator: AsyncIteratorProtocol {
    private let channel: Channel
    private let deadline: ContinuousClock.Instant?
    private let renewal: WatchRenewal
    private var source: any WatchSource<Element>
    /// Since when there is a stream, and whether it has told anything.
    private var openedAt: ContinuousClock.Instant?
    private var hasTold = false
    private var wasEverOpen = false
    /// Failed attempts since the watch was last well, and when that ended.
    private var attempts = 0
    private var lostAt: ContinuousClock.Instant?

    fileprivate init(
      channel: Channel, deadline: ContinuousClock.Instant?, renewal: WatchRenewal, source: any WatchSource<Element>
    ) {
      self.channel = channel
      self.deadline = deadline
      self.renewal = renewal
      self.source = source
    }

    public mutating func next(
      isolation actor: isolated (any Actor)? = #isolation
    ) async throws(TidewaiterError) -> Element? {
      while true {
        do throws(TidewaiterError) {
          if openedAt == nil {
            let element = try source.open(channel, timeout: try rest())
            (openedAt, hasTold, wasEverOpen) = (.now, false, true)
            if let element { return element }
          }
          let element = try await source.next()
          (hasTold, attempts, lostAt) = (true, 0, nil)
          return element
        } catch {
          try await waitToGoOn(after: error)
          openedAt = nil
        }
      }
    }

    /// Nil when there is no limit.
    private func rest() throws(TidewaiterError) -> Duration? {
      guard let deadline else { return nil }
      let rest = deadline - .now
      guard rest > .zero else { throw TidewaiterError(.deadlineExceeded, "the watch's time limit is over") }
      return rest
    }

    /// Throws `error` when the watch ends with it.
    private mutating func waitToGoOn(after error: TidewaiterError) async throws(TidewaiterError) {
      guard canGoOn(after: error) else { throw error }
      let policy = channel.reconnection
      // A stream that stood was well, although it had nothing to tell.
      if let openedAt, .now - openedAt > policy.longestPause { (attempts, lostAt) = (0, nil) }
      let since = lostAt ?? .now
      lostAt = since
      var pause = policy.pause(after: attempts, chance: .random(in: 0..<1))
      attempts += 1
      if let patience = policy.patience {
        let left = patience - (ContinuousClock.now - since)
        guard left > .zero else { throw error }
        pause = Swift.min(pause, left)
      }
      if let rest = try rest() { pause = Swift.min(pause, rest) }
      do {
        try await Task.sleep(for: pause)
      } catch {
        throw TidewaiterError(.cancelled, "the watch was cancelled")
      }
    }

    private func canGoOn(after error: TidewaiterError) -> Bool {
      switch error.code {
      // Gone, or stopping. A daemon that was never there is not waited for.
      case .unavailable: wasEverOpen && renewal == .always
      // The reader was slow, or the daemon is behind. One that refuses from the start is not asked again and again.
      case .resourceExhausted, .aborted: openedAt != nil && hasTold && renewal != .never
      default: false
      }
    }
  }
}

/// When a watch begins its stream anew.
enum WatchRenewal {
  /// Also on another connection: the daemon knows what is watched after a restart, too.
  case always
  case whileConnected
  /// What was told cannot be told again.
  case never
}

/// The streams of a watch, one after the other, and where each goes on.
protocol WatchSource<Element>: Sendable {
  associatedtype Element: Sendable

  /// Begins a stream where the last one ended; what it returns comes before the first of the stream.
  mutating func open(_ channel: Channel, timeout: Duration?) throws(TidewaiterError) -> Element?
  mutating func next() async throws(TidewaiterError) -> Element?
}
