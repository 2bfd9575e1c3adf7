import Store

/// What a collection has removed, or would remove.
package struct RetentionOutcome: Sendable, Equatable {
  /// In the order in which they are looked at. None is fed by one before it, so that a dry run tells what a real one does:
  /// what becomes superfluous by a removal is found by the next collection.
  package enum Kind: String, Sendable, CaseIterable {
    case confirmations
    case events
    case jobs
    case polls
    case repositories
    case imageFacts = "image-facts"
    case tagHistory = "tag-history"
    case tags
    case images
    case reports
    case layers
  }

  package struct Removed: Sendable, Equatable {
    package let kind: Kind
    package internal(set) var count: UInt64
    /// Why, for people.
    package let rule: String
  }

  package let isDryRun: Bool
  /// Of each kind and rule that something was found by.
  package internal(set) var removed: [Removed] = []
  package internal(set) var before: StoreSize
  /// As `before` after a dry run.
  package internal(set) var after: StoreSize
  /// Nanoseconds since 1970.
  package internal(set) var startedAt: Int64 = 0
  package internal(set) var endedAt: Int64 = 0

  init(isDryRun: Bool, _ size: StoreSize) {
    self.isDryRun = isDryRun
    before = size
    after = size
  }

  /// Of all kinds.
  package var count: UInt64 { removed.reduce(0) { $0 + $1.count } }

  mutating func add(_ kind: Kind, _ count: UInt64, _ rule: String) {
    guard count > 0 else { return }
    if let index = removed.firstIndex(where: { $0.kind == kind && $0.rule == rule }) {
      removed[index].count += count
    } else {
      removed.append(Removed(kind: kind, count: count, rule: rule))
    }
  }

  /// For a log or an event: "events: 12, layers: 3".
  package var summary: String {
    Kind.allCases.compactMap { kind in
      let count = removed.filter { $0.kind == kind }.reduce(0) { $0 + $1.count }
      return count == 0 ? nil : "\(kind.rawValue): \(count)"
    }.joined(separator: ", ")
  }
}
