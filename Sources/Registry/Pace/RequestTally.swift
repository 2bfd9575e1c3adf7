import Synchronization

/// What one piece of work, such as a poll, asks of registries. Everything that is sent in `withValue` of `current` and in
/// the tasks made there counts.
package final class RequestTally: Sendable {
  @TaskLocal package static var current: RequestTally?

  private let sent = Atomic<UInt64>(0)
  private let received = Atomic<UInt64>(0)
  private let refused = Atomic<UInt64>(0)

  package init() {}

  /// Requests that went out, each try of one for itself.
  package var requests: UInt64 { sent.load(ordering: .relaxed) }
  /// Bytes of the bodies of answers that were read whole.
  package var bytes: UInt64 { received.load(ordering: .relaxed) }
  /// Answers "too many requests".
  package var throttles: UInt64 { refused.load(ordering: .relaxed) }

  func addRequest() { sent.wrappingAdd(1, ordering: .relaxed) }

  func add(_ response: HTTPResponse) {
    received.wrappingAdd(UInt64(response.body.count), ordering: .relaxed)
    if response.isThrottle { refused.wrappingAdd(1, ordering: .relaxed) }
  }
}
