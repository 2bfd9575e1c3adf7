extension ReadTransaction {
  /// Calls `body` for the entries after `after` whose key begins with what `prefix` writes, until it returns false or
  /// `limit` entries were looked at. Returns where to go on, nil when there are no more.
  package func step<Key: TableKey & Equatable, Value>(
    _ table: Table<Key, Value>, prefix: (inout KeyWriter) -> Void = { _ in }, after: Key?, limit: Int,
    _ body: (Key, Value) throws -> Bool
  ) throws -> Key? {
    var next: Key?
    var lookedAt = 0
    try scan(table, prefix: prefix, startingAt: after) { key, value in
      if key == after { return true }
      lookedAt += 1
      guard try body(key, value), lookedAt < limit else {
        next = key
        return false
      }
      return true
    }
    return next
  }
}
