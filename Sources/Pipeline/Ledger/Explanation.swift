import Model
import Selection
import StorageMessages
import Store

/// Why an image was taken, was not, or is not there: of what the ledger, the record of polls and the present settings say.
/// A pure function of `Facts`.
package struct Explanation: Sendable, Equatable {
  /// Of a reference of which nothing is known.
  package static let unknown = "unknown"

  /// The name of an image's status, or `unknown`.
  package private(set) var state = unknown
  package private(set) var reasonCode = ""
  package private(set) var reason = ""
  /// It is so. Nanoseconds since 1970, as all times here; 0 where it is not known.
  package private(set) var since: Int64 = 0
  package private(set) var firstSeenAt: Int64 = 0
  /// From the image's config.
  package private(set) var createdAt: Timestamp?
  package private(set) var digest = ""
  /// The poll that decided.
  package private(set) var poll: UInt64 = 0
  package private(set) var job: UInt64 = 0
  /// What else there is to know, in order.
  package private(set) var notes: [String] = []

  /// What the present settings make of a tag.
  package enum Present: Sendable, Equatable {
    case decided(Decision)
    /// It is left to the condition, and that to dates that are not at hand.
    case open(String)
  }

  package init(_ facts: Facts) {
    createdAt = facts.createdAt
    if let tag = facts.tagRecord, facts.askedDigest.map({ $0 == tag.digest }) ?? true {
      explain(tag, facts)
    } else if let image = facts.image {
      explain(image, facts)
    } else {
      explainAbsence(facts)
    }
    notes += notes(onPresent: facts)
    notes += facts.notesOnPolls
  }

  // MARK: - What is known

  private mutating func explain(_ tag: TagRecord, _ facts: Facts) {
    let state = TagState(tag, image: facts.image)
    set(state.status.name, state.reasonCode, state.reason)
    since = state.since(tag, image: facts.image, job: facts.job)
    firstSeenAt = tag.firstSeenAt
    digest = tag.digest
    poll = tag.pollId
    takeImage(facts)
    switch state.status {
    case .gone:
      set(state.status.name, TagReason.gone.rawValue, "\(state.reason), since \(Self.time(tag.goneAt))")
      if facts.image?.scannedAt ?? 0 != 0 {
        notes.append("its last image was scanned \(Self.time(facts.image?.scannedAt ?? 0)); the report is kept")
      }
    case .scanned, .queued:
      reasonCode = tag.reasonCode
    case .failed, .skipped:
      if state.isOfImage, tag.isSelected, !tag.reason.isEmpty { notes.append("it was taken: \(tag.reason)") }
      if state.status == .failed, let image = facts.image {
        notes.append(
          image.isRetried
            ? "the next poll queues it again: what failed may pass"
            : "polls do not queue it again: what failed does not pass by itself; see: tidewaiter image rescan")
      }
    default: break
    }
  }

  private mutating func explain(_ image: ImageRecord, _ facts: Facts) {
    let (code, message) = TagState.parts(of: image.statusReason)
    set(image.status == .unspecified ? Self.unknown : image.status.name, code, message)
    digest = image.digest
    firstSeenAt = image.firstSeenAt
    takeImage(facts)
    since = image.status == .scanned ? image.scannedAt : image.status == .queued ? facts.job?.enqueuedAt ?? 0 : 0
    if image.status == .gone, reason.isEmpty {
      set(state, TagReason.gone.rawValue, "no tag of \(facts.repository) points to it any more")
    }
    if let tag = facts.tagRecord, let name = facts.tag {
      let place = tag.digest.isEmpty ? "nothing that was asked for" : tag.digest
      notes.append(
        tag.isGone ? "the tag \(name) is gone" : "the tag \(name) points to \(place) since \(Self.time(tag.since))")
    }
    if !facts.tags.isEmpty { notes.append("tags that point to it: \(facts.tags.joined(separator: ", "))") }
    if reason.isEmpty { reason = facts.tags.isEmpty ? "it was added by its digest" : "its tags were selected" }
  }

  private mutating func takeImage(_ facts: Facts) {
    guard let image = facts.image else { return }
    job = facts.job?.id ?? 0
    if image.scannedAt != 0, image.status == .queued {
      notes.append("it was scanned before, \(Self.time(image.scannedAt)); the report is kept")
    }
  }

  private mutating func set(_ state: String, _ code: String, _ reason: String) {
    self.state = state
    reasonCode = code
    self.reason = reason
  }

  // MARK: - What is not there

  private mutating func explainAbsence(_ facts: Facts) {
    guard let ended = facts.lastEnded else {
      return facts.newest == nil
        ? set(Self.unknown, "never_polled", "the integration has never been polled")
        : set(Self.unknown, "not_polled_yet", "no poll of the integration has come to its end yet")
    }
    poll = ended.id
    since = ended.finishedAt
    guard let record = facts.repositoryRecord else { return explainUnlisted(ended, facts) }
    since = record.since
    poll = record.pollId == 0 ? ended.id : record.pollId
    switch record.state {
    case .rejected:
      set("rejected", record.reasonCode, "its repository is rejected by rule: \(record.reason)")
      notes.append("whether there is such a tag is not known: the repository's tags are not asked for")
    case .skipped:
      set("skipped", record.reasonCode, "its repository is passed over: \(record.reason)")
      notes.append("whether there is such a tag is not known: the repository's tags are not asked for")
    case .failed:
      set("failed", record.reasonCode, "the tags of its repository could not be listed: \(record.reason)")
    case .gone:
      set(Self.unknown, "repository_gone", "its repository is gone since \(Self.time(record.since))")
    case .unlisted:
      set(
        Self.unknown, "repository_not_listed",
        "the registry's listing does not name its repository any more, since \(Self.time(record.since))")
    default: explainUnlistedTag(record, facts)
    }
  }

  private mutating func explainUnlisted(_ ended: PollRecord, _ facts: Facts) {
    if let area = facts.area {
      set(
        area.record.state == .rejected ? "rejected" : "skipped", area.record.reasonCode,
        "its repository lies in \(area.name), which is passed over: \(area.record.reason)")
      since = area.record.since
      return
    }
    set(
      Self.unknown, "repository_not_listed",
      "the repository \(facts.repository) is not in the listing of poll \(ended.id), which ended "
        + Self.time(ended.finishedAt))
  }

  private mutating func explainUnlistedTag(_ record: RepositoryRecord, _ facts: Facts) {
    let when = record.listedAt == 0 ? "" : ", at \(Self.time(record.listedAt))"
    since = record.listedAt == 0 ? record.since : record.listedAt
    if facts.tag == nil || facts.askedDigest != nil {
      set(
        Self.unknown, "digest_not_known",
        "no tag of \(facts.repository) is known to point to that digest; its \(record.tags) tags were last listed by poll "
          + "\(poll)\(when)")
    } else {
      set(
        Self.unknown, "tag_not_listed",
        "the tag is not among the \(record.tags) that poll \(poll) found in \(facts.repository)\(when)")
    }
  }

  // MARK: - Notes

  private func notes(onPresent facts: Facts) -> [String] {
    guard let present = facts.present, !(facts.tagRecord?.isGone ?? false) else { return [] }
    switch present {
    case .open(let what): return facts.tagRecord == nil ? ["the present settings leave it to \(what)"] : []
    case .decided(let decision):
      if let tag = facts.tagRecord, !Self.differs(decision, from: tag) { return [] }
      // The rule that its repository is rejected by.
      if facts.tagRecord == nil, decision.reason.code.rawValue == reasonCode { return [] }
      let verb = decision.isSelected ? "take" : "reject"
      let subject = facts.tagRecord == nil ? "such a tag" : "it"
      return ["the present settings \(verb) \(subject): \(decision.reason)"]
    }
  }

  /// What is no image, or could not be read, was selected before that was found out.
  private static func differs(_ decision: Decision, from tag: TagRecord) -> Bool {
    switch tag.decision {
    case .skipped, .failed: !decision.isSelected
    default: decision.isSelected != tag.isSelected || decision.reason.code.rawValue != tag.reasonCode
    }
  }

  static func time(_ nanoseconds: Int64) -> String { "\(Timestamp(nanosecondsSince1970: nanoseconds))" }
}
