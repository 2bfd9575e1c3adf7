import CLMDB
import CPosix
import Glibc
import Posix

/// One LMDB environment while it is open: the C handle and its tables. `Environment` opens another one of the same file
/// when this one takes nothing any more.
///
/// LMDB environments may be used by any thread at any time, and the pointer never changes; whoever holds a value is a user
/// of the `Environment` that made it, which closes it under nobody.
struct EnvironmentFile: @unchecked Sendable {
  static let readersMaximum: UInt32 = 512
  /// More than LMDB's table of readers takes: its header and 64 bytes a reader.
  private static let lockFileBytes = Int(readersMaximum) * 64 + 4096

  let environment: OpaquePointer
  let handles: EnvironmentHandles
  let isReadOnly: Bool

  /// Opens the file at `path`. Read-only, it makes and writes nothing. `admit` looks at it in the transaction that makes
  /// missing tables: where it throws, the file is left as it was.
  init(
    path: String, tables: [TableDescription], options: Environment.Options, isReadOnly: Bool = false,
    admit: (WriteTransaction) throws(StoreError) -> Void = { _ in }
  ) throws(StoreError) {
    if !isReadOnly { try Self.reserveLockFile(path + "-lock") }
    var created: OpaquePointer?
    func check(_ status: Int32, _ operation: String) throws(StoreError) {
      if status != 0 {
        mdb_env_close(created)
        throw StoreError(status: status, operation: operation, path: path)
      }
    }
    guard mdb_env_create(&created) == 0, let environment = created else {
      throw StoreError(.io, "no memory for an LMDB environment", hint: "free memory")
    }
    try check(mdb_env_set_maxdbs(environment, UInt32(tables.count + 1)), "open")
    try check(mdb_env_set_maxreaders(environment, Self.readersMaximum), "open")
    try check(mdb_env_set_mapsize(environment, options.mapSizeBytes), "reserve the map of")
    var flags = UInt32(MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD)
    if !options.isSynchronous { flags |= UInt32(MDB_NOSYNC) }
    if isReadOnly { flags |= UInt32(MDB_RDONLY) }
    try check(mdb_env_open(environment, path, flags, 0o600), "open")
    var dead: Int32 = 0
    try check(mdb_reader_check(environment, &dead), "check readers of")
    var transaction: OpaquePointer?
    try check(mdb_txn_begin(environment, nil, isReadOnly ? UInt32(MDB_RDONLY) : 0, &transaction), "begin")
    var opened: [String: MDB_dbi] = [:]
    for table in tables {
      var dbi = MDB_dbi()
      let status = mdb_dbi_open(transaction, table.name, isReadOnly ? 0 : UInt32(MDB_CREATE), &dbi)
      if status != 0 { mdb_txn_abort(transaction) }
      try check(status, "open table \(table.name) of")
      opened[table.name] = dbi
    }
    let handles = EnvironmentHandles(path: path, tables: opened)
    if !isReadOnly, let transaction {
      let view = WriteTransaction(transaction, handles)
      defer { view.end() }
      do {
        try admit(view)
      } catch {
        mdb_txn_abort(transaction)
        mdb_env_close(environment)
        throw error
      }
    }
    try check(mdb_txn_commit(transaction), "commit")
    self.environment = environment
    self.handles = handles
    self.isReadOnly = isReadOnly
  }

  func close() { mdb_env_close(environment) }

  /// Number of the newest commit that LMDB goes by.
  var newestCommit: UInt64 {
    var information = MDB_envinfo()
    mdb_env_info(environment, &information)
    return UInt64(information.me_last_txnid)
  }

  /// Bytes of the map in use: pages up to the last one ever used.
  var usedBytes: Int {
    var information = MDB_envinfo()
    var statistics = MDB_stat()
    mdb_env_info(environment, &information)
    mdb_env_stat(environment, &statistics)
    return (information.me_last_pgno + 1) * Int(statistics.ms_psize)
  }

  /// Frees the places of readers whose processes are gone.
  func clearDeadReaders() {
    var dead: Int32 = 0
    // Where it fails the places stay taken until the next time.
    mdb_reader_check(environment, &dead)
  }

  /// The reader that reads the oldest commit; nil when nobody reads.
  var oldestReader: Environment.OldReader? {
    final class Listing { var text = "" }
    let listing = Listing()
    mdb_reader_list(
      environment,
      { text, context in
        guard let text, let context else { return 0 }
        Unmanaged<Listing>.fromOpaque(context).takeUnretainedValue().text += String(cString: text)
        return 0
      }, Unmanaged.passUnretained(listing).toOpaque())
    // A line for each: its process, its thread, and the commit it reads, "-" for one that reads none.
    let newest = newestCommit
    var oldest: Environment.OldReader?
    for line in listing.text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 3, let process = Int32(words[0]), let commit = UInt64(words[2]) else { continue }
      let behind = newest - min(newest, commit)
      if behind >= oldest?.commitsBehind ?? 0 { oldest = .init(process: process, commitsBehind: behind) }
    }
    return oldest
  }

  /// Whether LMDB refuses everything until the environment is opened anew, as it does after a meta page that could not be
  /// written.
  var isPanicked: Bool {
    var transaction: OpaquePointer?
    let status = mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &transaction)
    if status == 0 { mdb_txn_abort(transaction) }
    return status == MDB_PANIC
  }

  /// Gives the table of readers its blocks on disk. LMDB maps it and leaves it sparse, so that on a full disk the first
  /// reader in a new part of it would end the process by SIGBUS. Not while the environment is open: closing a descriptor
  /// of this file drops the locks that LMDB has on it.
  private static func reserveLockFile(_ path: String) throws(StoreError) {
    let descriptor = cposix_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw StoreError(PosixError("open \(path)"), path: path) }
    defer { Glibc.close(descriptor) }
    let status = posix_fallocate(descriptor, 0, lockFileBytes)
    guard status == 0 else { throw StoreError(PosixError("reserve \(path)", errno: status), path: path) }
  }
}
