import StorageMessages

/// What can happen to a scan job. `next` is the only place that says which state follows.
///
///     pending ──lease──▶ in progress ──parse──▶ parsing results ──finish──▶ finished
///        ▲                   │                        │
///        ├──backOff/return───┴────────────────────────┤
///        │                                            ▼
///     (refuse, cancel: from any of these three)     error, cancelled ──retry──▶ pending
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
