import Posix
import StorageMessages
import Store

/// Reading jobs. One that an open cancellation covers is shown as cancelled.
extension JobQueue {
  package func job(_ id: UInt64) throws -> JobRecord? {
    try store.read { transaction in
      guard let job = try transaction.get(QueueTables.jobs, id) else { return nil }
      return try openCancellations(in: transaction).view(job)
    }
  }

  /// Jobs in order of id above `after` up to `through` that satisfy `matches`, at most `limit`, and at most some thousands
  /// looked at: `next` is where to go on, nil at the end.
  package func jobs(
    after: UInt64, through last: UInt64 = .max, limit: Int, where matches: (JobRecord) -> Bool
  ) throws -> (jobs: [JobRecord], next: UInt64?) {
    guard after < last, limit > 0 else { return ([], nil) }
    return try store.read { transaction in
      let cancellations = try openCancellations(in: transaction)
      var found: [JobRecord] = []
      let next = try step(after: after, through: last, limit: Self.lookedAtMaximum, in: transaction) { job in
        let job = cancellations.view(job)
        if matches(job) { found.append(job) }
        return found.count < limit
      }
      return (found, next)
    }
  }

  /// Calls `body` for jobs in order of id above `after` up to `last`, until it returns false or `limit` were looked at.
  /// Returns where to go on, nil when there are no more.
  func step(
    after: UInt64, through last: UInt64, limit: Int, in transaction: ReadTransaction, _ body: (JobRecord) throws -> Bool
  ) throws -> UInt64? {
    let next = try transaction.step(QueueTables.jobs, after: after, limit: limit) { id, job in
      try id <= last && body(job)
    }
    return next.flatMap { $0 < last ? $0 : nil }
  }

  // MARK: - For who follows changes

  /// Jobs as they stood at one instant, with the newest event of that instant: what happened to them since is in the
  /// events after it.
  package struct Page: Sendable {
    package var jobs: [(job: JobRecord, integration: String)] = []
    /// The last id looked at; the highest number when there are no more.
    package var through: UInt64 = .max
    package var sequence: UInt64 = 0
    package init() {}
  }

  /// Most jobs looked at and most returned by one page, so that no reader holds on to its view for long.
  private static let lookedAtMaximum = 5_000
  private static let pageMaximum = 200

  /// The next jobs above `after` that `matches` takes: among `ids` (ascending) when there are any, else among all.
  package func page(after: UInt64, ids: [UInt64], where matches: (JobRecord) -> Bool) throws -> Page {
    try store.read { transaction in
      var page = Page()
      page.sequence = try StateStore.eventRange(in: transaction).newest
      guard after < .max else { return page }
      let cancellations = try openCancellations(in: transaction)
      func take(_ job: JobRecord) throws {
        let job = cancellations.view(job)
        guard matches(job) else { return }
        page.jobs.append((job, try store.integrationName(job.integrationId, in: transaction)))
      }
      guard ids.isEmpty else {
        for id in ids where id > after {
          if let job = try transaction.get(QueueTables.jobs, id) { try take(job) }
          if page.jobs.count == Self.pageMaximum {
            page.through = id
            return page
          }
        }
        return page
      }
      page.through =
        try step(after: after, through: .max, limit: Self.lookedAtMaximum, in: transaction) { job in
          try take(job)
          return page.jobs.count < Self.pageMaximum
        } ?? .max
      return page
    }
  }

  // MARK: - In line

  /// A place in the line of what may run.
  package struct LinePosition: Sendable, Hashable {
    package let priority: UInt8
    package let sequence: UInt64
    package init(priority: UInt8, sequence: UInt64) {
      self.priority = priority
      self.sequence = sequence
    }
    package init(_ job: JobRecord) {
      self.init(priority: UInt8(clamping: job.priority), sequence: job.sequence)
    }
  }

