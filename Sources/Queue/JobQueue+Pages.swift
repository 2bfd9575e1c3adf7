import StorageMessages
import Store

extension JobQueue {
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
      func take(_ job: JobRecord) throws {
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
      var lookedAt = 0
      try transaction.scan(QueueTables.jobs, from: after + 1) { id, job in
        try take(job)
        lookedAt += 1
        guard page.jobs.count < Self.pageMaximum, lookedAt < Self.lookedAtMaximum else {
          page.through = id
          return false
        }
        return true
      }
      return page
    }
  }
}
