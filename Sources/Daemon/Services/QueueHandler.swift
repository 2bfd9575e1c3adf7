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
  let control: QueueControl
  let scanner: Scanner
  let describer: JobDescriber
  let events: EventReader
  /// Long scans of tables run here, not on the RPC loop.
  let reader: SerialThread

  func listJobs(_ request: ListJobsRequest, _ context: CallContext) async throws -> ListJobsResponse {
    var filter = JobListing.Filter()
    filter.states = Set(try Self.states(request.states).map { StorageMessages.JobState(rawValue: $0) })
    filter.repository = try ImagesHandler.repositoryPattern(request.repository)
    filter.integration = request.integration.isEmpty ? nil : try store.integration(named: request.integration).id
    if request.pollId != 0 {
      let poll = try poll(request.pollId, of: request.integration, id: filter.integration)
      filter.poll = poll.id
      filter.after = max(poll.firstJobId, 1) - 1
      if poll.isEnded { filter.last = poll.lastJobId }
    }
    let position = request.pageToken.isEmpty ? nil : try JobPosition(Paging.position(request.pageToken))
    let listing = JobListing(queue: queue, filter: filter, size: Paging.size(request.pageSize))
    let page = try await listing.page(after: position, on: reader)
    return try await reader.run { [describer] in
      var response = ListJobsResponse()
      response.jobs = try describer.describe(page.jobs)
      response.nextPageToken = page.next.map { Paging.token($0.text) } ?? ""
      return response
    }
  }

  func getJob(_ request: GetJobRequest, _ context: CallContext) async throws -> API.Job {
    try await reader.run { [queue, describer] in
      guard let job = try queue.job(request.id), let described = try describer.describeWhole(job) else {
        throw Self.unknown(request.id)
      }
      return described
    }
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
}
