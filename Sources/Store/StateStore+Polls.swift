import StorageMessages

/// The record of polls.
extension StateStore {
  /// Runs of one due time that the daemon's end may cut short.
  private static let interruptionsMaximum = 3

  package func poll(_ key: PollKey) throws -> PollRecord? { try read { try $0.get(Self.polls, key) } }

  /// Polls of one integration, the newest first, from before `before` on, at most `limit`.
  package func polls(of integration: UInt64, before: UInt64 = .max, limit: Int) throws -> [PollRecord] {
    guard before > 0 else { return [] }
    return try read { transaction in
      var found: [PollRecord] = []
      let last = PollKey(integration: integration, poll: before - 1)
      try transaction.scanBackwards(Self.polls, from: last) { key, poll in
        guard key.integration == integration else { return false }
        found.append(poll)
        return found.count < limit
      }
      return found
    }
  }

  /// Polls that wait for their registry to grant requests again.
  package func suspendedPolls() throws -> [PollRecord] {
    try read { transaction in
      var found: [PollRecord] = []
      try transaction.scan(Self.polls) { _, poll in
        if poll.state == .suspended { found.append(poll) }
        return true
      }
      return found
    }
  }

  /// Stores a poll that has ended, is suspended, or goes on. Nothing happens when the integration is gone.
  package func putPoll(_ poll: PollRecord, now: Int64) async throws {
    try await write { [self] transaction in
      guard try transaction.get(Self.integrations, poll.integrationId) != nil else { return }
      try put(poll, now: now, in: transaction)
    }
  }

  private func put(_ poll: PollRecord, now: Int64, in transaction: WriteTransaction) throws {
    try transaction.put(Self.polls, PollKey(integration: poll.integrationId, poll: poll.id), poll)
    let kind: EventKind =
      switch poll.state {
      case .running: .pollResumed
      case .suspended: .pollSuspended
      default: .pollEnded
      }
    if poll.state == .interrupted { try makeUp(for: poll, in: transaction) }
    var event = try pollEvent(kind, poll, time: now, in: transaction)
    event.detail =
      poll.errorCode.isEmpty
      ? "\(poll.repositoriesDone) repositories, \(poll.tags) tags, \(poll.queued) images queued"
      : "\(poll.errorCode): \(poll.errorMessage)"
    try append(event, in: transaction)
  }

  /// A poll of the schedule that the daemon's end has cut short is due again, unless that has come to nothing too often: none
  /// can take the daemon down for ever.
  private func makeUp(for poll: PollRecord, in transaction: WriteTransaction) throws {
    guard poll.scheduledFor != 0, var schedule = try transaction.get(Self.scheduleStates, poll.integrationId),
      schedule.handled >= poll.scheduledFor
    else { return }
    var interrupted = 0
    try transaction.scanBackwards(
      Self.polls, from: PollKey(integration: poll.integrationId, poll: poll.id)
    ) { key, past in
      guard key.integration == poll.integrationId, past.scheduledFor == poll.scheduledFor else { return false }
      interrupted += 1
      return interrupted < Self.interruptionsMaximum
    }
    guard interrupted < Self.interruptionsMaximum else { return }
    schedule.handled = poll.scheduledFor - 1
    try transaction.put(Self.scheduleStates, poll.integrationId, schedule)
  }

  private func pollEvent(
    _ kind: EventKind, _ poll: PollRecord, time: Int64, in transaction: ReadTransaction
  ) throws -> EventRecord {
    var event = EventRecord(kind, time: time)
    event.integration = try integrationName(poll.integrationId, in: transaction)
    event.integrationId = poll.integrationId
    event.pollId = poll.id
    event.state = poll.state.name
    return event
  }

  /// Stores a poll that begins; its id is set here. Throws `IntegrationError` for an integration that is gone or being
  /// removed. `schedule` is where the schedule then stands, for a poll that it has started: both are stored, or neither
  /// where the schedule is another by now.
  package func createPoll(
    _ wanted: PollRecord, schedule: ScheduleStateRecord? = nil
  ) async throws -> PollRecord {
    try await write { [self] transaction in
      try Self.requireIntegration(wanted.integrationId, in: transaction)
      var poll = wanted
      poll.id = try transaction.take("next_poll")
      poll.state = .running
      try transaction.put(Self.polls, PollKey(integration: poll.integrationId, poll: poll.id), poll)
      if let schedule { try put(schedule, of: poll.integrationId, in: transaction) }
      var event = try pollEvent(.pollStarted, poll, time: poll.startedAt, in: transaction)
      event.actor = poll.actor
      event.detail = poll.trigger
      try append(event, in: transaction)
      return poll
    }
  }

  /// At start: polls of the process that died are recorded as interrupted.
  package func interruptRunningPolls(now: Int64) async throws {
    try await write { [self] transaction in
      var running: [PollRecord] = []
      try transaction.scan(Self.polls) { _, poll in
        if poll.state == .running { running.append(poll) }
        return true
      }
      for poll in running {
        var poll = poll
        poll.state = .interrupted
        poll.finishedAt = now
        poll.errorCode = "INTERRUPTED"
        poll.errorMessage = "the daemon stopped during this poll"
        poll.errorHint = "poll again"
        try put(poll, now: now, in: transaction)
      }
    }
  }
}
