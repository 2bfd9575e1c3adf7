import Model
import Selection

/// A tag as a registry gives it, with what is known of its image's dates.
struct TaggedImage: Sendable, CustomStringConvertible {
  let tag: String
  /// One for each selected platform.
  var configs: [Timestamp?] = []
  var pushed: Timestamp?
  var firstSeen: Timestamp

  var description: String {
    "\(tag) configs \(configs.map { $0?.description ?? "-" }) pushed \(pushed?.description ?? "-") seen \(firstSeen)"
  }
}

extension Criteria {
  init(
    _ patterns: [String] = [], never: [String] = [], always: [String] = [], condition: Condition = .none
  ) throws {
    self.init(
      patterns: try Pattern.list(parsing: patterns), never: try Pattern.list(parsing: never),
      always: try Pattern.list(parsing: always), condition: condition)
  }

  /// Everything that is decided of one repository, put together as a poll does it.
  func decisions(repository: String, _ images: [TaggedImage], now: Timestamp) -> [Decision] {
    let narrowed = narrowed(to: repository)
    var decisions = [Decision?](repeating: nil, count: images.count)
    var dated: [(index: Int, tag: DatedTag)] = []
    for (index, image) in images.enumerated() {
      switch narrowed.screen(tag: image.tag) {
      case .selected(let reason): decisions[index] = .selected(reason)
      case .rejected(let reason): decisions[index] = .rejected(reason)
      case .needsDate:
        let created = CreationDate(
          configs: image.configs, pushed: image.pushed, firstSeen: image.firstSeen, now: now)
        guard case .createdWithin(let period) = condition else {
          dated.append((index, DatedTag(tag: image.tag, created: created)))
          continue
        }
        decisions[index] =
          period.rejection(pushed: image.pushed, now: now).map(Decision.rejected)
          ?? period.decide(created: created, now: now)
      }
    }
    if case .latest(let count) = condition {
      for (decision, (index, _)) in zip(count.decide(dated.map(\.tag)), dated) { decisions[index] = decision }
    }
    return decisions.compactMap(\.self)
  }
}

extension Decision {
  /// `+ reason` or `- reason`.
  var shown: String { (isSelected ? "+ " : "- ") + reason.text }
}

extension Screening {
  /// The same; `?` where the date decides.
  var shown: String {
    switch self {
    case .selected(let reason): Decision.selected(reason).shown
    case .rejected(let reason): Decision.rejected(reason).shown
    case .needsDate: "?"
    }
  }
}
