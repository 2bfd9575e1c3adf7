import API
import Model
import Pipeline
import Posix
import Queue
import RPC
import StorageMessages
import Store

/// The calls that go on until their client, what they watch, or the daemon ends.
extension IntegrationsHandler {
  func watchPoll(
    _ request: WatchPollRequest, _ responses: ResponseStream<API.Poll>, _ context: CallContext
  ) async throws {
    let record = try store.integration(named: request.integration)
    let key = PollKey(integration: record.id, poll: request.id)
    try await ProgressWatch(feed: store.feed, responses: responses).run {
      guard let poll = try poller.poll(key) else {
        throw Self.unknownPoll(key.poll, of: record.name)
      }
      return (API.Poll(poll, integration: record.name), isOver: poll.isEnded)
    }
  }
}

extension AdvisoriesHandler {
  func watchImport(
    _ request: WatchImportRequest, _ responses: ResponseStream<API.Import>, _ context: CallContext
  ) async throws {
    try await ProgressWatch(feed: imports.feed, responses: responses).run {
      let status = try status(request.id)
      return (status, isOver: status.state != .running)
    }
  }
}

extension QueueHandler {
  /// Ids that one watch may name.
  private static let idsMaximum = 10_000

  func watchJobs(
    _ request: WatchJobsRequest, _ responses: ResponseStream<WatchJobsResponse>, _ context: CallContext
  ) async throws {
    var filter = JobFilter()
    filter.states = try Self.states(request.states)
    filter.integration = request.integration.isEmpty ? nil : try store.integration(named: request.integration).id
    filter.ids = try await ids(request.jobIds)
    filter.after = max(filter.ids.first ?? 1, 1) - 1
    var key: PollKey?
    if request.pollId != 0 {
      let poll = try poll(request.pollId, of: request.integration, id: filter.integration)
      filter.poll = poll.id
      filter.after = max(filter.after, max(poll.firstJobId, 1) - 1)
      key = PollKey(integration: poll.integrationId, poll: poll.id)
    }
    var watch = JobWatch(
      reader: events, queue: queue, describer: describer, filter: filter, poll: key, untilEnded: request.untilEnded,
      responses: responses)
    try await watch.run()
  }

  private func ids(_ wanted: [UInt64]) async throws -> [UInt64] {
    guard wanted.count <= Self.idsMaximum else {
      throw RPCError.invalidArgument([("job_ids", "has \(wanted.count) ids; at most \(Self.idsMaximum)")])
    }
    if wanted.isEmpty { return [] }
    // So many look-ups are nothing for the RPC loop.
    return try await events.thread.run { [queue] in
      let ids = Set(wanted).sorted()
      for id in ids where try queue.job(id) == nil { throw Self.unknown(id) }
      return ids
    }
  }
}

extension SystemHandler {
  func cancel(_ request: CancelRequest, _ context: CallContext) async throws -> CancelResponse {
    var response = CancelResponse()
    response.found = await context.cancelStream(request.streamId)
    return response
  }

  func watchEvents(
    _ request: WatchEventsRequest, _ responses: ResponseStream<API.Event>, _ context: CallContext
  ) async throws {
    try await EventWatch(reader: events, request: request, responses: responses).run()
  }

  func getDescriptors(_ request: GetDescriptorsRequest, _ context: CallContext) async throws -> Descriptors {
    var response = Descriptors()
    response.version = Build.version
    response.fileDescriptorSet = ServedSchema.fileDescriptorSet
    response.methods = catalogue.methods.map { method in
      var description = MethodDescription()
      description.name = method.fullName
      description.role = Access.methods[method.fullName]?.name ?? ""
      description.serverStreaming = method.kind == .serverStreaming || method.kind == .bidirectional
      description.clientStreaming = method.kind == .clientStreaming || method.kind == .bidirectional
      return description
    }
    return response
  }
}
