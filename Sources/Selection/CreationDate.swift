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
  package init(configs: [Timestamp?], pushed: Timestamp?, firstSeen: Timestamp, now: Timestamp) {
    let plausible = configs.compactMap(\.self).filter { Self.isPlausible($0, now: now) }
    if let newest = plausible.max() {
      (moment, source) = (newest, .config)
    } else if let pushed, Self.isPlausible(pushed, now: now) {
      (moment, source) = (pushed, .pushed)
    } else {
      (moment, source) = (firstSeen, .firstSeen)
    }
  }

  package init(config: Timestamp?, pushed: Timestamp?, firstSeen: Timestamp, now: Timestamp) {
    self.init(configs: [config], pushed: pushed, firstSeen: firstSeen, now: now)
  }

  /// Whether a date can be a real one: not before 1990 and at most 24 hours ahead.
  package static func isPlausible(_ date: Timestamp, now: Timestamp) -> Bool {
    date >= firstPlausible && date <= now.advanced(bySeconds: secondsAheadMaximum)
  }

  package var description: String {
    switch source {
    case .config: "created \(moment)"
    case .pushed: "pushed \(moment) (the image states no usable creation date)"
    case .firstSeen: "first seen \(moment) (neither image nor registry states a usable date)"
    }
  }
}

extension CalendarPeriod {
  /// Whether an image was created within the period before `now`; its very beginning counts as within.
  package func decide(created: CreationDate, now: Timestamp) -> Decision {
    if created.moment < start(before: now) {
      return .rejected(Reason(code: .createdBeforePeriod, text: "\(created), more than \(self) ago"))
    }
    return .selected(Reason(code: .createdWithinPeriod, text: "\(created), within \(self)"))
  }

  /// The reason to reject an image by its push date alone: it was pushed before the period began, so it was created
  /// before that too, and its config need not be read. Nil when the push date is not known, is a placeholder or says
  /// nothing.
  package func rejection(pushed: Timestamp?, now: Timestamp) -> Reason? {
    guard let pushed, CreationDate.isPlausible(pushed, now: now), pushed < start(before: now) else { return nil }
    return Reason(code: .pushedBeforePeriod, text: "pushed \(pushed), more than \(self) ago")
  }
}
