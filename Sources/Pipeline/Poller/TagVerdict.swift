import Selection
import StorageMessages
import Store

/// What is decided on one tag, beside what was known of it.
package struct TagVerdict: Sendable {
  /// What has happened to a tag since the last poll.
  package enum Change: String, Sendable, CaseIterable {
    /// It is listed for the first time.
    case new
    /// It points to another digest.
    case moved
    /// It was gone, and is there again.
    case returned
    case unchanged
  }

  package let key: TagKey
  /// "" where it is not known and was not worth a request.
  package let digest: String
  package let decision: TagDecision
  package let reasonCode: String
  package let reason: String
  /// Nil where the decision needed none.
  package let created: CreationDate?
  /// As the store has it.
  package let previous: TagRecord?
  /// The image under that digest, as the store has it.
  package let image: ImageRecord?

  package var imageKey: ImageKey? {
    digest.isEmpty ? nil : ImageKey(integration: key.integration, repository: key.repository, digest: digest)
  }

  package var change: Change {
    guard let previous else { return .new }
    if previous.isGone { return .returned }
    return previous.digest.isEmpty || previous.digest == digest ? .unchanged : .moved
  }

  /// The digest that the tag has left behind; nil for one that has not moved.
  var lostDigest: String? { change == .moved ? previous?.digest : nil }

  /// The tag's row as it is to be stored over `previous`.
  func record(over previous: TagRecord?, poll: UInt64, now: Int64) -> TagRecord {
    var record = previous ?? TagRecord()
    if record.firstSeenAt == 0 { record.firstSeenAt = record.since == 0 ? now : record.since }
    if record.digest != digest || record.isGone { record.since = now }
    record.taken = previous != nil && record.isTaken && record.digest == digest
    if decision == .selected { record.taken = true }
    record.digest = digest
    record.goneAt = 0
    if record.decision != decision || record.reasonCode != reasonCode {
      record.decidedAt = now
      record.pollId = poll
    }
    record.decision = decision
    record.reasonCode = reasonCode
    record.reason = reason
    return record
  }

  /// Whether nothing is to be written for it.
  func isSettled(rescan: Bool) -> Bool {
    guard let previous, record(over: previous, poll: previous.pollId, now: previous.decidedAt) == previous else {
      return false
    }
    return wanted(image, rescan: rescan) == nil && !(image?.isAbandoned ?? false)
  }

  /// Why its image is to be queued; nil when it is not. `image` is the image as it now stands, `rescan` whether images that
  /// were pulled are wanted again (D5).
  func wanted(_ image: ImageRecord?, rescan: Bool) -> QueueReason? {
    guard !digest.isEmpty else { return nil }
    let wasPulled = image?.wasPulled ?? false
    if decision == .selected, !wasPulled { return .new }
    return rescan && wasPulled ? .rescan : nil
  }

  enum QueueReason: Sendable { case new, rescan }
}

extension ImageRecord {
  /// Whether it need not be queued as a new one (D12): it is scanned, on its way there, or cannot be scanned whatever is
  /// tried. One whose registry failed is worth another try.
  package var wasPulled: Bool {
    switch status {
    case .queued, .scanned, .skipped: true
    case .failed: !isRetried
    case .gone: scannedAt != 0
    default: false
    }
  }

  /// Whether no tag pointed to it when that was last looked at.
  var isAbandoned: Bool { untagged || status == .gone }
}

extension TagDecision {
  /// As records and clients tell it: a row of a version that kept no decisions was selected.
  package var word: String {
    switch self {
    case .selected, .unspecified: "selected"
    case .rejected: "rejected"
    case .skipped: "skipped"
    case .failed: "failed"
    default: "unknown"
    }
  }
}
