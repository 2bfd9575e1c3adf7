import CLMDB
import Glibc
import Posix
import Synchronization

/// One LMDB environment: typed tables, readers that never wait, and one writer thread that commits in groups.
///
/// A `write` closure runs on the writer's thread, in the order of the calls; the closures of one group share a
/// transaction and one sync. It must depend on nothing but the transaction and what it captured: when another closure
/// of its group fails after having written, the group is rolled back and run again without that one.
///
/// Rejected: a child transaction per closure, which costs every write for the rare one that fails late; `NOSYNC`, which
/// loses announced changes in a power cut; growing the map, which LMDB 0.9.24 must not do under readers.
package final class Environment: Sendable {
  /// Most closures in one commit, so that a commit stays moderate.
  private static let groupMaximum = 512
  private static let readersMaximum: UInt32 = 512

  package struct Options: Sendable {
    /// Address space reserved for the file, in bytes; the file itself grows as needed.
    package var mapSizeBytes: Int = 64 << 30
    /// False gives up durability: for tests and for files built aside that are synced once at the end.
    package var isSynchronous = true

    package init() {}
  }

  private typealias Work = @Sendable (WriteTransaction) throws -> Void

  private struct Pending: Sendable {
    let work: Work
    /// Called once with nil after the commit, or with the error.
    let finish: @Sendable ((any Error)?) -> Void
  }

  private struct State {
    var pending: [Pending] = []
    var isClosing = false
    var idleReaders: [Reader] = []
    /// Callers inside LMDB other than the writer; the file is not closed under them.
    var users = 0
  }

  /// A read-only transaction that is reset between uses. MDB_NOTLS lets it move between threads; one caller has it at
  /// a time, because it is taken out of `idleReaders` under the lock.
  private struct Reader: @unchecked Sendable { let handle: OpaquePointer }

  package let path: String
  package let mapSizeBytes: Int
  private let handles: EnvironmentHandles
  /// LMDB environments may be used by any thread at any time; the pointer itself never changes.
  private nonisolated(unsafe) let environment: OpaquePointer
  /// Told after each commit that wrote events, on the writer's thread and before its writes return: the newest one.
  private let announce: @Sendable (UInt64) -> Void
  private let state = Mutex(State())
  private let wake = Signal()
  private let ended = Signal()
  /// Sent when the last user leaves a closing environment.
  private let drained = Signal()

  /// Opens or creates the environment at `path` (a file) with the given tables. `admit` looks at it in the transaction
  /// that makes missing tables: where it throws, the file is left as it was.
  package init(
    path: String, tables: [TableDescription], options: Options = Options(),
    announce: @escaping @Sendable (UInt64) -> Void = { _ in },
    admit: (WriteTransaction) throws(StoreError) -> Void = { _ in }
  ) throws(StoreError) {
    try FileCheck.verify(path)
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
    try check(mdb_env_open(environment, path, flags, 0o600), "open")
    var dead: Int32 = 0
    try check(mdb_reader_check(environment, &dead), "check readers of")
    var transaction: OpaquePointer?
    try check(mdb_txn_begin(environment, nil, 0, &transaction), "begin")
    var opened: [String: MDB_dbi] = [:]
    for table in tables {
      var dbi = MDB_dbi()
      let status = mdb_dbi_open(transaction, table.name, UInt32(MDB_CREATE), &dbi)
      if status != 0 { mdb_txn_abort(transaction) }
      try check(status, "open table \(table.name) of")
      opened[table.name] = dbi
    }
    let handles = EnvironmentHandles(path: path, tables: opened)
    if let transaction {
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
    self.path = path
    self.announce = announce
    self.mapSizeBytes = options.mapSizeBytes
    self.environment = environment
    self.handles = handles
    startThread(named: "store-writer") { [self] in writeLoop() }
  }

  /// Runs `body` on a consistent view. Short, synchronous, on the caller's thread; never waits for the writer.
  package func read<R>(_ body: (ReadTransaction) throws -> R) throws -> R {
    let reader = try takeReader()
    let transaction = ReadTransaction(reader.handle, handles)
    defer {
      transaction.end()
      mdb_txn_reset(reader.handle)
      leave(returning: reader)
    }
    return try body(transaction)
  }

  /// Runs `body` in a write transaction and returns when its commit is on disk.
  package func write<R: Sendable>(_ body: @escaping @Sendable (WriteTransaction) throws -> R) async throws -> R {
    let box = ResultBox<R>()
    return try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<R, any Error>) in
      let pending = Pending(
        work: { transaction in
          let value = try body(transaction)
          box.set(value)
        },
        finish: { error in
          if let error {
            continuation.resume(throwing: error)
          } else if let value = box.take() {
            continuation.resume(returning: value)
          } else {
            preconditionFailure("a committed write has no result")
          }
        })
      let accepted = state.withLock { state -> Bool in
        if state.isClosing { return false }
        state.pending.append(pending)
        return true
      }
      if accepted {
        wake.send()
      } else {
        continuation.resume(throwing: Self.closedError(path))
      }
    }
  }

  /// Commits what is waiting, lets running reads end, then closes the file. Later calls throw. Blocks; never call it
  /// inside `read` or `write`.
  package func close() {
    let first = state.withLock { state -> Bool in
      defer { state.isClosing = true }
      return !state.isClosing
    }
    guard first else { return }
    wake.send()
    ended.wait()
    if state.withLock({ $0.users > 0 }) { drained.wait() }
    for reader in state.withLock({ $0.idleReaders }) { mdb_txn_abort(reader.handle) }
    mdb_env_close(environment)
  }

  /// Bytes of the map in use (pages up to the last one ever used); 0 when the environment is closed.
  package var usedBytes: Int {
    guard enter() else { return 0 }
    defer { leave() }
    var information = MDB_envinfo()
    var statistics = MDB_stat()
    mdb_env_info(environment, &information)
    mdb_env_stat(environment, &statistics)
    return (information.me_last_pgno + 1) * Int(statistics.ms_psize)
  }

  /// Makes everything written so far durable; for environments opened without synchronous commits.
  package func sync() throws(StoreError) {
    guard enter() else { throw Self.closedError(path) }
    defer { leave() }
    let status = mdb_env_sync(environment, 1)
    if status != 0 { throw StoreError(status: status, operation: "sync", path: path) }
  }

  // MARK: - Readers

  private func enter() -> Bool {
    state.withLock { state in
      if !state.isClosing { state.users += 1 }
      return !state.isClosing
    }
  }

  private func leave(returning reader: Reader? = nil) {
    let isLast = state.withLock { state in
      if let reader { state.idleReaders.append(reader) }
      state.users -= 1
      return state.isClosing && state.users == 0
    }
    if isLast { drained.send() }
  }

  /// A reader at the newest commit; its caller is a user until `leave`.
  private func takeReader() throws(StoreError) -> Reader {
    guard enter() else { throw Self.closedError(path) }
    var transaction = state.withLock { $0.idleReaders.popLast()?.handle }
    let status: Int32
    if transaction != nil {
      status = mdb_txn_renew(transaction)
      if status != 0 { mdb_txn_abort(transaction) }
    } else {
      status = mdb_txn_begin(environment, nil, UInt32(MDB_RDONLY), &transaction)
    }
    guard status == 0, let transaction else {
      leave()
      throw StoreError(status: status, operation: "read", path: path)
    }
    return Reader(handle: transaction)
  }

  // MARK: - The writer

  private func writeLoop() {
    while true {
      wake.wait()
      let (group, isClosing) = state.withLock { state -> ([Pending], Bool) in
        let group = Array(state.pending.prefix(Self.groupMaximum))
        state.pending.removeFirst(group.count)
        return (group, state.isClosing && group.isEmpty)
      }
      if isClosing {
        ended.send()
        return
      }
      if !group.isEmpty { commit(group) }
      if state.withLock({ !$0.pending.isEmpty || $0.isClosing }) { wake.send() }
    }
  }

  private func commit(_ group: [Pending]) {
    var outcomes = [(any Error)?](repeating: nil, count: group.count)
    var poisoned = Set<Int>()
    while true {
      var transaction: OpaquePointer?
      let status = mdb_txn_begin(environment, nil, 0, &transaction)
      guard status == 0, let transaction else {
        return finish(group, outcomes, StoreError(status: status, operation: "begin", path: path))
      }
      let view = WriteTransaction(transaction, handles)
      var failedLate: Int?
      for (index, pending) in group.enumerated() where !poisoned.contains(index) {
        do {
          try pending.work(view)
          outcomes[index] = nil
        } catch {
          outcomes[index] = error
          if view.takeDirty() {
            failedLate = index
            break
          }
        }
        _ = view.takeDirty()
      }
      view.end()
      if let failedLate {
        mdb_txn_abort(transaction)
        poisoned.insert(failedLate)
        continue
      }
      let committed = mdb_txn_commit(transaction)
      if committed != 0 {
        return finish(group, outcomes, StoreError(status: committed, operation: "commit", path: path))
      }
      if view.announced > 0 { announce(view.announced) }
      for (index, pending) in group.enumerated() { pending.finish(outcomes[index]) }
      return
    }
  }

  /// A commit that failed takes the closures that went well with it; the others keep the errors of their own.
  private func finish(_ group: [Pending], _ outcomes: [(any Error)?], _ error: StoreError) {
    for (pending, outcome) in zip(group, outcomes) { pending.finish(outcome ?? error) }
  }

  private static func closedError(_ path: String) -> StoreError {
    StoreError(.closed, "the store \(path) is closed", hint: "the daemon is stopping: try again when it runs")
  }
}

/// A write's result on its way from the writer's thread to the waiting task.
private final class ResultBox<R: Sendable>: Sendable {
  private let value = Mutex<R?>(nil)
  func set(_ result: R) { value.withLock { $0 = result } }
  func take() -> R? { value.withLock { $0 } }
}
