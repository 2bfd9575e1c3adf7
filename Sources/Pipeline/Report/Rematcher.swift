import StorageMessages
import Store

/// Matches stored reports anew after the advisories have changed, without fetching a byte.
package struct Rematcher: Sendable {
  /// Keys of images read at a time.
  private static let batch = 256

  private let store: StateStore
  private let matcher: ReportMatcher

  package init(store: StateStore, matcher: ReportMatcher) {
    self.store = store
    self.matcher = matcher
  }

  /// Returns how many images were matched anew; those that the advisories in force were matched with already are passed
  /// over, so that a run that was cut short is gone on with by running again. A scan that ends meanwhile looks after its
  /// own image.
  package func run() async throws -> Int {
    // Scans that looked at the advisories before they changed have stored their reports once this is through.
    try await store.write { _ in }
    var count = 0
    var last: ImageKey?
    while true {
      let batch = try keys(after: last)
      guard let final = batch.last else { return count }
      for key in batch {
        try Task.checkCancellation()
        // One image's reports at a time: an index's can be large.
        let reports = try store.read { try store.reports(of: key, in: $0) }
        guard matcher.isOutdated(reports) else { continue }
        if try await put(try await matcher.match(reports), of: key) { count += 1 }
      }
      last = final
    }
  }

  private func keys(after last: ImageKey?) throws -> [ImageKey] {
    try store.read { transaction in
      try store.imageKeys(after: last, limit: Self.batch, in: transaction)
    }
  }

  /// Stores the matched reports unless a scan or a later match has replaced them, or a removal taken them away.
  private func put(_ matched: [ReportRecord], of key: ImageKey) async throws -> Bool {
    try await store.write { [store] transaction in
      let current = try store.reports(of: key, in: transaction)
      guard current.map(\.platform) == matched.map(\.platform), current.map(\.scannedAt) == matched.map(\.scannedAt),
        zip(current, matched).allSatisfy({ $0.advisoriesGeneration <= $1.advisoriesGeneration })
      else { return false }
      try store.putReports(matched, of: key, now: matched.map(\.matchedAt).max() ?? 0, in: transaction)
      try store.changeImage(key, in: transaction) { $0.counts = matched.imageCounts }
      return true
    }
  }
}
