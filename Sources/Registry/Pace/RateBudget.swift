import Model

/// What an integration allows itself; nil is no limit of ours.
package struct RateLimits: Sendable, Hashable {
  package var requestsPerSecond: Int?
  package var bytesPerSecond: Int?

  package init(requestsPerSecond: Int? = nil, bytesPerSecond: Int? = nil) {
    self.requestsPerSecond = requestsPerSecond
    self.bytesPerSecond = bytesPerSecond
  }
}

/// What the registry last told of the requests it grants, and what came of it.
package struct RateBudget: Sendable, Hashable {
  package internal(set) var limit: Int64?
  package internal(set) var remaining: Int64?
  /// The limit counts for so long.
  package internal(set) var window: Duration?
  package internal(set) var resetsAt: Timestamp?
  package internal(set) var observedAt: Timestamp?
  /// Nothing is sent before.
  package internal(set) var throttledUntil: Timestamp?
  /// Answers with status 429 since the daemon started.
  package internal(set) var refusals: UInt64 = 0
}
