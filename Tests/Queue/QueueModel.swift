import Queue
import StorageMessages
import Store

/// The queue as its rules tell it, without tables.
struct QueueModel {
  struct Job {
    let id: UInt64
    let image: ImageKey
    let poll: UInt64
    var priority: JobQueue.Priority
    var sequence: UInt64
    var state = JobState.pending
    var attempt: UInt32 = 0
    var interruptions: UInt32 = 0
    var notBefore: Int64 = 0
    /// In line; a job that backs off comes into line when somebody asks for work after its time.
    var isReady = true
    var lease: UInt64 = 0
    var code = ""
    /// Of the attempts, the newest last.
    var outcomes: [AttemptOutcome] = []

    mutating func end(_ state: JobState, _ outcome: AttemptOutcome, code: String) {
      if lease != 0 { outcomes[outcomes.count - 1] = outcome }
      self.state = state
      self.code = code
      lease = 0
      notBefore = 0
      isReady = false
    }

    mutating func putBack(_ outcome: AttemptOutcome, notBefore: Int64) {
      outcomes[outcomes.count - 1] = outcome
      state = .pending
      lease = 0
      self.notBefore = notBefore
      isReady = notBefore == 0
    }
  }

  var jobs: [UInt64: Job] = [:]
  var active: [ImageKey: UInt64] = [:]
  /// 0: the whole queue.
  var paused: Set<UInt64> = []
  private var nextSequence: UInt64 = 1

  mutating func enqueue(_ id: UInt64, _ image: ImageKey, _ priority: JobQueue.Priority, poll: UInt64) {
    jobs[id] = Job(id: id, image: image, poll: poll, priority: priority, sequence: nextSequence)
    nextSequence += 1
    active[image] = id
  }

  /// Jobs in line, in order.
  var line: [Job] {
    jobs.values.filter { $0.state == .pending && $0.isReady }
      .sorted { ($0.priority.rawValue, $0.sequence) < ($1.priority.rawValue, $1.sequence) }
  }

  mutating func lease(at now: Int64, gate: (UInt64) -> JobQueue.Gate) -> UInt64? {
    for (id, job) in jobs where job.state == .pending && job.notBefore <= now { jobs[id]?.isReady = true }
    if paused.contains(0) { return nil }
    let next = line.first { job in
      if paused.contains(job.image.integration) { return false }
      switch gate(job.image.integration) {
      case .open: return true
      case .peopleOnly: return job.priority == .person
      case .closed: return false
      }
    }
    return next?.id
  }

  mutating func start(_ id: UInt64, lease: UInt64) {
    jobs[id]?.state = .inProgress
    jobs[id]?.attempt += 1
    jobs[id]?.notBefore = 0
    jobs[id]?.isReady = false
    jobs[id]?.lease = lease
    jobs[id]?.outcomes.append(.running)
    // What went wrong before stays visible until the attempt has ended.
  }

  mutating func finish(_ id: UInt64) {
    jobs[id]?.end(.finished, .finished, code: "")
    jobs[id]?.interruptions = 0
    close(id)
  }

  mutating func fail(_ id: UInt64, code: String) {
    jobs[id]?.end(.error, .failed, code: code)
    close(id)
  }

  mutating func giveBack(_ id: UInt64, notBefore: Int64, isTimeout: Bool, code: String) {
    guard let job = jobs[id] else { return }
    jobs[id]?.interruptions = 0
    if job.attempt == JobQueue.attemptsMaximum {
      jobs[id]?.end(.error, isTimeout ? .timedOut : .failed, code: code)
      close(id)
    } else {
      jobs[id]?.putBack(isTimeout ? .timedOut : .retried, notBefore: notBefore)
      jobs[id]?.code = code
      guard isTimeout else { return }
      jobs[id]?.sequence = nextSequence
      nextSequence += 1
    }
  }

  mutating func interrupt(_ id: UInt64) {
    jobs[id]?.interruptions += 1
    if jobs[id]?.interruptions == JobQueue.interruptionsMaximum {
      jobs[id]?.end(.error, .interrupted, code: "INTERRUPTED")
      close(id)
    } else {
      jobs[id]?.attempt -= 1
      jobs[id]?.putBack(.interrupted, notBefore: 0)
    }
  }

  mutating func cancel(_ id: UInt64) {
    jobs[id]?.end(.cancelled, .cancelled, code: "CANCELLED")
    close(id)
  }

  mutating func retry(_ id: UInt64) {
    guard let job = jobs[id] else { return }
    jobs[id]?.state = .pending
    jobs[id]?.attempt = 0
    jobs[id]?.interruptions = 0
    jobs[id]?.code = ""
    jobs[id]?.priority = .person
    jobs[id]?.isReady = true
    jobs[id]?.sequence = nextSequence
    nextSequence += 1
    active[job.image] = id
  }

  /// It stays when what was pending is cancelled, and is behind that should it come back.
  mutating func spare(_ id: UInt64) {
    jobs[id]?.sequence = nextSequence
    nextSequence += 1
  }

  private mutating func close(_ id: UInt64) {
    if let image = jobs[id]?.image { active[image] = nil }
  }

  /// Ids of a selection's jobs, in order.
  func matching(_ selection: JobQueue.Selection, states: Set<JobState>) -> [UInt64] {
    jobs.values
      .filter { job in
        states.contains(job.state) && (selection.integration.map { job.image.integration == $0 } ?? true)
          && (selection.poll.map { job.poll == $0 } ?? true) && job.image.repository.hasPrefix(selection.repository)
          && (selection.errorCodes.isEmpty || selection.errorCodes.contains(job.code))
      }
      .map(\.id).sorted()
  }
}
