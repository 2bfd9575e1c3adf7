import CLMDB
import Glibc

/// A consistent view of an environment, valid inside the closure that `Environment.read` or `write` gave it to.
/// Keeping it longer is a programmer error and traps. Not Sendable: it stays on its thread.
package class ReadTransaction {
  fileprivate let handle: OpaquePointer
  fileprivate let environment: EnvironmentHandles
  fileprivate(set) var isOpen = true
  /// Names of integrations that were looked up: every event has one, and none is ever given another.
  var integrationNames: [UInt64: String] = [:]

  init(_ handle: OpaquePointer, _ environment: EnvironmentHandles) {
    self.handle = handle
    self.environment = environment
  }

  func end() { isOpen = false }

  fileprivate func dbi<K, V>(_ table: Table<K, V>) -> MDB_dbi {
    precondition(isOpen, "a transaction was kept past its closure")
    guard let dbi = environment.tables[table.name] else {
      preconditionFailure("table \(table.name) is not in the list its environment was opened with")
    }
    return dbi
  }

  /// The value under `key`, nil when there is none; so too for a key that no table can hold.
  package func get<K, V>(_ table: Table<K, V>, _ key: K) throws(StoreError) -> V? {
    var writer = KeyWriter()
    key.encode(into: &writer)
    let dbi = dbi(table)
    guard writer.isStorable else { return nil }
    var found = MDB_val()
    let status = withValue(writer.bytes) { pointer in mdb_get(handle, dbi, pointer, &found) }
    if status == MDB_NOTFOUND { return nil }
    try check(status, "read")
    return try decode(table, found)
  }

  /// Calls `body` for each entry from `first` on (from the beginning when nil), in key order, until it returns false.
  /// What `body` changes in the table it may or may not be shown.
  package func scan<K, V>(
    _ table: Table<K, V>, from first: K? = nil, _ body: (K, V) throws -> Bool
  ) throws {
    try scan(table, fromBytes: first.map(bytes(of:)) ?? [], reversed: false) { key, value in
      try body(try self.decodeKey(table, key), try self.decode(table, value))
    }
  }

  /// Calls `body` for each entry whose key begins with what `prefix` writes, in key order, until it returns false.
  package func scan<K, V>(
    _ table: Table<K, V>, prefix: (inout KeyWriter) -> Void, startingAt first: K? = nil, _ body: (K, V) throws -> Bool
  ) throws {
    var writer = KeyWriter()
    prefix(&writer)
    let start = first.map(bytes(of:)) ?? writer.bytes
    try scan(table, fromBytes: start, reversed: false) { key, value in
      guard UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size).starts(with: writer.bytes) else {
        return false
      }
      return try body(try self.decodeKey(table, key), try self.decode(table, value))
    }
  }

  /// Calls `body` for each entry from the last one back, until it returns false.
  package func scanBackwards<K, V>(_ table: Table<K, V>, from last: K? = nil, _ body: (K, V) throws -> Bool) throws {
    try scan(table, fromBytes: last.map(bytes(of:)) ?? [], reversed: true) { key, value in
      try body(try self.decodeKey(table, key), try self.decode(table, value))
    }
  }

  /// Number of entries; costs nothing.
  package func count<K, V>(_ table: Table<K, V>) throws(StoreError) -> Int {
    var statistics = MDB_stat()
    try check(mdb_stat(handle, dbi(table), &statistics), "stat")
    return Int(statistics.ms_entries)
  }

  /// Whether there is an entry under `key`; its value is not read.
  package func has<K, V>(_ table: Table<K, V>, _ key: K) throws(StoreError) -> Bool {
    try get(table.keysOnly, key) != nil
  }

  /// Pages that nothing is stored in: later writes use them before the file grows. Takes time with the number of commits
  /// that gave some up.
  func freePages() throws(StoreError) -> Int {
    // LMDB keeps lists of them in its first table, each led by its length.
    var cursor: OpaquePointer?
    try check(mdb_cursor_open(handle, 0, &cursor), "cursor")
    defer { mdb_cursor_close(cursor) }
    var pages = 0
    var (key, value) = (MDB_val(), MDB_val())
    var status = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)
    while status == 0 {
      if let list = value.mv_data, value.mv_size >= MemoryLayout<UInt>.size {
        pages += Int(clamping: list.loadUnaligned(as: UInt.self))
      }
      status = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
    }
    if status != MDB_NOTFOUND { try check(status, "scan") }
    return pages
  }

  /// Number of entries from `first` on and before `end`; decodes none of them.
  package func count<K, V>(_ table: Table<K, V>, from first: K, before end: K) throws -> Int {
    let end = bytes(of: end)
    var count = 0
    try scan(table, fromBytes: bytes(of: first), reversed: false) { key, _ in
      let isBefore = end.withUnsafeBytes { end in
        guard let bytes = key.mv_data, let other = end.baseAddress else { return false }
        let order = memcmp(bytes, other, min(key.mv_size, end.count))
        return order < 0 || (order == 0 && key.mv_size < end.count)
      }
      if isBefore { count += 1 }
      return isBefore
    }
    return count
  }

  // MARK: - Inside

  private func scan<K, V>(
    _ table: Table<K, V>, fromBytes start: [UInt8], reversed: Bool, _ body: (MDB_val, MDB_val) throws -> Bool
  ) throws {
    var cursor: OpaquePointer?
    try check(mdb_cursor_open(handle, dbi(table), &cursor), "cursor")
    defer { mdb_cursor_close(cursor) }
    var key = MDB_val()
    var value = MDB_val()
    var status: Int32
    if start.isEmpty {
      status = mdb_cursor_get(cursor, &key, &value, reversed ? MDB_LAST : MDB_FIRST)
    } else {
      status = withValue(start) { pointer in
        let status = mdb_cursor_get(cursor, pointer, &value, MDB_SET_RANGE)
        key = pointer.pointee
        return status
      }
      if reversed {
        // MDB_SET_RANGE stands at the first key not below `start`: go back unless it is that very key.
        if status == MDB_NOTFOUND {
          status = mdb_cursor_get(cursor, &key, &value, MDB_LAST)
        } else if status == 0,
          !UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size).elementsEqual(start)
        {
          status = mdb_cursor_get(cursor, &key, &value, MDB_PREV)
        }
      }
    }
    while status == 0 {
      if try !body(key, value) { return }
      status = mdb_cursor_get(cursor, &key, &value, reversed ? MDB_PREV : MDB_NEXT)
    }
    if status != MDB_NOTFOUND { try check(status, "scan") }
  }

  private func bytes(of key: some TableKey) -> [UInt8] {
    var writer = KeyWriter()
    key.encode(into: &writer)
    return writer.bytes
  }

  private func decodeKey<K, V>(_ table: Table<K, V>, _ key: MDB_val) throws(StoreError) -> K {
    var reader = KeyReader(UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size))
    guard let decoded = K(from: &reader), reader.isAtEnd else { throw damaged(table.name, "a key does not decode") }
    return decoded
  }

  private func decode<K, V>(_ table: Table<K, V>, _ value: MDB_val) throws(StoreError) -> V {
    do {
      return try V(decodingValue: UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
    } catch {
      throw damaged(table.name, "a value does not decode: \(error)")
    }
  }

  fileprivate func damaged(_ table: String, _ what: String) -> StoreError {
    StoreError(
      .damaged, "\(environment.path), table \(table): \(what)",
      hint: "stop the daemon, keep a copy of the file, and restore a backup")
  }

  fileprivate func check(_ status: Int32, _ operation: String) throws(StoreError) {
    if status != 0 { throw StoreError(status: status, operation: operation, path: environment.path) }
  }

  fileprivate func withValue(_ bytes: [UInt8], _ body: (UnsafeMutablePointer<MDB_val>) -> Int32) -> Int32 {
    bytes.withUnsafeBytes { buffer in
      // LMDB does not write through keys and values it is given; its type is mutable for C's sake only.
      var value = MDB_val(mv_size: buffer.count, mv_data: UnsafeMutableRawPointer(mutating: buffer.baseAddress))
      return body(&value)
    }
  }
}

