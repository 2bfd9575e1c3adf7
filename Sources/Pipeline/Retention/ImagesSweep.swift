import Queue
import StorageMessages
import Store

/// Gives up images that no tag points to, with their reports: those that have been so for long, and, while there are too
/// many reports, those that have been so longest. An image that is on its way to be scanned stays.
struct ImagesSweep: Sendable {
  struct Count: Sendable, Equatable {
    var images: UInt64 = 0
    var reports: UInt64 = 0
  }

  struct Found: Sendable, Equatable {
    var aged = Count()
    var surplus = Count()

    var reports: UInt64 { aged.reports + surplus.reports }
  }

  fileprivate enum Reason { case aged, surplus }

  let sweeper: Sweeper
  let before: Int64
  let reportsMaximum: Int
  let now: Int64

  private var store: StateStore { sweeper.store }

  func run() async throws -> Found {
    var found = Found()
    var position: UntaggedImageKey?
    repeat {
      let (part, doomed, next) = try await sweeper.look { [self, position, found] transaction in
        try look(after: position, found, in: transaction)
      }
      position = next
      if sweeper.isDryRun {
        found = part
      } else if !doomed.isEmpty {
        found = try await store.write { [self, found] transaction in try remove(doomed, found, in: transaction) }
      }
    } while position != nil
    return found
  }

  /// The next rows that go, stale ones among them, and what that makes of `found`.
  private func look(
    after position: UntaggedImageKey?, _ found: Found, in transaction: ReadTransaction
  ) throws -> (Found, doomed: [UntaggedImageKey], next: UntaggedImageKey?) {
    var found = found
    var doomed: [UntaggedImageKey] = []
    var isAtEnd = false
    // What was found before is gone by now, but for a dry run.
    var surplus = try transaction.count(StateStore.reports) - reportsMaximum
    if sweeper.isDryRun { surplus -= Int(found.reports) }
    let next = try transaction.step(
      StateStore.imagesUntagged, prefix: { _ in }, after: position, limit: Sweeper.step
    ) { row, _ in
      if row.since >= UInt64(max(0, before)), surplus <= 0 {
        isAtEnd = true
        return false
      }
      guard let image = try transaction.get(StateStore.images, row.image), row.isBorneOut(by: image) else {
        doomed.append(row)
        return doomed.count < Sweeper.batch
      }
      guard let reason = try reason(row, surplus: surplus, in: transaction) else { return true }
      doomed.append(row)
      surplus -= found.add(try reports(of: row.image, in: transaction), reason)
      return doomed.count < Sweeper.batch
    }
    return (found, doomed, isAtEnd ? nil : next)
  }

  private func remove(_ doomed: [UntaggedImageKey], _ found: Found, in transaction: WriteTransaction) throws -> Found {
    var found = found
    for row in doomed {
      guard let image = try transaction.get(StateStore.images, row.image), row.isBorneOut(by: image) else {
        try transaction.delete(StateStore.imagesUntagged, row)
        continue
      }
      let surplus = try transaction.count(StateStore.reports) - reportsMaximum
      guard let reason = try reason(row, surplus: surplus, in: transaction) else { continue }
      try transaction.delete(StateStore.imagesUntagged, row)
      _ = found.add(try store.removeImage(row.image, now: now, in: transaction), reason)
    }
    return found
  }

  /// Why an image without a tag goes; nil where it stays.
  private func reason(
    _ row: UntaggedImageKey, surplus: Int, in transaction: ReadTransaction
  ) throws -> Reason? {
    if try transaction.has(QueueTables.active, row.image) { return nil }
    if row.since < UInt64(max(0, before)) { return .aged }
    return try surplus > 0 && reports(of: row.image, in: transaction) > 0 ? .surplus : nil
  }

  private func reports(of image: ImageKey, in transaction: ReadTransaction) throws -> Int {
    var count = 0
    try transaction.scan(
      StateStore.reports.keysOnly,
      prefix: { key in
        key.append(image.integration)
        key.append(terminated: image.repository)
        key.append(terminated: image.digest)
      }
    ) { _, _ in
      count += 1
      return true
    }
    return count
  }
}

extension ImagesSweep.Found {
  /// Returns how many reports that were.
  fileprivate mutating func add(_ reports: Int, _ reason: ImagesSweep.Reason) -> Int {
    switch reason {
    case .aged:
      aged.images += 1
      aged.reports += UInt64(reports)
    case .surplus:
      surplus.images += 1
      surplus.reports += UInt64(reports)
    }
    return reports
  }
}

extension UntaggedImageKey {
  /// False where a tag pointed to the image since.
  fileprivate func isBorneOut(by image: ImageRecord) -> Bool {
    image.untagged && UInt64(max(0, image.untaggedAt)) == since
  }
}
