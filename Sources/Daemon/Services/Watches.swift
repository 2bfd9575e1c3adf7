import API
import RPC

/// The calls that stream, before anything feeds them: each answers UNIMPLEMENTED.
extension IntegrationsHandler {
  func watchPoll(_ request: WatchPollRequest, _ responses: ResponseStream<API.Poll>, _ context: CallContext)
    async throws
  {
    throw RPCError(.unimplemented, "method WatchPoll")
  }
}

extension QueueHandler {
  func watchJobs(
    _ request: WatchJobsRequest, _ responses: ResponseStream<WatchJobsResponse>, _ context: CallContext
  ) async throws {
    throw RPCError(.unimplemented, "method WatchJobs")
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
    throw RPCError(.unimplemented, "method WatchEvents")
  }

  func getDescriptors(_ request: GetDescriptorsRequest, _ context: CallContext) async throws -> Descriptors {
    throw RPCError(.unimplemented, "method GetDescriptors")
  }
}
