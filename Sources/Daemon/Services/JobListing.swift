import API
import Model
import Posix
import Queue
import Selection
import StorageMessages

/// One page of `ListJobs`, for the thread of long scans: pending jobs alone in the order in which they will run, those that
/// ended by their end, the newest first, others by their numbers.
struct JobListing: Sendable {
  /// Steps of some thousands of jobs that one page looks at; one that found too little goes on from there.
  private static let stepsMaximum = 8

  struct Filter: Sendable {
    var states: Set<StorageMessages.JobState> = []
    var integration: UInt64?
    var poll: UInt64?
    var repository: Selection.Pattern?
    /// Numbers among which jobs can match: above the first, up to the last.
    var after: UInt64 = 0
    var last = UInt64.max

    func matches(_ job: JobRecord) -> Bool {
      (states.isEmpty || states.contains(job.state)) && (integration.map { job.integrationId == $0 } ?? true)
        && (poll.map { job.pollId == $0 } ?? true)
        && (repository?.matches(repository: job.repository) ?? true)
    }
  }

  let queue: JobQueue
  let filter: Filter
  let size: Int

  /// What one request is given: a page that is short, with a place to go on, where few match. Between its steps others have
  /// their turn on the thread.
  func page(
    after position: JobPosition?, on reader: SerialThread
  ) async throws -> (jobs: [JobRecord], next: JobPosition?) {
    var found: [JobRecord] = []
    var position = position
    for _ in 0..<Self.stepsMaximum {
      try Task.checkCancellation()
      let (jobs, next) = try await reader.run { [position, room = size - found.count] in
        try step(after: position, room: room)
      }
      found += jobs
      position = next
      if next == nil || found.count == size { break }
    }
    return (found, position)
  }

  private func step(after position: JobPosition?, room: Int) throws -> (jobs: [JobRecord], next: JobPosition?) {
    switch try position ?? start() {
    case .number(let id): try byNumber(after: id, room: room)
    case .line(let place): try line(after: place, room: room)
    case .delayed(let key): try delayed(after: key, room: room)
    case .ended(let end): try ended(before: end, room: room)
    }
  }

  private func start() throws -> JobPosition {
    if filter.states == [.pending] { return .line(nil) }
    // What is being cancelled is among those that ended only when that is carried out.
    let isWhole = try !filter.states.contains(.cancelled) || queue.openCancellationCount() == 0
    if !filter.states.isEmpty && filter.states.allSatisfy(\.isFinal) && isWhole { return .ended(nil) }
    return .number(filter.after)
  }

  private func byNumber(after id: UInt64, room: Int) throws -> (jobs: [JobRecord], next: JobPosition?) {
    let after = max(id, filter.after)
    let jobs: [JobRecord]
    var next: UInt64?
    if !filter.states.isEmpty && filter.states.isSubset(of: [.inProgress, .parsingResults]) {
      // They are few, however many jobs there are.
      let running = try queue.leases().keys.filter { $0 > after && $0 <= filter.last }.sorted()
      jobs = try running.compactMap { try queue.job($0) }.filter(filter.matches)
    } else {
      (jobs, next) = try queue.jobs(after: after, through: filter.last, limit: room + 1, where: filter.matches)
    }
    return (Array(jobs.prefix(room)), (jobs.count > room ? jobs[room - 1].id : next).map { .number($0) })
  }

  /// First what may run, then what backs off.
  private func line(
    after place: JobQueue.LinePosition?, room: Int
  ) throws -> (jobs: [JobRecord], next: JobPosition?) {
    let (jobs, next) = try queue.line(after: place, of: filter.integration, limit: room)
    return (jobs.filter(filter.matches), next.map { .line($0) } ?? .delayed(nil))
  }

  private func delayed(after key: DelayedKey?, room: Int) throws -> (jobs: [JobRecord], next: JobPosition?) {
    let (jobs, next) = try queue.delayed(after: key, of: filter.integration, limit: room)
    return (jobs.filter(filter.matches), next.map { .delayed($0) })
  }

  /// The ends of several states, as one list.
  private func ended(before end: JobPosition.End?, room: Int) throws -> (jobs: [JobRecord], next: JobPosition?) {
    var found: [JobRecord] = []
    // No further than the state that was looked at the least: others may have more of the same time.
    var horizon: JobPosition.End?
    for state in filter.states {
      let before = end.map { EndedKey(state: state, endedAt: $0.time, job: $0.job) }
      let (jobs, next) = try queue.ended(state, before: before, limit: room, where: filter.matches)
      found += jobs
      if let next {
        horizon = max(horizon ?? .first, JobPosition.End(time: Int64(clamping: next.endedAt), job: next.job))
      }
    }
    found.sort { JobPosition.End($0) > JobPosition.End($1) }
    if let horizon { found.removeAll { JobPosition.End($0) < horizon } }
    guard found.count > room else { return (found, horizon.map { .ended($0) }) }
    return (Array(found.prefix(room)), .ended(JobPosition.End(found[room - 1])))
  }
}

/// Where a page of jobs goes on.
enum JobPosition: Sendable, Equatable {
  /// When a job ended, and its number.
  struct End: Sendable, Equatable, Comparable {
    static let first = End(time: 0, job: 0)
    let time: Int64
    let job: UInt64

    init(time: Int64, job: UInt64) {
      self.time = time
      self.job = job
    }

    init(_ job: JobRecord) { self.init(time: job.finishedAt, job: job.id) }

    static func < (left: End, right: End) -> Bool { (left.time, left.job) < (right.time, right.job) }
  }

  case number(UInt64)
  case line(JobQueue.LinePosition?)
  case delayed(DelayedKey?)
  case ended(End?)

  /// For page tokens.
  var text: String {
    switch self {
    case .number(let id): String(id)
    case .line(let place): "line" + (place.map { " \($0.priority) \($0.sequence)" } ?? "")
    case .delayed(let key): "delayed" + (key.map { " \($0.notBefore) \($0.job)" } ?? "")
    case .ended(let end): "ended" + (end.map { " \($0.time) \($0.job)" } ?? "")
    }
  }

  init(_ text: String) throws {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    let numbers = parts.dropFirst().compactMap { UInt64($0) }
    guard numbers.count == parts.count - 1, numbers.isEmpty || numbers.count == 2 else { throw Paging.malformed() }
    switch (parts[0], numbers.isEmpty) {
    case ("line", true): self = .line(nil)
    case ("delayed", true): self = .delayed(nil)
    case ("ended", true): self = .ended(nil)
    case ("line", false):
      guard let priority = UInt8(exactly: numbers[0]), numbers[1] < .max else { throw Paging.malformed() }
      self = .line(JobQueue.LinePosition(priority: priority, sequence: numbers[1]))
    case ("delayed", false):
      guard let instant = Int64(exactly: numbers[0]) else { throw Paging.malformed() }
      self = .delayed(DelayedKey(notBefore: instant, job: numbers[1]))
    case ("ended", false):
      guard let instant = Int64(exactly: numbers[0]) else { throw Paging.malformed() }
      self = .ended(End(time: instant, job: numbers[1]))
    default:
      guard parts.count == 1, let id = UInt64(parts[0]) else { throw Paging.malformed() }
      self = .number(id)
    }
  }
}
