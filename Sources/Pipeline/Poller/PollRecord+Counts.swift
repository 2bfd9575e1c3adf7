import Registry
import StorageMessages
import Store

extension PollRecord {
  private static let errorsMaximum = 100
  /// Different reasons that are counted; codes are a closed set, so that there are never so many.
  private static let outcomesMaximum = 64

  /// Whether nothing will change it any more.
  package var isEnded: Bool { state != .running && state != .suspended }

  /// Counts an error of one repository or tag; the first hundred are kept.
  mutating func note(_ error: String) {
    errorCount.add(1)
    if errors.count < Self.errorsMaximum { errors.append(error) }
  }

  mutating func count(_ verdicts: [TagVerdict]) {
    tags.add(verdicts.count)
    for verdict in verdicts {
      switch verdict.decision {
      case .selected: selected.add(1)
      case .rejected: rejected.add(1)
      case .skipped: skipped.add(1)
      default:
        tagsFailed.add(1)
        // What one tag is to blame for is told once.
        if verdict.reasonCode == TagReason.datesUnknown.rawValue { break }
        note("\(verdict.key.repository):\(verdict.key.tag): \(verdict.reason)")
      }
      switch verdict.change {
      case .new, .returned: tagsNew.add(1)
      case .moved: tagsMoved.add(1)
      case .unchanged: break
      }
      count(verdict)
    }
  }

  /// Adds what was counted of one repository.
  mutating func add(_ counted: PollRecord) {
    tags.add(Int(counted.tags))
    selected.add(Int(counted.selected))
    rejected.add(Int(counted.rejected))
    skipped.add(Int(counted.skipped))
    tagsFailed.add(Int(counted.tagsFailed))
    alreadyKnown.add(Int(counted.alreadyKnown))
    tagsNew.add(Int(counted.tagsNew))
    tagsMoved.add(Int(counted.tagsMoved))
    tagsGone.add(Int(counted.tagsGone))
    for error in counted.errors { note(error) }
    errorCount.add(Int(counted.errorCount) - counted.errors.count)
    for outcome in counted.outcomes { add(outcome) }
  }

  private mutating func count(_ verdict: TagVerdict) {
    var outcome = OutcomeCount()
    outcome.decision = verdict.decision
    outcome.reasonCode = verdict.reasonCode
    outcome.count = 1
    if !outcomes.contains(where: { $0.decision == outcome.decision && $0.reasonCode == outcome.reasonCode }) {
      outcome.example = "\(verdict.key.repository):\(verdict.key.tag): \(verdict.reason)"
    }
    add(outcome)
  }

  private mutating func add(_ outcome: OutcomeCount) {
    if let index = outcomes.firstIndex(where: {
      $0.decision == outcome.decision && $0.reasonCode == outcome.reasonCode
    }) {
      return outcomes[index].count.add(Int(outcome.count))
    }
    if outcomes.count < Self.outcomesMaximum { outcomes.append(outcome) }
  }

  /// Counts what became of images that were to be queued.
  mutating func count(_ images: [Intake.Outcome]) {
    let new = images.filter { !$0.existed }.map(\.job.id)
    queued.add(new.count)
    if let first = new.min(), firstJobId == 0 || first < firstJobId { firstJobId = first }
    lastJobId = max(lastJobId, new.max() ?? 0)
  }

  /// What was passed over, so that nobody wonders where it is (D6).
  mutating func noteSkipped(_ summary: ListingSummary) {
    for kind in RepositoryKind.allCases {
      guard let count = summary.passedOver[kind], count > 0 else { continue }
      repositoriesSkipped.add(count)
      let examples = summary.passedOverNames.lazy.filter { $0.kind == kind }.prefix(ListingSummary.examplesMax)
      let why =
        kind == .remote
        ? "a remote repository's images are another registry's; --include-remote polls those that are cached"
        : "what is in a \(kind.rawValue) repository is listed where it really is"
      notes.append(
        "not polled: \(count) \(kind.rawValue) (\(examples.map(\.name).joined(separator: ", "))): \(why)")
    }
  }
}

extension UInt32 {
  /// Counts on; a registry that lists more than can be counted stays at the end.
  mutating func add(_ count: Int) {
    let (sum, isTooLarge) = addingReportingOverflow(UInt32(clamping: count))
    self = isTooLarge ? .max : sum
  }
}