/// A view that can change things. What it wrote is durable only when the `write` that gave it has returned.
package final class WriteTransaction: ReadTransaction {
  /// Whether anything was written since the last `takeDirty`.
  private var isDirty = false

  /// The newest event that was written, 0 for none.
  private(set) var announced: UInt64 = 0

  /// Counters of the table of facts that were taken from, and what is next: each is written once a commit.
  private var counters: [String: UInt64] = [:]

  /// The next number of a counter, which is given to nobody else. Counters begin at 1.
  package func take(_ counter: String) throws(StoreError) -> UInt64 {
    let next = try next(counter)
    isDirty = true
    counters[counter] = next + 1
    return next
  }

  /// The number that `take` would give.
  package func next(_ counter: String) throws(StoreError) -> UInt64 {
    if let next = counters[counter] { return next }
    return try get(StateStore.meta, counter) ?? 1
  }

  /// Before the commit.
  func writeCounters() throws(StoreError) {
    for (counter, next) in counters { try put(StateStore.meta, counter, next) }
  }

  /// Notes an event's number, which those who wait for it are told after the commit.
  func announce(_ event: UInt64) { announced = max(announced, event) }

  func takeDirty() -> Bool {
    defer { isDirty = false }
    return isDirty
  }

  package func put<K, V>(_ table: Table<K, V>, _ key: K, _ value: V) throws(StoreError) {
    var writer = KeyWriter()
    key.encode(into: &writer)
    guard writer.isStorable else {
      throw StoreError(
        .keyTooLong,
        "table \(table.name): a key of \(writer.bytes.count) bytes is empty, over 511 bytes, or holds a NUL",
        hint: "shorten the names it is made of")
    }
    isDirty = true
    let bytes = value.encodedValue()
    let status = withValue(writer.bytes) { keyPointer in
      withValue(bytes) { valuePointer in mdb_put(handle, dbi(table), keyPointer, valuePointer, 0) }
    }
    try check(status, "write")
  }

  /// Removes the entry under `key`; returns whether there was one.
  @discardableResult
  package func delete<K, V>(_ table: Table<K, V>, _ key: K) throws(StoreError) -> Bool {
    var writer = KeyWriter()
    key.encode(into: &writer)
    guard writer.isStorable else { return false }
    isDirty = true
    let status = withValue(writer.bytes) { mdb_del(handle, dbi(table), $0, nil) }
    if status == MDB_NOTFOUND { return false }
    try check(status, "delete")
    return true
  }

  /// Removes entries whose key begins with what `prefix` writes, at most `limit`; returns whether more are left.
  package func deleteAll<K, V>(
    _ table: Table<K, V>, prefix: (inout KeyWriter) -> Void, limit: Int
  ) throws -> Bool {
    var doomed: [K] = []
    try scan(table.keysOnly, prefix: prefix) { key, _ in
      doomed.append(key)
      return doomed.count <= limit
    }
    for key in doomed.prefix(limit) { try delete(table, key) }
    return doomed.count > limit
  }

  /// Removes every entry of a table.
  package func clear<K, V>(_ table: Table<K, V>) throws(StoreError) {
    isDirty = true
    try check(mdb_drop(handle, dbi(table), 0), "clear")
  }

  /// The number after the highest key of a table with numbered keys; 1 for an empty one.
  package func nextNumber<V>(_ table: Table<UInt64, V>) throws -> UInt64 {
    var next: UInt64? = 1
    try scanBackwards(table) { key, _ in
      next = key < .max ? key + 1 : nil
      return false
    }
    guard let next else { throw damaged(table.name, "its highest key leaves no room for another") }
    return next
  }
}

/// What transactions need of their environment. Made once at open, unchanged after.
struct EnvironmentHandles: Sendable {
  let path: String
  let tables: [String: MDB_dbi]
}
