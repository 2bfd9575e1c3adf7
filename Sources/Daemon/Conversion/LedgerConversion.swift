import API
import Model
import Pipeline
import Selection
import StorageMessages
import Store

extension API.Coverage {
  init(_ coverage: Ledger.Coverage, integration: String) {
    self.init()
    self.integration = integration
    tags = coverage.tags.tags
    listed = coverage.tags.listed
    states = coverage.tags.states.map { CoverageState($0, integration: integration) }
    repositories = coverage.repositories.repositories
    repositoryStates = coverage.repositories.states.map(RepositoryCoverage.init)
    if let poll = coverage.poll {
      pollId = poll.id
      asOf = API.Timestamp(nanoseconds: poll.finishedAt)
      isPartial = poll.isPartial || poll.state != .finished
    }
  }
}

extension CoverageState {
  fileprivate init(_ state: CoverageCount.State, integration: String) {
    self.init()
    status = API.ImageStatus(rawValue: state.status.rawValue)
    reasonCode = state.reasonCode
    tags = state.tags
    example = ImageConversion.reference(
      integration: integration, repository: state.example.repository, tag: state.example.tag, digest: "")
    reason = state.reason
  }
}

extension RepositoryCoverage {
  fileprivate init(_ state: RepositoryCount.State) {
    self.init()
    self.state = state.state.name
    reasonCode = state.reasonCode
    repositories = state.repositories
    example = state.example
    reason = state.reason
  }
}

extension TagEntry {
  init(_ row: Ledger.Row, integration: String) {
    self.init()
    reference = ImageConversion.reference(
      integration: integration, repository: row.key.repository, tag: row.key.tag, digest: "")
    digest = row.tag.digest
    status = API.ImageStatus(rawValue: row.state.status.rawValue)
    reasonCode = row.state.reasonCode
    reason = row.state.reason
    since = API.Timestamp(nanoseconds: row.since)
    firstSeenAt = API.Timestamp(nanoseconds: row.tag.firstSeenAt)
  }
}

extension API.Image {
  /// A tag that no image is listed for: it was never pulled, or is gone since.
  init(_ row: Ledger.Row, integration: String) {
    self.init()
    reference = ImageConversion.reference(
      integration: integration, repository: row.key.repository, tag: row.key.tag, digest: row.tag.digest)
    digest = row.tag.digest
    tags = [row.key.tag]
    status = API.ImageStatus(rawValue: row.state.status.rawValue)
    statusReason = row.state.reason
    firstSeenAt = API.Timestamp(nanoseconds: row.tag.firstSeenAt)
    counts = API.SeverityCounts()
  }
}

extension ImageExplanation {
  init(_ explanation: Explanation, reference: ImageReference) {
    self.init()
    self.reference = reference.description
    digest = explanation.digest
    state = explanation.state
    reasonCode = explanation.reasonCode
    reason = explanation.reason
    since = API.Timestamp(nanoseconds: explanation.since)
    firstSeenAt = API.Timestamp(nanoseconds: explanation.firstSeenAt)
    created = explanation.createdAt.flatMap { API.Timestamp(nanoseconds: $0.nanosecondsSince1970) }
    createdFrom = created == nil ? "" : CreationDate.Source.config.name
    pollId = explanation.poll
    jobId = explanation.job
    notes = explanation.notes
  }
}

extension API.TagHistoryEntry {
  init(_ entry: TagHistory.Entry) {
    self.init()
    digest = entry.digest
    since = API.Timestamp(nanoseconds: entry.since)
    until = API.Timestamp(nanoseconds: entry.until)
    ended = entry.end?.rawValue ?? ""
    status = API.ImageStatus(rawValue: entry.image?.status.rawValue ?? 0)
    // That a digest is gone to which the tag points no more goes without saying.
    if status == .gone, let image = entry.image, image.scannedAt != 0 { status = .scanned }
    scannedAt = API.Timestamp(nanoseconds: entry.image?.scannedAt ?? 0)
  }
}

extension RescanImagesResponse {
  init(_ summary: Rescanner.Summary) {
    self.init()
    queued = summary.queued
    existed = summary.existed
    firstJobId = summary.firstJob
    lastJobId = summary.lastJob
  }
}
