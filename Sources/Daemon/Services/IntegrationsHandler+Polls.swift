import API
import Model
import Pipeline
import Posix
import RPC
import StorageMessages
import Store

/// Polls, and what all of them have found.
extension IntegrationsHandler {
  func pollIntegration(_ request: PollIntegrationRequest, _ context: CallContext) async throws -> API.Poll {
    let record = try store.integration(named: request.name)
    return API.Poll(try await poller.start(record, actor: context.peer.actor), integration: record.name)
  }

  func getPoll(_ request: GetPollRequest, _ context: CallContext) throws -> API.Poll {
    let record = try store.integration(named: request.integration)
    guard let poll = try poller.poll(PollKey(integration: record.id, poll: request.id)) else {
      throw Self.unknownPoll(request.id, of: record.name)
    }
    return API.Poll(poll, integration: record.name)
  }

  func cancelPoll(_ request: CancelPollRequest, _ context: CallContext) async throws -> API.Poll {
    let record = try store.integration(named: request.integration)
    if let poll = try await poller.cancel(record.id, poll: request.id, by: context.peer.actor) {
      return API.Poll(poll, integration: record.name)
    }
    guard request.id != 0 else {
      throw RPCError(
        .failedPrecondition, reason: "NO_POLL", "no poll of \(record.name) runs or is suspended",
        hint: "see how the last one ended with: tidewaiter integration polls \(record.name)")
    }
    // One that has ended by itself meanwhile stays as it is.
    guard let ended = try poller.poll(PollKey(integration: record.id, poll: request.id)) else {
      throw Self.unknownPoll(request.id, of: record.name)
    }
    return API.Poll(ended, integration: record.name)
  }

  func listPolls(_ request: ListPollsRequest, _ context: CallContext) async throws -> ListPollsResponse {
    let record = try store.integration(named: request.integration)
    var before = UInt64.max
    if !request.pageToken.isEmpty {
      guard let position = UInt64(try Paging.position(request.pageToken)) else { throw Paging.malformed() }
      before = position
    }
    let size = Paging.size(request.pageSize)
    let found = try await ledger.polls(of: record.id, before: before, limit: size + 1)
    var response = ListPollsResponse()
    response.polls = try found.prefix(size).map { poll in
      // One that runs stands in memory.
      let current = poll.isEnded ? nil : try poller.poll(PollKey(integration: record.id, poll: poll.id))
      return API.Poll(current ?? poll, integration: record.name)
    }
    if found.count > size { response.nextPageToken = Paging.token(String(found[size - 1].id)) }
    return response
  }

  func getCoverage(_ request: GetCoverageRequest, _ context: CallContext) async throws -> API.Coverage {
    let record = try store.integration(named: request.integration)
    return API.Coverage(try await ledger.coverage(of: record.id), integration: record.name)
  }

  static func unknownPoll(_ id: UInt64, of name: String) -> RPCError {
    RPCError(
      .notFound, reason: "UNKNOWN_POLL", "no poll \(id) of \(name)",
      hint: "list them with: tidewaiter integration polls \(name)")
  }
}
