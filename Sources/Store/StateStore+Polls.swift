import StorageMessages

extension PollState {
  /// Whether the poll does not go on: a suspended one does.
  package var isOver: Bool { self != .running && self != .suspended }
}

extension StateStore {
  /// Polls of an integration before `before`, the newest first, at most `limit`.
  package func polls(
    of integration: UInt64, before: UInt64 = .max, limit: Int, in transaction: ReadTransaction
  ) throws -> [PollRecord] {
    var found: [PollRecord] = []
    guard before > 0, limit > 0 else { return found }
    try transaction.scanBackwards(Self.polls, from: PollKey(integration: integration, poll: before - 1)) { key, poll in
      guard key.integration == integration else { return false }
      found.append(poll)
      return found.count < limit
    }
    return found
  }

  /// The newest poll of an integration that `matches` takes.
  package func newestPoll(
    of integration: UInt64, in transaction: ReadTransaction, where matches: (PollRecord) -> Bool
  ) throws -> PollRecord? {
    var found: PollRecord?
    try transaction.scanBackwards(Self.polls, from: PollKey(integration: integration, poll: .max)) { key, poll in
      guard key.integration == integration else { return false }
      if matches(poll) { found = poll }
      return found == nil
    }
    return found
  }
}
