import API
import Model
import Pipeline
import Registry
import Selection
import StorageMessages
import Store

extension PreviewImage {
  init(_ image: Previewer.Image, integration: String) {
    self.init()
    let verdict = image.verdict
    reference = ImageConversion.reference(
      integration: integration, repository: verdict.key.repository, tag: verdict.key.tag, digest: verdict.digest)
    digest = verdict.digest
    if let date = verdict.created {
      created = API.Timestamp(nanoseconds: date.moment.nanosecondsSince1970)
      createdFrom = date.source.name
    }
    selected = verdict.decision == .selected
    reasonCode = verdict.reasonCode
    reason = verdict.reason
    decision = verdict.decision.word
    change = verdict.change.rawValue
    previousDecision = verdict.previous.map { $0.isGone ? Self.gone : $0.decision.word } ?? ""
    queued = image.isQueued
    bytesToFetch = image.bytesToFetch ?? 0
  }

  /// A tag that is not there any more.
  init(gone key: TagKey, _ record: TagRecord, integration: String) {
    self.init()
    reference = ImageConversion.reference(
      integration: integration, repository: key.repository, tag: key.tag, digest: record.digest)
    digest = record.digest
    reasonCode = TagReason.gone.rawValue
    reason = TagState.goneReason
    decision = Self.gone
    change = Self.gone
    previousDecision = record.decision.word
  }

  static let gone = "gone"
}

extension CreationDate.Source {
  /// As clients read it.
  var name: String {
    switch self {
    case .config: "config"
    case .pushed: "pushed"
    case .firstSeen: "first_seen"
    }
  }
}

extension PreviewRepository {
  init(_ repository: Previewer.Repository) {
    self.init()
    name = repository.name
    kind = repository.kind.rawValue
    skipped = repository.isSkipped
    reason = repository.reason
    tags = UInt32(clamping: repository.tags)
  }
}

extension PreviewSummary {
  mutating func count(_ image: PreviewImage) {
    switch image.decision {
    case TagDecision.selected.word: selected += 1
    case TagDecision.rejected.word: rejected += 1
    case TagDecision.skipped.word: skipped += 1
    case PreviewImage.gone: gone += 1
    default: failed += 1
    }
    if image.decision != PreviewImage.gone { tags += 1 }
    if image.queued { queued += 1 }
    switch image.change {
    case TagVerdict.Change.new.rawValue, TagVerdict.Change.returned.rawValue: tagsNew += 1
    case TagVerdict.Change.moved.rawValue: tagsMoved += 1
    default: break
    }
    switch (image.previousDecision, image.decision) {
    case (TagDecision.rejected.word, TagDecision.selected.word): newlySelected += 1
    case (TagDecision.selected.word, TagDecision.rejected.word): newlyRejected += 1
    default: break
    }
    bytesToFetch &+= image.bytesToFetch
  }

  mutating func count(_ repository: PreviewRepository) {
    repositories += 1
    if repository.skipped { repositoriesSkipped += 1 }
  }

  mutating func conclude(_ outcome: Previewer.Outcome, lastPoll: UInt64) {
    isPartial = outcome.isPartial
    errors = outcome.errors
    requests = outcome.requests
    unsized = UInt32(clamping: outcome.unsized)
    lastPollId = lastPoll
  }
}
