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
///
/// A commit that the disk failed is answered with the error and did not happen. Where LMDB, or the kernel, cannot be
/// trusted with another one after that, the file is opened anew (Environment+Reopening.swift).
package final class Environment: Sendable {
  /// Most closures in one commit, so that a commit stays moderate.
  private static let groupMaximum = 512
  /// Readers of other processes that are gone are looked for after so many commits: until then their places keep pages
  /// from being used again.
  private static let readerCheckInterval: UInt64 = 256

  package struct Options: Sendable {
    /// Address space reserved for the file, in bytes; the file itself grows as needed.
    package var mapSizeBytes: Int = 64 << 30
    /// False gives up durability: for tests and for files built aside that are synced once at the end.
    package var isSynchronous = true
    /// Told on the writer's thread when a fault of the disk made the store open its file anew.
    package var notice: @Sendable (Notice) -> Void = { _ in }

    package init() {}
  }

  /// What the environment did about a fault of the disk.
  package enum Notice: Sendable, Equatable {
    /// The file was opened anew, and takes changes.
    case reopened
    /// The file cannot be written to: it is read, or not even that, until it can.
    case unwritable(StoreError, isReadable: Bool)
  }

  fileprivate typealias Work = @Sendable (WriteTransaction) throws -> Void

  struct Pending: Sendable {
    fileprivate let work: Work
    /// Called once with nil after the commit, or with the error.
    let finish: @Sendable ((any Error)?) -> Void
  }

  struct State {
    var pending: [Pending] = []
    var isClosing = false
    /// Nil only while it is being opened anew, and after that failed.
    var file: EnvironmentFile?
    /// Which file it is, of those that were open one after the other.
    var generation: UInt64 = 1
    var idleReaders: [Reader] = []
    /// Callers inside LMDB other than the writer; the file is not closed under them.
    var users = 0
    /// The file is about to be closed: nobody enters any more.
    var isDraining = false
    var reopening = Reopening()
  }

  /// A read-only transaction that is reset between uses. MDB_NOTLS lets it move between threads; one caller has it at
  /// a time, because it is taken out of `idleReaders` under the lock.
  struct Reader: @unchecked Sendable {
    fileprivate let handle: OpaquePointer
    fileprivate let handles: EnvironmentHandles
  }

  package let path: String
  package let mapSizeBytes: Int
  let tables: [TableDescription]
  let options: Options
  /// Told after each commit that wrote events, on the writer's thread and before its writes return: the newest one.
  private let announce: @Sendable (UInt64) -> Void
  let state: Mutex<State>
  let wake = Signal()
  private let ended = Signal()
  /// Sent when the last user leaves a file that is about to be closed.
  private let drained = Signal()

  /// Opens or creates the environment at `path` (a file) with the given tables. `admit` looks at it in the transaction
  /// that makes missing tables: where it throws, the file is left as it was.
  package init(
    path: String, tables: [TableDescription], options: Options = Options(),
    announce: @escaping @Sendable (UInt64) -> Void = { _ in },
    admit: (WriteTransaction) throws(StoreError) -> Void = { _ in }
  ) throws(StoreError) {
    try FileCheck.verify(path)
    try MetaPages.settle(path, newest: nil, isSynchronous: options.isSynchronous)
    let file = try EnvironmentFile(path: path, tables: tables, options: options, admit: admit)
    self.path = path
    self.tables = tables
    self.options = options
    self.announce = announce
    mapSizeBytes = options.mapSizeBytes
    var state = State()
    state.file = file
    state.reopening.newestCommit = file.newestCommit
    self.state = Mutex(state)
    startThread(named: "store-writer") { [self] in writeLoop() }
  }

  /// Runs `body` on a consistent view. Short, synchronous, on the caller's thread; waits for the writer only while it
  /// opens the file anew, and then not for long.
  package func read<R>(_ body: (ReadTransaction) throws -> R) throws -> R {
    let reader = try takeReader()
    let transaction = ReadTransaction(reader.handle, reader.handles)
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
    closeFile()
  }

  /// Bytes of the map in use (pages up to the last one ever used); 0 when the environment is closed.
  package var usedBytes: Int {
    do {
      let file = try enter()
      defer { leave() }
      return file.usedBytes
    } catch {
      // Nothing is in use of a file that is not open.
      return 0
    }
  }

  /// Somebody who reads the file: another program, or this one.
  package struct OldReader: Sendable, Equatable {
    package let process: Int32
    /// What was committed since the commit that it reads: none of the pages given up since are used again.
    package let commitsBehind: UInt64
  }

  /// Whoever reads the oldest commit; nil when nobody reads the file.
  package var oldestReader: OldReader? {
    do {
      let file = try enter()
      defer { leave() }
      return file.oldestReader
    } catch {
      // Nobody reads a file that is not open.
      return nil
    }
  }

  /// Makes everything written so far durable; for environments opened without synchronous commits.
  package func sync() throws(StoreError) {
    let file = try enter()
    defer { leave() }
    let status = mdb_env_sync(file.environment, 1)
    if status != 0 { throw StoreError(status: status, operation: "sync", path: path) }
  }

  // MARK: - Readers

  func leave(returning reader: Reader? = nil) {
    let isLast = state.withLock { state in
      if let reader { state.idleReaders.append(reader) }
      state.users -= 1
      return state.isDraining && state.users == 0
    }
    if isLast { drained.send() }
  }

  /// A reader at the newest commit; its caller is a user until `leave`.
  private func takeReader() throws(StoreError) -> Reader {
    var panicked: UInt64?
    while true {
      let file = try enter(after: panicked)
      let (idle, generation) = state.withLock { ($0.idleReaders.popLast(), $0.generation) }
      var transaction = idle?.handle
      let status: Int32
      if transaction != nil {
        status = mdb_txn_renew(transaction)
        if status != 0 { mdb_txn_abort(transaction) }
      } else {
        status = mdb_txn_begin(file.environment, nil, UInt32(MDB_RDONLY), &transaction)
      }
      if status == 0, let transaction { return Reader(handle: transaction, handles: file.handles) }
      leave()
      // The writer is about to open the file anew.
      guard status == MDB_PANIC else {
        throw StoreError(status: status, operation: "read", path: path)
      }
      panicked = generation
    }
  }

  /// Lets nobody enter any more, ends copies, waits until all are out, and closes the file.
  func closeFile() {
    let (copies, isEmpty) = state.withLock { state in
      state.isDraining = true
      return (Array(state.reopening.copies.values), state.users == 0)
    }
    for end in copies { end() }
    if !isEmpty { drained.wait() }
    let (file, readers) = state.withLock { state in
      defer {
        state.file = nil
        state.idleReaders = []
      }
      return (state.file, state.idleReaders)
    }
    for reader in readers { mdb_txn_abort(reader.handle) }
    file?.close()
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
      if group.isEmpty { openWhereMissing() } else { commit(group) }
      if state.withLock({ !$0.pending.isEmpty || $0.isClosing }) { wake.send() }
    }
  }

  private func commit(_ group: [Pending]) {
    var outcomes = [(any Error)?](repeating: nil, count: group.count)
    let file: EnvironmentFile
    do {
      file = try writableFile()
    } catch {
      return finish(group, outcomes, error)
    }
    var poisoned = Set<Int>()
    while true {
      var transaction: OpaquePointer?
      let status = mdb_txn_begin(file.environment, nil, 0, &transaction)
      guard status == 0, let transaction else {
        finish(group, outcomes, StoreError(status: status, operation: "begin", path: path))
        return recover(from: status, file)
      }
      let view = WriteTransaction(transaction, file.handles)
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
      if let failedLate {
        view.end()
        mdb_txn_abort(transaction)
        poisoned.insert(failedLate)
        continue
      }
      do {
        try view.writeCounters()
        view.end()
      } catch {
        view.end()
        mdb_txn_abort(transaction)
        return finish(group, outcomes, error)
      }
      let committed = mdb_txn_commit(transaction)
      if committed != 0 {
        finish(group, outcomes, StoreError(status: committed, operation: "commit", path: path))
        return recover(from: committed, file)
      }
      let newest = file.newestCommit
      state.withLock { $0.reopening.newestCommit = newest }
      if newest % Self.readerCheckInterval == 0 { file.clearDeadReaders() }
      if view.announced > 0 { announce(view.announced) }
      for (index, pending) in group.enumerated() { pending.finish(outcomes[index]) }
      return
    }
  }

  /// A commit that failed takes the closures that went well with it; the others keep the errors of their own.
  private func finish(_ group: [Pending], _ outcomes: [(any Error)?], _ error: StoreError) {
    for (pending, outcome) in zip(group, outcomes) { pending.finish(outcome ?? error) }
  }

  static func closedError(_ path: String) -> StoreError {
    StoreError(.closed, "the store \(path) is closed", hint: "the daemon is stopping: try again when it runs")
  }
}

/// A write's result on its way from the writer's thread to the waiting task.
private final class ResultBox<R: Sendable>: Sendable {
  private let value = Mutex<R?>(nil)
  func set(_ result: R) { value.withLock { $0 = result } }
  func take() -> R? { value.withLock { $0 } }
}
