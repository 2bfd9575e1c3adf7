import API
import Model
import Pipeline
import Posix
import Queue
import StorageMessages
import Store

/// Says of jobs what their records do not: whose they are, how far they have come, how long they may run, and what those
/// wait for that do not run.
struct JobDescriber: Sendable {
  let store: StateStore
  let queue: JobQueue
  let progress: ScanProgress
  let clock: WallClock

  /// Jobs as clients see them, in their order.
  func describe(_ jobs: [JobRecord]) throws -> [API.Job] {
    if jobs.isEmpty { return [] }
    let now = clock.now
    let pauses = try queue.pauses()
    var integrations: [UInt64: IntegrationRecord] = [:]
    for id in Set(jobs.map(\.integrationId)) { integrations[id] = try store.integration(id: id) }
    return jobs.map { job in
      let integration = integrations[job.integrationId]
      var described = API.Job(
        job, integration: integration?.name ?? "", progress: job.isRunning ? progress.counts(of: job.id) : nil,
        limit: integration?.scanTimeLimit, now: now)
      if job.state == .pending {
        let wait = wait(of: job, integration, pauses, now)
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
    described.attempts = try queue.attempts(of: job.id).map { API.Attempt($0.record, number: $0.number) }
    if job.state == .pending { described.position = try queue.position(of: job) }
    return described
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
    _ now: Int64
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
    return ("in_line", "")
  }

  /// To the second.
  private static func time(_ nanoseconds: Int64) -> String {
    Model.Timestamp(seconds: Model.Timestamp(nanosecondsSince1970: nanoseconds).seconds).description
  }
}

extension IntegrationRecord {
  var scanTimeLimit: Duration { .seconds(Int64(scanTimeoutSeconds)) }
}
