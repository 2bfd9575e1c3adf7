import StorageMessages

/// Where the schedules of automatic integrations stand.
extension StateStore {
  /// Automatic integrations that are not being removed, each with where its schedule stands; nil where nothing says so.
  package func schedules() throws -> [(integration: IntegrationRecord, state: ScheduleStateRecord?)] {
    try read { transaction in
      var found: [(IntegrationRecord, ScheduleStateRecord?)] = []
      try transaction.scan(Self.integrations) { id, record in
        if record.isAutomatic && !record.deleting {
          found.append((record, try transaction.get(Self.scheduleStates, id)))
        }
        return true
      }
      return found
    }
  }

  package func scheduleState(of integration: UInt64) throws -> ScheduleStateRecord? {
    try read { try $0.get(Self.scheduleStates, integration) }
  }

  /// Keeps the schedule in step with an integration that is stored: one that is new or another begins now.
  func begin(
    _ record: IntegrationRecord, after old: IntegrationRecord?, now: Int64, in transaction: WriteTransaction
  ) throws {
    guard old?.isAutomatic != record.isAutomatic || old?.schedule != record.schedule else { return }
    if record.isAutomatic, let schedule = record.schedule {
      try transaction.put(Self.scheduleStates, record.id, ScheduleStateRecord(beginning: schedule, now: now))
    } else {
      try transaction.delete(Self.scheduleStates, record.id)
    }
  }

  /// Begins a schedule of which nothing was kept, if the integration still has it; returns where it stands.
  package func beginSchedule(of integration: UInt64, now: Int64) async throws -> ScheduleStateRecord? {
    try await write { transaction in
      guard let record = try transaction.get(Self.integrations, integration), record.isAutomatic,
        let schedule = record.schedule
      else { return nil }
      if let state = try transaction.get(Self.scheduleStates, integration), state.schedule == schedule.text {
        return state
      }
      let state = ScheduleStateRecord(beginning: schedule, now: now)
      try transaction.put(Self.scheduleStates, integration, state)
      return state
    }
  }

  /// Stores where a schedule stands. Throws `IntegrationError` when it is another by now, or the integration is going.
  func put(_ state: ScheduleStateRecord, of integration: UInt64, in transaction: WriteTransaction) throws {
    try Self.requireIntegration(integration, in: transaction)
    guard try transaction.get(Self.scheduleStates, integration)?.schedule == state.schedule else {
      throw IntegrationError.changed(try integrationName(integration, in: transaction))
    }
    try transaction.put(Self.scheduleStates, integration, state)
  }

  /// Records that a run was passed over while `poll` had not ended.
  package func passOver(
    _ integration: IntegrationRecord, _ state: ScheduleStateRecord, poll: PollRecord, detail: String, now: Int64
  ) async throws {
    try await write { [self] transaction in
      try put(state, of: integration.id, in: transaction)
      var event = EventRecord(.pollPassedOver, integration, time: now)
      event.pollId = poll.id
      event.state = poll.state.name
      event.detail = detail
      try append(event, in: transaction)
    }
  }

  /// Records that a run could not start. It stays due.
  package func recordUnstarted(_ integration: IntegrationRecord, detail: String, now: Int64) async throws {
    try await write { [self] transaction in
      try Self.requireIntegration(integration.id, in: transaction)
      var event = EventRecord(.pollNotStarted, integration, time: now)
      event.detail = detail
      try append(event, in: transaction)
    }
  }
}

extension ScheduleRecord {
  /// What tells it from another in `ScheduleStateRecord`.
  package var text: String { "\(kind) \(value) \(timezone)" }
}

extension ScheduleStateRecord {
  /// Of a schedule that begins: nothing is made up for the time before.
  package init(beginning schedule: ScheduleRecord, now: Int64) {
    self.init()
    self.schedule = schedule.text
    anchor = now
    handled = now
  }
}
