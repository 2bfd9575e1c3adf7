import Synchronization

/// Calls, failures and time of each RPC method since the start.
package final class Metrics: Sendable {
  package struct Method: Sendable {
    package var calls: UInt64 = 0
    package var failures: UInt64 = 0
    package var time: Duration = .zero
  }

  private let methods = Mutex<[String: Method]>([:])

  package init() {}

  package func record(_ method: String, _ time: Duration, failed: Bool) {
    methods.withLock { methods in
      methods[method, default: Method()].calls += 1
      methods[method, default: Method()].failures += failed ? 1 : 0
      methods[method, default: Method()].time += time
    }
  }

  package var snapshot: [(name: String, counts: Method)] {
    methods.withLock { $0 }.map { ($0.key, $0.value) }.sorted { $0.name < $1.name }
  }
}
