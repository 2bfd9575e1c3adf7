import StorageMessages

/// What can happen to a scan job. `next` is the only place that says which state follows.
///
///                        ┌───────────── giveBack ────────────┐
///                        ▼                                   │
///      enqueue ──▶ pending ──lease──▶ in progress ──parse──▶ parsing results ──finish──▶ finished
///                   ▲ │                  │  │                    │                          │
///                   │ └──────fail────────┴──┼───fail─────────────┴─▶ error ────┐            │
///                   │        cancel         └───cancel──────────────▶ cancelled ┤            │
///                   └──────────────────────── retry ────────────────────────────┴────────────┘
///
/// Who owns a job until when, so that none can be stuck: a pending one is in the line of its integration (`ready`) or
/// waits for an instant (`delayed`); one in progress or parsing results belongs to a lease of this process, whose attempt
/// ends at the maximum scan time, and goes back when the process dies; a final one belongs to retention.
package enum JobEvent: Sendable, CaseIterable {
  /// A scanner slot took it.
  case lease
  /// Its layers are analysed; matching and the report follow.
  case parse
  /// Its report is stored.
  case finish
  /// Back to the queue: a transient error, a timeout, or an interruption.
  case giveBack
  /// It cannot succeed.
  case fail
  case cancel
  /// A person wants it again.
  case retry

  /// The state after this event in `state`; nil when the event cannot happen there.
  package func next(from state: JobState) -> JobState? {
    switch (self, state) {
    case (.lease, .pending): .inProgress
    case (.parse, .inProgress): .parsingResults
    case (.finish, .parsingResults): .finished
    case (.giveBack, .inProgress), (.giveBack, .parsingResults): .pending
    case (.fail, .pending), (.fail, .inProgress), (.fail, .parsingResults): .error
    case (.cancel, .pending), (.cancel, .inProgress), (.cancel, .parsingResults): .cancelled
    case (.retry, .finished), (.retry, .error), (.retry, .cancelled): .pending
    default: nil
    }
  }
}

extension JobState {
  package var isFinal: Bool { self == .finished || self == .error || self == .cancelled }
  package static let all: [JobState] = [.pending, .inProgress, .parsingResults, .finished, .error, .cancelled]
}
