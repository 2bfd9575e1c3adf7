import API
import Pipeline
import Posix
import Queue
import RPC
import StorageMessages
import Store

/// `tidewaiter.v1.Queue`: decodes, asks, encodes.
struct QueueHandler: QueueService {
  let store: StateStore
  let queue: JobQueue
  let poller: Poller
  let progress: ScanProgress
  let events: EventReader
  /// Long scans of tables run here, not on the RPC loop.
  let reader: SerialThread

  func listJobs(_ request: ListJobsRequest, _ context: CallContext) async throws -> ListJobsResponse {
    let states = try Self.states(request.states)
    var after: UInt64 = 0
    if !request.pageToken.isEmpty {
      guard let position = UInt64(try Paging.position(request.pageToken)) else { throw Paging.malformed() }
      after = position
    }
    let integration = request.integration.isEmpty ? nil : try store.integration(named: request.integration).id
    var last = UInt64.max
    if request.pollId != 0 {
      let poll = try poll(request.pollId, of: request.integration, id: integration)
      if poll.isEnded { last = poll.lastJobId }
      after = max(after, max(poll.firstJobId, 1) - 1)
    }
    let size = Paging.size(request.pageSize)
    return try await reader.run { [after, last] in
      let jobs = try queue.jobs(after: after, through: last, limit: size + 1) { job in
        (states.isEmpty || states.contains(job.state.rawValue))
          && (integration.map { job.integrationId == $0 } ?? true)
          && (request.pollId == 0 || job.pollId == request.pollId)
      }
      var response = ListJobsResponse()
      response.jobs = try convert(Array(jobs.prefix(size)))
      if jobs.count > size { response.nextPageToken = Paging.token(String(jobs[size - 1].id)) }
      return response
    }
  }

  func getJob(_ request: GetJobRequest, _ context: CallContext) throws -> API.Job {
    guard let job = try queue.job(request.id), let converted = try convert([job]).first else {
      throw Self.unknown(request.id)
    }
    return converted
  }

  static func unknown(_ id: UInt64) -> RPCError {
    RPCError(.notFound, reason: "UNKNOWN_JOB", "no job \(id)", hint: "list them with: tidewaiter queue list")
  }

  /// The numbers of states that a request names.
  static func states(_ states: [API.JobState]) throws -> Set<Int32> {
    if let unknown = states.first(where: { !API.JobState.known.contains($0) || $0.rawValue == 0 }) {
      throw RPCError.invalidArgument([("states", "\(unknown.rawValue) is no state of a job")])
    }
    return Set(states.map(\.rawValue))
  }

  /// A poll that a request names beside its integration.
  func poll(_ poll: UInt64, of name: String, id integration: UInt64?) throws -> PollRecord {
    guard let integration else {
      throw RPCError.invalidArgument([("poll_id", "needs the integration it belongs to beside it")])
    }
    guard let record = try poller.poll(PollKey(integration: integration, poll: poll)) else {
      throw IntegrationsHandler.unknownPoll(poll, of: name)
    }
    return record
  }

  private func convert(_ jobs: [JobRecord]) throws -> [API.Job] {
    try store.read { transaction in
      var names: [UInt64: String] = [:]
      return try jobs.map { job in
        let name = try names[job.integrationId] ?? store.integrationName(job.integrationId, in: transaction)
        names[job.integrationId] = name
        return API.Job(job, integration: name, progress: progress.counts(of: job.id))
      }
    }
  }
}
