import API
import Model
import Pipeline
import Queue
import RPC
import StorageMessages
import Store

/// The calls that decide what becomes of jobs.
extension QueueHandler {
  private static let open: Set<StorageMessages.JobState> = [.pending, .inProgress, .parsingResults]
  private static let ended: Set<StorageMessages.JobState> = [.finished, .error, .cancelled]
  private static let reasonLengthMaximum = 200

  func cancelJobs(_ request: CancelJobsRequest, _ context: CallContext) async throws -> CancelJobsResponse {
    var response = CancelJobsResponse()
    switch try selection(request.jobs, states: Self.open, takesErrors: false) {
    case .named(let ids):
      response.jobs = try await control.cancel(ids, actor: context.peer.actor).map { API.JobChange($0) }
    case .all(let selection):
      response.matchedMaximum = try await control.cancel(selection, actor: context.peer.actor)
    }
    return response
  }

  func retryJobs(_ request: RetryJobsRequest, _ context: CallContext) async throws -> RetryJobsResponse {
    var response = RetryJobsResponse()
    switch try selection(request.jobs, states: Self.ended, takesErrors: true) {
    case .named(let ids):
      response.jobs = try await control.retry(ids, actor: context.peer.actor).map { API.JobChange($0) }
      response.queued = Self.changed(response.jobs)
      response.existed = UInt64(response.jobs.count { $0.existingJobId != 0 })
    case .all(let selection):
      let outcome = try await control.retry(selection, actor: context.peer.actor)
      response.queued = outcome.changed
      response.existed = outcome.existed
    }
    return response
  }

  func prioritizeJobs(
    _ request: PrioritizeJobsRequest, _ context: CallContext
  ) async throws -> PrioritizeJobsResponse {
    let priority: JobQueue.Priority
    switch request.priority {
    case .person: priority = .person
    case .new: priority = .newImage
    case .rescan: priority = .rescan
    default: throw RPCError.invalidArgument([("priority", "is none of person, new, rescan")])
    }
    var response = PrioritizeJobsResponse()
    switch try selection(request.jobs, states: [.pending], takesErrors: false) {
    case .named(let ids):
      response.jobs = try await control.prioritize(ids, to: priority, actor: context.peer.actor).map {
        API.JobChange($0)
      }
      response.changed = Self.changed(response.jobs)
    case .all(let selection):
      response.changed = try await control.prioritize(selection, to: priority, actor: context.peer.actor)
    }
    return response
  }

  func clearJobs(_ request: ClearJobsRequest, _ context: CallContext) async throws -> ClearJobsResponse {
    var response = ClearJobsResponse()
    switch try selection(request.jobs, states: Self.ended, takesErrors: true) {
    case .named(let ids):
      response.jobs = try await control.clear(ids, actor: context.peer.actor).map { API.JobChange($0) }
      response.cleared = Self.changed(response.jobs)
    case .all(let selection):
      response.cleared = try await control.clear(selection, actor: context.peer.actor)
    }
    return response
  }

  func pauseQueue(_ request: PauseQueueRequest, _ context: CallContext) async throws -> QueuePauses {
    guard request.reason.unicodeScalars.count <= Self.reasonLengthMaximum else {
      throw RPCError.invalidArgument([("reason", "is longer than \(Self.reasonLengthMaximum) characters")])
    }
    try await control.pause(try integration(request.integration), reason: request.reason, actor: context.peer.actor)
    return try pauses()
  }

  func resumeQueue(_ request: ResumeQueueRequest, _ context: CallContext) async throws -> QueuePauses {
    try await control.resume(try integration(request.integration), actor: context.peer.actor)
    return try pauses()
  }

  private func pauses() throws -> QueuePauses {
    var response = QueuePauses()
    response.pauses = try describer.pauses()
    return response
  }

  func integration(_ name: String) throws -> UInt64? {
    name.isEmpty ? nil : try store.integration(named: name).id
  }

  private static func changed(_ jobs: [API.JobChange]) -> UInt64 { UInt64(jobs.count { $0.changed }) }

  private func selection(
    _ wanted: JobSelector?, states: Set<StorageMessages.JobState>, takesErrors: Bool
  ) throws -> JobSelection {
    var reader = JobSelectionReader(store: store, poller: poller)
    return try reader.read(wanted, states: states, takesErrors: takesErrors)
  }
}
