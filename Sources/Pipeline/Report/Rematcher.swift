import StorageMessages
import Store

/// Matches every stored report anew after the advisories have changed, without fetching a byte.
package struct Rematcher: Sendable {
  /// Images in one transaction.
  private static let batch = 32

  private let store: StateStore
  private let matcher: ReportMatcher

  package init(store: StateStore, matcher: ReportMatcher) {
    self.store = store
    self.matcher = matcher
  }

  /// Returns how many images were matched. A scan that ends meanwhile looks after its own image.
  package func run() async throws -> Int {
    var count = 0
    var last: ImageKey?
    while true {
      try Task.checkCancellation()
      let batch = try nextBatch(after: last)
      guard let final = batch.last?.key else { return count }
      for (key, reports) in batch where !reports.isEmpty {
        let matched = try await matcher.match(reports)
        try await put(matched, of: key)
        count += 1
      }
      last = final
    }
  }

  private func nextBatch(after last: ImageKey?) throws -> [(key: ImageKey, reports: [ReportRecord])] {
    try store.read { transaction in
      try store.images(integration: nil, after: last, limit: Self.batch, in: transaction) { _, _ in true }
        .map { key, _ in (key, try store.reports(of: key, in: transaction)) }
    }
  }

  /// Stores the matched reports unless a scan has replaced them, or a removal taken them away.
  private func put(_ matched: [ReportRecord], of key: ImageKey) async throws {
    try await store.write { [store] transaction in
      let current = try store.reports(of: key, in: transaction)
      guard current.map(\.platform) == matched.map(\.platform), current.map(\.scannedAt) == matched.map(\.scannedAt)
      else { return }
      try store.putReports(matched, of: key, in: transaction)
      try store.changeImage(key, in: transaction) { $0.counts = matched.imageCounts }
    }
  }
}
