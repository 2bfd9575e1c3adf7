import Synchronization

/// What one user's connections may take together. Limits of a stream and of a connection alone would let a user with many
/// of them fill the machine.
///
/// Memory: frames that are not whole yet, queues of streams, answers that wait to be read.
final class UserBudget: Sendable {
  private let limit: Int
  private let used = Atomic<Int>(0)
  private let abandoned = Atomic<Int>(0)

  init(limit: Int) { self.limit = limit }

  /// Counts `bytes`, negative ones as given back, whether or not they fit.
  func charge(_ bytes: Int) { if bytes != 0 { used.add(bytes, ordering: .relaxed) } }

  func hasRoom(for bytes: Int) -> Bool { used.load(ordering: .relaxed) + bytes <= limit }

  /// Handlers that have not ended although their connections have.
  var abandonedHandlers: Int { abandoned.load(ordering: .relaxed) }

  func addAbandonedHandlers(_ count: Int) { abandoned.add(count, ordering: .relaxed) }
}
