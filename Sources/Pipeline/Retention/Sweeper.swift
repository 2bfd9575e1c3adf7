import Posix
import Store

/// Goes through a table and removes what a rule gives up. Rows are looked at in steps on a thread that may be held up; only
/// what is found is removed, in small transactions that look at it again, so that other writers have their turn.
struct Sweeper: Sendable {
  enum Verdict: Sendable {
    case keep
    case remove
    /// Neither this row nor any after it is removed.
    case end
  }

  /// Rows looked at in one step, and removed in one transaction.
  static let step = 5_000
  static let batch = 250

  let store: StateStore
  let reader: SerialThread
  let isDryRun: Bool
  /// Throws when the collection is not to go on.
  let check: @Sendable () throws -> Void

  /// Returns how many rows were removed, or would be. `remove` takes away the row, and what goes with it.
  func sweep<Key: TableKey & Equatable, Value: TableValue>(
    _ table: Table<Key, Value>, prefix: @escaping @Sendable (inout KeyWriter) -> Void = { _ in },
    _ verdict: @escaping @Sendable (Key, Value, ReadTransaction) throws -> Verdict,
    remove: @escaping @Sendable (Key, Value, WriteTransaction) throws -> Void
  ) async throws -> UInt64 {
    var removed: UInt64 = 0
    var position: Key?
    repeat {
      let (doomed, next) = try await look { [position] transaction -> ([Key], Key?) in
        var doomed: [Key] = []
        var isAtEnd = false
        let next = try transaction.step(table, prefix: prefix, after: position, limit: Self.step) { key, value in
          switch try verdict(key, value, transaction) {
          case .keep: return true
          case .remove: doomed.append(key)
          case .end: isAtEnd = true
          }
          return !isAtEnd && doomed.count < Self.batch
        }
        return (doomed, isAtEnd ? nil : next)
      }
      position = next
      if isDryRun {
        removed += UInt64(doomed.count)
      } else if !doomed.isEmpty {
        removed += try await store.write { transaction in
          var count: UInt64 = 0
          for key in doomed {
            guard let value = try transaction.get(table, key),
              case .remove = try verdict(key, value, transaction)
            else { continue }
            try remove(key, value, transaction)
            count += 1
          }
          return count
        }
      }
    } while position != nil
    return removed
  }

  /// The same for rows that nothing goes with.
  func sweep<Key: TableKey & Equatable, Value: TableValue>(
    _ table: Table<Key, Value>,
    _ verdict: @escaping @Sendable (Key, Value, ReadTransaction) throws -> Verdict
  ) async throws -> UInt64 {
    try await sweep(table, verdict, remove: { key, _, transaction in try transaction.delete(table, key) })
  }

  /// One step of reading.
  func look<R: Sendable>(_ body: @escaping @Sendable (ReadTransaction) throws -> R) async throws -> R {
    try check()
    try Task.checkCancellation()
    return try await reader.run { [store] in try store.read(body) }
  }
}
