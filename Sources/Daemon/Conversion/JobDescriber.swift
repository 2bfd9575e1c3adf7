import API
import Model
import Pipeline
import Posix
import Queue
import StorageMessages
import Store
import Zones

/// Says of jobs what their records do not: whose they are, how far they have come, how long they may run, and what those
/// wait for that do not run.
struct JobDescriber: Sendable {
  let store: StateStore
  let queue: JobQueue
  let progress: ScanProgress
  let scanner: Scanner
  let clock: WallClock

  /// Jobs as clients see them, in their order.
  func describe(_ jobs: [JobRecord]) throws -> [API.Job] {
    if jobs.isEmpty { return [] }
    let now = clock.now
    let pauses = try queue.pauses()
    let load = scanner.load
    var integrations: [UInt64: IntegrationRecord] = [:]
    // One that is being removed has a name still.
    var names: [UInt64: String] = [:]
    for id in Set(jobs.map(\.integrationId)) {
      integrations[id] = try store.integration(id: id)
      names[id] = try store.read { try store.integrationName(id, in: $0) }
    }
    return jobs.map { job in
      let integration = integrations[job.integrationId]
      var described = API.Job(
        job, integration: names[job.integrationId] ?? "", progress: job.isRunning ? progress.counts(of: job.id) : nil,
        limit: integration?.scanTimeLimit, now: now)
      if job.state == .pending {
        let wait = wait(of: job, integration, pauses, load, now)
        described.waitReason = wait.reason
        described.waitDetail = wait.detail
      }
      return described
    }
  }

  /// A job that is followed; `integration` is its integration's name, which may be gone by now.
  func describe(_ job: JobRecord, integration: String) throws -> API.Job {
    guard job.isRunning else { return API.Job(job, integration: integration, progress: nil) }
    return API.Job(
      job, integration: integration, progress: progress.counts(of: job.id),
      limit: try store.integration(id: job.integrationId)?.scanTimeLimit, now: clock.now)
  }

  /// One job in full.
  func describeWhole(_ job: JobRecord) throws -> API.Job? {
    guard var described = try describe([job]).first else { return nil }
    described.attempts = try queue.attempts(of: job.id).map { number, record in
      var attempt = API.Attempt(record, number: number)
      // How far one has come is written down at its end.
      if record.outcome == .running && record.lease == job.lease { attempt.takeProgress(of: described) }
      return attempt
    }
    let integration = try store.integration(id: job.integrationId)
    let estimates = estimates(of: integration)
    switch job.state {
    case .pending:
      described.position = try queue.position(of: job)
      let start = estimates.start(position: described.position)
      // Nobody knows when a pause ends.
      if described.waitReason == "in_line" || described.waitReason == "integration_busy" {
        described.estimatedStartAt = start.flatMap { API.Timestamp(nanoseconds: $0) }
      } else if described.waitReason == "backing_off" {
        described.estimatedStartAt = API.Timestamp(nanoseconds: job.notBefore)
      }
      let begin = described.estimatedStartAt.map { Model.Timestamp(seconds: $0.seconds).nanosecondsSince1970 }
      described.estimatedEndAt = estimates.end(startingAt: begin).flatMap { API.Timestamp(nanoseconds: $0) }
    case .inProgress, .parsingResults:
      let end = estimates.end(
        startedAt: job.startedAt, done: described.bytesFetched, total: job.bytesTotal,
        limit: integration?.scanTimeLimit)
      described.estimatedEndAt = end.flatMap { API.Timestamp(nanoseconds: $0) }
    default: break
    }
    return described
  }

  /// By the scans of one integration where it had any, else by all.
  func estimates(of integration: IntegrationRecord?) -> ScanEstimates {
    let load = scanner.load
    let mean =
      integration.flatMap { scanner.throughput(of: $0.id).meanDuration } ?? scanner.throughput().meanDuration
    return ScanEstimates(now: clock.now, mean: mean, slots: load.slots, running: load.running - load.stalled)
  }

  /// What is paused: the whole queue first, then integrations by their names.
  func pauses() throws -> [API.QueuePause] {
    let pauses = try queue.pauses()
    return try store.read { transaction in
      try pauses.map { integration, record in
        API.QueuePause(
          record, integration: integration == 0 ? "" : try store.integrationName(integration, in: transaction))
      }
    }
    .sorted { $0.integration < $1.integration }
  }

  private func wait(
    of job: JobRecord, _ integration: IntegrationRecord?, _ pauses: [(integration: UInt64, record: PauseRecord)],
    _ load: Scanner.Load, _ now: Int64
  ) -> (reason: String, detail: String) {
    func detail(of pause: PauseRecord) -> String {
      "since \(Self.time(pause.since))"
        + (pause.actor.isEmpty ? "" : " by \(pause.actor)") + (pause.reason.isEmpty ? "" : ": \(pause.reason)")
    }
    if let pause = pauses.first(where: { $0.integration == 0 })?.record {
      return ("queue_paused", detail(of: pause))
    }
    if let pause = pauses.first(where: { $0.integration == job.integrationId })?.record {
      return ("integration_paused", detail(of: pause))
    }
    if job.notBefore > now {
      return ("backing_off", "until \(Self.time(job.notBefore)), after \(job.errorCode)")
    }
    do throws(ZoneError) {
      let isWished = job.priority == UInt32(JobQueue.Priority.person.rawValue)
      switch try integration.flatMap({ record throws(ZoneError) in try scanner.hold(of: record, isWished: isWished) }) {
      case .busy(let running):
        return (
          "integration_busy",
          running == 1 ? "one of its images is being scanned" : "\(running) of its images are being scanned"
        )
      case .quiet(let end): return ("quiet_hours", "until \(Self.time(end)); what a person asks for does not wait")
      case nil: break
      }
    } catch {
      return ("quiet_hours", "the node's time cannot be told: \(error)")
    }
    let isFull = load.running - load.stalled >= load.slots
    return ("in_line", isFull ? "all \(load.slots) scanner slots are busy" : "")
  }

  /// To the second.
  private static func time(_ nanoseconds: Int64) -> String {
    Model.Timestamp(seconds: Model.Timestamp(nanosecondsSince1970: nanoseconds).seconds).description
  }
}

extension IntegrationRecord {
  var scanTimeLimit: Duration { .seconds(Int64(scanTimeoutSeconds)) }
}
