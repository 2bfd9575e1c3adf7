import StorageMessages
import Store

/// Proof, again and again, that every job which has not ended has an owner: a place in line, an instant to wait for, or a
/// lease. No way is known for one to have none; a defect that made one would leave it there for ever.
extension JobQueue {
  /// A job without an owner, or with more than one.
  package struct Orphan: Sendable, Equatable {
    package let job: UInt64
    package let image: ImageKey
    package let problem: String
  }

  /// Looks at the next jobs that have not ended, in order of their images after `position`. `next` is nil at the end.
  package func orphans(
    after position: ImageKey?, limit: Int
  ) throws -> (found: [Orphan], next: ImageKey?) {
    try store.read { transaction in
      var found: [Orphan] = []
      let next = try transaction.step(QueueTables.active, after: position, limit: limit) { image, id in
        if let problem = try problem(of: id, image, in: transaction) {
          found.append(Orphan(job: id, image: image, problem: problem))
        }
        return true
      }
      return (found, next)
    }
  }

  private func problem(of id: UInt64, _ image: ImageKey, in transaction: ReadTransaction) throws -> String? {
    guard let job = try transaction.get(QueueTables.jobs, id) else { return "it is not in table jobs" }
    if job.state.isFinal { return "it has ended as \(job.state.name)" }
    if job.imageKey != image { return "it is of another image" }
    let isReady = try transaction.get(QueueTables.ready, job.readyKey) == id
    let isDelayed =
      try transaction.get(QueueTables.delayed, DelayedKey(notBefore: job.notBefore, job: id)) != nil
    let lease = try transaction.get(QueueTables.running, id)
    switch (job.state, isReady, isDelayed, lease) {
    case (.pending, true, false, nil), (.pending, false, true, nil): return nil
    case (.inProgress, false, false, job.lease?), (.parsingResults, false, false, job.lease?): return nil
    default:
      let places = [isReady ? "in line" : nil, isDelayed ? "backing off" : nil, lease.map { "leased (\($0))" }]
      let named = places.compactMap { $0 }.joined(separator: " and ")
      return "it is \(job.state.name), and \(named.isEmpty ? "nowhere" : named)"
    }
  }

  /// Puts orphans back into line, once more than looked at: what is in order by now stays. Returns those that were not.
  package func adopt(_ orphans: [Orphan]) async throws -> [Orphan] {
    try await store.write { transaction in
      try orphans.filter { orphan in
        guard try transaction.get(QueueTables.active, orphan.image) == orphan.job,
          try problem(of: orphan.job, orphan.image, in: transaction) != nil
        else { return false }
        guard var job = try transaction.get(QueueTables.jobs, orphan.job), !job.state.isFinal,
          job.imageKey == orphan.image
        else {
          try transaction.delete(QueueTables.active, orphan.image)
          return true
        }
        try takeFromLine(job, in: transaction)
        try transaction.delete(QueueTables.running, job.id)
        var previous = job.state
        if previous != .pending {
          try record(.interrupted, nil, Progress(), of: job, in: transaction)
          previous = try change(&job, .giveBack, in: transaction)
          // What was pending when a selection was cancelled is counted already; this was not.
          job.sequence = try transaction.take("next_sequence")
        }
        job.lease = 0
        job.notBefore = 0
        try put(job, .jobChanged, from: previous, in: transaction)
        try placeInLine(job, in: transaction)
        return true
      }
    }
  }

  /// Returns leases that no attempt of this process holds, by job, as those of a dead process are; returns their jobs.
  package func returnLost(_ leases: [UInt64: UInt64]) async throws -> [UInt64] {
    try await store.write { transaction in
      try leases.keys.sorted().filter { id in
        guard let lease = leases[id], try transaction.get(QueueTables.running, id) == lease,
          var job = try transaction.get(QueueTables.jobs, id), job.lease == lease, !job.state.isFinal
        else { return false }
        try interrupt(&job, Progress(), in: transaction)
        return true
      }
    }
  }
}
