import CSQLite
import Inventory
import StorageMessages

/// Reads the packages of an rpm database in SQLite format from memory. The file is an attacker's: SQLite opens it
/// read-only, trusts nothing in its schema, and checks it before it is read (sqlite.org/security.html). The rows are read
/// even where the check fails: an index that broke hides no package.
struct RPMSQLite {
  /// Rows read at most, and SQLite's longest value.
  private static let rowsMax = 200_000
  private static let valueBytesMax: Int32 = 64 << 20

  /// Adds what is there to `collector`; returns what was wrong.
  static func read(
    _ bytes: inout [UInt8], into collector: inout PackageCollector, checkTime: () throws(LayerError) -> Void
  ) throws(LayerError) -> [LayerError] {
    guard bytes.count >= 100, bytes.starts(with: "SQLite format 3\0".utf8) else {
      return [LayerError(.databaseMalformed, "the rpm database is no SQLite file")]
    }
    // Bytes 18 and 19 say "write-ahead log" with 2. There is no log beside a file in memory: 1 makes SQLite read it.
    for index in 18...19 where bytes[index] == 2 { bytes[index] = 1 }
    let result = bytes.withUnsafeMutableBytes { buffer in
      Result { () throws(LayerError) in
        let connection = try Connection()
        try connection.adopt(buffer)
        return try connection.readPackages(into: &collector, checkTime: checkTime)
      }
    }
    return try result.get()
  }

  /// Valid while the bytes it adopted stay where they are.
  private struct Connection: ~Copyable {
    private let handle: OpaquePointer

    init() throws(LayerError) {
      var handle: OpaquePointer?
      let status = sqlite3_open_v2(":memory:", &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, nil)
      guard status == SQLITE_OK, let handle else {
        sqlite3_close_v2(handle)
        throw LayerError(.databaseMalformed, "SQLite could not be started: \(String(cString: sqlite3_errstr(status)))")
      }
      self.handle = handle
      sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, RPMSQLite.valueBytesMax)
    }

    borrowing func adopt(_ bytes: UnsafeMutableRawBufferPointer) throws(LayerError) {
      let size = sqlite3_int64(bytes.count)
      let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
      guard
        sqlite3_deserialize(handle, "main", start, size, size, UInt32(SQLITE_DESERIALIZE_READONLY)) == SQLITE_OK
      else { throw LayerError(.databaseMalformed, "SQLite refuses the rpm database: \(message)") }
    }

    deinit { sqlite3_close_v2(handle) }

    private var message: String { String(cString: sqlite3_errmsg(handle)) }

    borrowing func readPackages(
      into collector: inout PackageCollector, checkTime: () throws(LayerError) -> Void
    ) throws(LayerError) -> [LayerError] {
      var errors: [LayerError] = []
      for setting in ["trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"] {
        _ = try rows("PRAGMA \(setting)", checkTime) { _ in }
      }
      do throws(LayerError) {
        var verdict = ""
        _ = try rows("PRAGMA quick_check(1)", checkTime) { verdict = $0.text(0) }
        if verdict != "ok" { errors.append(Self.damaged(verdict)) }
      } catch {
        if error.code == .cpuLimit { throw error }
        errors.append(Self.damaged(error.message))
      }
      var isTable = false
      let schema =
        "SELECT 1 FROM sqlite_schema WHERE type='table' AND name='Packages' AND sql NOT LIKE 'CREATE VIRTUAL%'"
      var headers = RPMHeaders()
      do throws(LayerError) {
        _ = try rows(schema, checkTime) { _ in isTable = true }
        guard isTable else {
          return errors + [LayerError(.databaseMalformed, "the rpm database has no table of packages")]
        }
        let isWhole = try rows("SELECT blob FROM Packages", checkTime) { row in
          headers.add(row.blob(0), into: &collector)
        }
        if !isWhole {
          errors.append(LayerError(.packageLimit, "the rpm database has more than \(RPMSQLite.rowsMax) rows"))
        }
      } catch {
        if error.code == .cpuLimit { throw error }
        errors.append(error)
      }
      if let error = headers.error { errors.append(error) }
      return errors
    }

    private static func damaged(_ reason: String) -> LayerError {
      LayerError(.databaseMalformed, "the rpm database is damaged: \(reason)")
    }

    /// False when rows were left out.
    private borrowing func rows(
      _ sql: String, _ checkTime: () throws(LayerError) -> Void, _ body: (borrowing Row) -> Void
    ) throws(LayerError) -> Bool {
      var statement: OpaquePointer?
      guard sqlite3_prepare_v2(handle, sql, -1, &statement, nil) == SQLITE_OK, let statement else {
        throw LayerError(.databaseMalformed, "the rpm database cannot be read: \(message)")
      }
      defer { sqlite3_finalize(statement) }
      for _ in 0..<RPMSQLite.rowsMax {
        switch sqlite3_step(statement) {
        case SQLITE_ROW: body(Row(statement: statement))
        case SQLITE_DONE: return true
        default: throw LayerError(.databaseMalformed, "the rpm database cannot be read on: \(message)")
        }
        try checkTime()
      }
      return false
    }
  }

  private struct Row: ~Copyable {
    let statement: OpaquePointer

    func text(_ column: Int32) -> String { sqlite3_column_text(statement, column).map { String(cString: $0) } ?? "" }

    /// Valid until the next step; empty for another type.
    func blob(_ column: Int32) -> UnsafeRawBufferPointer {
      guard sqlite3_column_type(statement, column) == SQLITE_BLOB else {
        return UnsafeRawBufferPointer(start: nil, count: 0)
      }
      return UnsafeRawBufferPointer(
        start: sqlite3_column_blob(statement, column), count: Int(sqlite3_column_bytes(statement, column)))
    }
  }
}
