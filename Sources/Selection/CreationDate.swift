import Model

/// When an image was created, as far as can be told.
///
/// The image's config says so, but reproducible builds put placeholders there: nothing, zero, a date before 1990 or one
/// more than 24 hours ahead. Then the registry's push date counts where it is known and no placeholder itself, else the
/// moment the daemon first saw the digest.
package struct CreationDate: Hashable, Sendable, CustomStringConvertible {
  package enum Source: String, Sendable, CaseIterable {
    case config
    case pushed
    case firstSeen
  }

  package let moment: Timestamp
  package let source: Source

  private static let firstPlausible = Timestamp(seconds: 631_152_000)  // 1990-01-01T00:00:00Z
  private static let secondsAheadMaximum = Timestamp.secondsPerDay

  /// `configs` are the dates of the config of each selected platform, one for an image without an index; nil stands for
  /// a date that is absent or cannot be read. The newest that is no placeholder counts.
  package init(configs: some Sequence<Timestamp?>, pushed: Timestamp?, firstSeen: Timestamp, now: Timestamp) {
    var newest: Timestamp?
    for case let date? in configs where Self.isPlausible(date, now: now) {
      newest = newest.map { max($0, date) } ?? date
    }
    if let newest {
      (moment, source) = (newest, .config)
    } else if let pushed, Self.isPlausible(pushed, now: now) {
      (moment, source) = (pushed, .pushed)
    } else {
      (moment, source) = (firstSeen, .firstSeen)
    }
  }

  package init(config: Timestamp?, pushed: Timestamp?, firstSeen: Timestamp, now: Timestamp) {
    self.init(configs: CollectionOfOne(config), pushed: pushed, firstSeen: firstSeen, now: now)
  }

  /// Whether a date can be a real one: not before 1990 and at most 24 hours ahead.
  package static func isPlausible(_ date: Timestamp, now: Timestamp) -> Bool {
    date >= firstPlausible && date <= now.advanced(bySeconds: secondsAheadMaximum)
  }

  /// As reasons quote it: `created 2026-01-05, from the image config`. The same at every poll of an unchanged image.
  package var description: String { "created \(moment.date), \(source.phrase)" }
}

extension CreationDate.Source {
  fileprivate var phrase: String {
    switch self {
    case .config: "from the image config"
    case .pushed: "from the registry's push date"
    case .firstSeen: "first seen by the daemon"
    }
  }
}

extension Reason {
  /// `verdict (created 2026-01-05, from the image config)`.
  init(_ code: Code, _ verdict: String, _ created: CreationDate) {
    self.init(code: code, text: "\(verdict) (\(created))")
  }
}

extension CalendarPeriod {
  /// Whether an image was created within the period before `now`; its very beginning counts as within.
  package func decide(created: CreationDate, now: Timestamp) -> Decision {
    if created.moment < start(before: now) {
      return .rejected(Reason(.createdBeforePeriod, "older than \(self)", created))
    }
    return .selected(Reason(.createdWithinPeriod, "within \(self)", created))
  }

  /// The reason to reject an image by its push date alone: it was pushed before the period began, so it was created
  /// before that too, and its config need not be read. Nil when the push date is not known, is a placeholder or says
  /// nothing.
  package func rejection(pushed: Timestamp?, now: Timestamp) -> Reason? {
    guard let pushed, CreationDate.isPlausible(pushed, now: now), pushed < start(before: now) else { return nil }
    return Reason(
      code: .pushedBeforePeriod,
      text: "older than \(self) (pushed \(pushed.date), \(CreationDate.Source.pushed.phrase))")
  }
}