  /// Pending jobs that may run, in the order in which they are leased where nothing holds one back, after `after`; of all
  /// integrations or one. At most `limit`, and at most some thousands looked at: `next` is where to go on, nil at the end.
  package func line(
    after: LinePosition?, of integration: UInt64? = nil, limit: Int
  ) throws -> (jobs: [JobRecord], next: LinePosition?) {
    try store.read { transaction in
      let cancellations = try openCancellations(in: transaction)
      // The next of each integration; they are few.
      var heads: [UInt64: (position: LinePosition, job: UInt64)] = [:]
      func advance(_ integration: UInt64, past position: LinePosition?) throws {
        heads[integration] = nil
        let through = cancellations.wholeThrough(of: integration)
        var first = position.map {
          ReadyKey(integration: integration, priority: $0.priority, sequence: $0.sequence + 1)
        }
        repeat {
          var passedOver: ReadyKey?
          try transaction.scan(QueueTables.ready, prefix: { $0.append(integration) }, startingAt: first) { key, id in
            if key.sequence <= through {
              // All that is cancelled of one priority at once.
              passedOver = ReadyKey(integration: integration, priority: key.priority, sequence: through + 1)
            } else {
              heads[integration] = (LinePosition(priority: key.priority, sequence: key.sequence), id)
            }
            return false
          }
          first = passedOver
        } while first != nil
      }
      for each in try integration.map({ [$0] }) ?? waitingIntegrations(in: transaction) {
        try advance(each, past: after)
      }
      var found: [JobRecord] = []
      for lookedAt in 1... {
        guard
          let next = heads.min(by: {
            ($0.value.position.priority, $0.value.position.sequence)
              < ($1.value.position.priority, $1.value.position.sequence)
          })
        else { break }
        let position = next.value.position
        if let job = try transaction.get(QueueTables.jobs, next.value.job), cancellations.covering(job) == nil {
          found.append(job)
        }
        guard found.count < limit, lookedAt < Self.lookedAtMaximum else { return (found, position) }
        try advance(next.key, past: position)
      }
      return (found, nil)
    }
  }

  /// Pending jobs that back off, the soonest first, after the job of `position`. At most `limit`, and at most some thousands
  /// looked at: `next` is where to go on, nil at the end.
  package func delayed(
    after position: DelayedKey? = nil, of integration: UInt64? = nil, limit: Int
  ) throws -> (jobs: [JobRecord], next: DelayedKey?) {
    try store.read { transaction in
      let cancellations = try openCancellations(in: transaction)
      var found: [JobRecord] = []
      let next = try transaction.step(QueueTables.delayed, after: position, limit: Self.lookedAtMaximum) { key, _ in
        if let job = try transaction.get(QueueTables.jobs, key.job), cancellations.covering(job) == nil,
          integration.map({ job.integrationId == $0 }) ?? true
        {
          found.append(job)
        }
        return found.count < limit
      }
      return (found, next)
    }
  }

  /// How many jobs are leased before this one where nothing holds one back, itself included: 1 is next. 0 for one that does
  /// not wait in line. Those that are being cancelled by poll or repository count until that is carried out. Looks at every
  /// key before it: not for a thread that others wait for.
  package func position(of job: JobRecord) throws -> UInt64 {
    try store.read { transaction in
      guard job.state == .pending, try transaction.get(QueueTables.ready, job.readyKey) == job.id else { return 0 }
      let cancellations = try openCancellations(in: transaction)
      let own = UInt8(clamping: job.priority)
      var ahead: UInt64 = 1
      for integration in try waitingIntegrations(in: transaction) {
        let through = cancellations.wholeThrough(of: integration)
        for priority in 0...own {
          let end: (UInt8, UInt64) = priority == own ? (own, job.sequence) : (priority + 1, 0)
          ahead += UInt64(
            try transaction.count(
              QueueTables.ready, from: ReadyKey(integration: integration, priority: priority, sequence: through + 1),
              before: ReadyKey(integration: integration, priority: end.0, sequence: end.1)))
        }
      }
      return ahead
    }
  }

  /// Integrations that have a job in line.
  func waitingIntegrations(in transaction: ReadTransaction) throws -> [UInt64] {
    var found: [UInt64] = []
    var from: ReadyKey?
    while true {
      var next: UInt64?
      try transaction.scan(QueueTables.ready, from: from) { key, _ in
        next = key.integration
        return false
      }
      guard let next else { return found }
      found.append(next)
      guard next < .max else { return found }
      from = ReadyKey(integration: next + 1, priority: 0, sequence: 0)
    }
  }

  /// Jobs in a final state, the newest end first, that satisfy `matches`; those that an open cancellation covers are not
  /// among them yet. At most `limit`, and at most some thousands looked at: `next` is where to go on, nil at the end.
  package func ended(
    _ state: JobState, before: EndedKey?, limit: Int, where matches: (JobRecord) -> Bool
  ) throws -> (jobs: [JobRecord], next: EndedKey?) {
    try store.read { transaction in
      var found: [JobRecord] = []
      var next: EndedKey?
      var lookedAt = 0
      let last = before ?? EndedKey(state: state, endedAt: .max, job: .max)
      try transaction.scanBackwards(QueueTables.ended, from: last) { key, _ in
        guard key.state == last.state else { return false }
        if key == before { return true }
        if let job = try transaction.get(QueueTables.jobs, key.job), matches(job) { found.append(job) }
        lookedAt += 1
        guard found.count < limit, lookedAt < Self.lookedAtMaximum else {
          next = key
          return false
        }
        return true
      }
      return (found, next)
    }
  }
}
