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

  private let methods = Mutex<[String: Method]>([:])

  package init() {}

  package func record(_ method: String, _ time: Duration, failed: Bool) {
    methods.withLock { $0[method, default: Method()].add(time, failed) }
  }

  package var snapshot: [(name: String, counts: Method)] {
    methods.withLock { $0 }.map { ($0.key, $0.value) }.sorted { $0.name < $1.name }
  }
}
