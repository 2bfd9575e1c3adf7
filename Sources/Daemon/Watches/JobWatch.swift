import API
import Pipeline
import Posix
import Queue
import RPC
import StorageMessages
import Store

/// One `WatchJobs`: the jobs that match as they stand, then each state that one of them reaches, in order and once, and
/// between them how far those that run have come. Of the states that the watcher named no more than these are told, and
/// the one that a job leaves them for.
struct JobWatch {
  /// Between two messages of the progress of one job.
  private static let progressInterval = Duration.milliseconds(250)

  let reader: EventReader
  let queue: JobQueue
  let describer: JobDescriber
  let filter: JobFilter
  /// The poll whose jobs are watched, if that was asked for.
  let poll: PollKey?
  let untilEnded: Bool
  let responses: ResponseStream<WatchJobsResponse>

  /// A job that runs, as it was last told.
  private struct Running {
    var job: JobRecord
    let integration: String
    var told: ScanProgress.Counts?
  }

  private var running: [UInt64: Running] = [:]
  /// Jobs that were asked for and, as the watcher knows, have not ended. All of them once `position` has passed the end of
  /// the snapshot, unless that was of running jobs alone.
  private var open = JobIDSet()
  private var isPollOver = true
  private var position: UInt64 = 0
  /// The instants at which the snapshot's parts were read: jobs up to an id, and the newest event of then.
  private var parts: [(through: UInt64, sequence: UInt64)] = []
  /// The jobs that the snapshot was about; nil for all.
  private var snapshotIDs: Set<UInt64>?
  private var nextProgress = ContinuousClock.now

  init(
    reader: EventReader, queue: JobQueue, describer: JobDescriber, filter: JobFilter, poll: PollKey?, untilEnded: Bool,
    responses: ResponseStream<WatchJobsResponse>
  ) {
    self.reader = reader
    self.queue = queue
    self.describer = describer
    self.filter = filter
    self.poll = poll
    self.untilEnded = untilEnded
    self.responses = responses
  }

  mutating func run() async throws {
    do {
      try await tellSnapshot()
      while !isOver {
        let events = try await reader.next(after: position)
        for (sequence, event) in events { try await take(event, sequence) }
        try await tellProgress()
        if events.isEmpty && !isOver {
          try await reader.feed.wait(above: position, atMost: running.isEmpty ? nil : Self.progressInterval)
        }
      }
    } catch is StateStore.EventsGone {
      throw RPCError(
        .aborted, reason: "WATCH_BEHIND", "so much has happened that the watch cannot go on", hint: "watch again")
    }
  }

  private var snapshotEnd: UInt64 { parts.last?.sequence ?? 0 }

  private var isOver: Bool { untilEnded && open.isEmpty && isPollOver && position >= snapshotEnd }

  // MARK: - What stands

  private mutating func tellSnapshot() async throws {
    let start = try await reader.thread.run { [store = reader.store, poll] in
      try store.read { transaction in
        (
          sequence: try StateStore.eventRange(in: transaction).newest,
          isPollOver: try poll.map { try transaction.get(StateStore.polls, $0)?.isEnded ?? true } ?? true
        )
      }
    }
    position = start.sequence
    isPollOver = start.isPollOver
    var ids = filter.ids
    if ids.isEmpty && filter.isOfRunning && !untilEnded {
      // They are few, however many jobs there are. One that begins after this look is told by its event.
      ids = try await reader.thread.run { [queue] in try queue.leases().keys.sorted() }
      snapshotIDs = Set(ids)
    }
    var after = filter.after
    while after < .max {
      if snapshotIDs?.isEmpty == true { break }
      let page = try await reader.thread.run { [queue, filter, after, ids] in
        try queue.page(after: after, ids: ids, where: filter.concerns)
      }
      for (job, integration) in page.jobs {
        if !job.state.isFinal { open.insert(job.id) }
        if filter.shows(job.state) { try await tell(job, integration, isPast: true) }
      }
      after = page.through
      parts.append((page.through, page.sequence))
    }
    var end = WatchJobsResponse()
    end.snapshotComplete = true
    try await responses.sendWhenReady(end)
  }

  /// Whether the snapshot told of a job as it was after this event.
  private func isInSnapshot(_ job: UInt64, _ sequence: UInt64) -> Bool {
    guard sequence <= snapshotEnd, snapshotIDs?.contains(job) ?? true else { return false }
    return parts.first { job <= $0.through }.map { sequence <= $0.sequence } ?? false
  }

  // MARK: - What changes

  private mutating func take(_ event: EventRecord, _ sequence: UInt64) async throws {
    position = sequence
    if let poll, event.pollId == poll.poll, event.integrationId == poll.integration,
      event.kind == EventKind.pollEnded.rawValue
    {
      isPollOver = true
    }
    guard let job = event.job, filter.concerns(job), !isInSnapshot(job.id, sequence) else { return }
    if job.state.isFinal {
      // The snapshot has told so of one that a cancellation covered before it was carried out.
      let isNews = open.contains(job.id)
      open.remove(job.id)
      guard isNews else { return }
    } else {
      // Also one that had ended, and is queued again.
      open.insert(job.id)
    }
    if filter.shows(job.state) || filter.shows(event.previousState) {
      try await tell(job, event.integration, isPast: sequence <= snapshotEnd)
    }
  }

  private mutating func tell(_ job: JobRecord, _ integration: String, isPast: Bool) async throws {
    let counts = describer.progress.counts(of: job.id)
    let isWatched = job.isRunning && filter.shows(job.state)
    running[job.id] = isWatched ? Running(job: job, integration: integration, told: counts) : nil
    var response = WatchJobsResponse()
    response.job = try describer.describe(job, integration: integration)
    // The client sets the pace for what is past; one that does not keep up with the present loses its stream.
    if isPast { try await responses.sendWhenReady(response) } else { try responses.send(response) }
  }

  private mutating func tellProgress() async throws {
    guard !running.isEmpty, ContinuousClock.now >= nextProgress else { return }
    nextProgress = .now + Self.progressInterval
    for (id, var entry) in running {
      guard let counts = describer.progress.counts(of: id), counts != entry.told else { continue }
      // The totals are known only after the job has begun, and that is no event.
      if let now = try queue.job(id), now.lease == entry.job.lease {
        entry.job.bytesTotal = now.bytesTotal
        entry.job.layersTotal = now.layersTotal
        entry.job.layersKnown = now.layersKnown
      }
      entry.told = counts
      running[id] = entry
      var response = WatchJobsResponse()
      response.job = try describer.describe(entry.job, integration: entry.integration)
      try responses.send(response)
    }
  }
}
