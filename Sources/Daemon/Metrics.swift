import Synchronization

/// Calls, failures and time of each RPC method since the start.
package final class Metrics: Sendable {
  package struct Method: Sendable {
    package var calls: UInt64 = 0
    package var failures: UInt64 = 0
    package var time: Duration = .zero

    fileprivate mutating func add(_ time: Duration, _ failed: Bool) {
      calls += 1
      if failed { failures += 1 }
      self.time += time
    }
  }

  /// Of one method.
  final class Counter: Sendable {
    private let counts = Mutex(Method())

    func record(_ time: Duration, failed: Bool) { counts.withLock { $0.add(time, failed) } }
    fileprivate var snapshot: Method { counts.withLock { $0 } }
  }

  private let counters = Mutex<[String: Counter]>([:])

  package init() {}

  func counter(of method: String) -> Counter {
    counters.withLock { counters in
      let counter = counters[method] ?? Counter()
      counters[method] = counter
      return counter
    }
  }

  /// Of the methods that were called.
  package var snapshot: [(name: String, counts: Method)] {
    counters.withLock { $0 }.map { ($0.key, $0.value.snapshot) }.filter { $0.1.calls > 0 }.sorted { $0.0 < $1.0 }
  }
}
