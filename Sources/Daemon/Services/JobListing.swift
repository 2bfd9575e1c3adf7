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

  func page(after position: JobPosition?) throws -> (jobs: [JobRecord], next: JobPosition?) {
    switch try position ?? start() {
    case .number(let id): try byNumber(after: id)
    case .line(let place): try pending(.line(place))
    case .delayed(let key): try pending(.delayed(key))
    case .ended(let end): try ended(before: end)
    }
  }

  private func start() throws -> JobPosition {
    if filter.states == [.pending] { return .line(nil) }
    // What is being cancelled is among those that ended only when that is carried out.
    let isWhole = try !filter.states.contains(.cancelled) || queue.openCancellationCount() == 0
    if !filter.states.isEmpty && filter.states.allSatisfy(\.isFinal) && isWhole { return .ended(nil) }
    return .number(filter.after)
  }

  private func byNumber(after id: UInt64) throws -> (jobs: [JobRecord], next: JobPosition?) {
    let after = max(id, filter.after)
    let jobs: [JobRecord]
    if !filter.states.isEmpty && filter.states.isSubset(of: [.inProgress, .parsingResults]) {
      // They are few, however many jobs there are.
      let running = try queue.leases().keys.filter { $0 > after && $0 <= filter.last }.sorted()
      jobs = try running.compactMap { try queue.job($0) }.filter(filter.matches)
    } else {
      jobs = try queue.jobs(after: after, through: filter.last, limit: size + 1, where: filter.matches)
    }
    return (Array(jobs.prefix(size)), jobs.count > size ? .number(jobs[size - 1].id) : nil)
  }

  /// First what may run, then what backs off.
  private func pending(_ position: JobPosition) throws -> (jobs: [JobRecord], next: JobPosition?) {
    var found: [JobRecord] = []
    var position = position
    for _ in 0..<Self.stepsMaximum {
      let room = size - found.count
      switch position {
      case .line(let place):
        let (jobs, next) = try queue.line(after: place, of: filter.integration, limit: room)
        found += jobs.filter(filter.matches)
        position = next.map { .line($0) } ?? .delayed(nil)
      case .delayed(let key):
        let jobs = try queue.delayed(after: key, of: filter.integration, limit: room)
        found += jobs.filter(filter.matches)
        guard let last = jobs.last, jobs.count == room else { return (found, nil) }
        position = .delayed(DelayedKey(notBefore: last.notBefore, job: last.id))
      case .number, .ended: return (found, nil)
      }
      if found.count == size { break }
    }
    return (found, position)
  }

  /// The ends of several states, as one list.
  private func ended(before end: JobPosition.End?) throws -> (jobs: [JobRecord], next: JobPosition?) {
    var found: [JobRecord] = []
    // No further than the state that was looked at the least: others may have more of the same time.
    var horizon: JobPosition.End?
    for state in filter.states {
      let before = end.map { EndedKey(state: state, endedAt: $0.time, job: $0.job) }
      let (jobs, next) = try queue.ended(state, before: before, limit: size, where: filter.matches)
      found += jobs
      if let next {
        horizon = max(horizon ?? .first, JobPosition.End(time: Int64(clamping: next.endedAt), job: next.job))
      }
    }
    found.sort { JobPosition.End($0) > JobPosition.End($1) }
    if let horizon { found.removeAll { JobPosition.End($0) < horizon } }
    guard found.count > size else { return (found, horizon.map { .ended($0) }) }
    return (Array(found.prefix(size)), .ended(JobPosition.End(found[size - 1])))
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
