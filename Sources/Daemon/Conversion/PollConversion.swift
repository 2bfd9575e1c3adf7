import API
import Model
import Pipeline
import StorageMessages

extension API.Poll {
  init(_ poll: PollRecord, integration: String) {
    self.init()
    id = poll.id
    self.integration = integration
    state = API.PollState(rawValue: poll.state.rawValue)
    startedAt = API.Timestamp(nanoseconds: poll.startedAt)
    finishedAt = API.Timestamp(nanoseconds: poll.finishedAt)
    trigger = poll.trigger
    scheduledFor = API.Timestamp(nanoseconds: poll.scheduledFor)
    actor = poll.actor
    repositories = poll.repositories
    repositoriesDone = poll.repositoriesDone
    repositoriesSkipped = poll.repositoriesSkipped
    repositoriesGone = poll.repositoriesGone
    tags = poll.tags
    tagsNew = poll.tagsNew
    tagsMoved = poll.tagsMoved
    tagsGone = poll.tagsGone
    tagsFailed = poll.tagsFailed
    selected = poll.selected
    queued = poll.queued
    alreadyKnown = poll.alreadyKnown
    skipped = poll.skipped
    rejected = poll.rejected
    outcomes = poll.outcomes.map { API.OutcomeCount($0, integration: integration) }
    requests = poll.requests
    bytesReceived = poll.bytesReceived
    throttles = poll.throttles
    errors = poll.errors
    errorCount = poll.errorCount
    error = ErrorDetail(code: poll.errorCode, message: poll.errorMessage, hint: poll.errorHint)
    notes = poll.notes
    resumesAt = poll.state == .suspended ? API.Timestamp(nanoseconds: poll.resumesAt) : nil
    suspensions = poll.suspensions
    isPartial = poll.isPartial
  }
}

extension API.OutcomeCount {
  fileprivate init(_ count: StorageMessages.OutcomeCount, integration: String) {
    self.init()
    decision = count.decision.word
    reasonCode = count.reasonCode
    self.count = count.count
    example = count.example.isEmpty ? "" : "\(integration)/\(count.example)"
  }
}
