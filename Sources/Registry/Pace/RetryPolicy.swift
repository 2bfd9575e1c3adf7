/// How often, and after how long, a request that failed in passing is sent again.
package struct RetryPolicy: Sendable, Hashable {
  package var retriesMax: Int
  /// Before the first retry; twice as long before each further one, and by chance up to half of it more or less.
  package var delay: Duration

  package init(retriesMax: Int = 2, delay: Duration = .milliseconds(500)) {
    self.retriesMax = retriesMax
    self.delay = delay
  }

  package static let none = RetryPolicy(retriesMax: 0)

  static let statuses: Set<Int> = [408, 429, 500, 502, 503, 504]

  func delay(before retry: Int, chance: Double) -> Duration {
    delay * (Double(1 << min(retry, 16)) * (0.5 + chance))
  }
}
