import CLMDB
import Glibc
import Posix
import Synchronization

/// Opening the file anew, by the writer's thread alone.
///
/// LMDB 0.9.24 refuses everything, reads too, after a meta page that could not be written, until the environment is opened
/// anew; after any other failure of a commit by the disk it goes on, but with a description of the file that tells of that
/// failure once more (see `MetaPages`). In both cases new readers wait a moment while those that run end, the file is
/// closed, what its meta pages say is made sure of on disk, and it is opened again. Where that does not work it is opened
/// for reading alone, and whoever wants to write next has it tried again.
extension Environment {
  /// How long a reader waits for the file; long enough for others to end what they read, and bounded because a reader may
  /// have been begun inside another, which the file is not closed under.
  private static let readerWait = Duration.seconds(1)
  /// Attempts to open a file, where they fail, are no closer together than this.
  private static let attemptInterval = Duration.milliseconds(100)

  struct Reopening {
    /// The newest commit that was answered well. A later one in the file is one that failed.
    var newestCommit: UInt64 = 0
    /// Why the file cannot be written to, since the last attempt to open it.
    var fault: StoreError?
    var lastAttempt: ContinuousClock.Instant?
    /// Those who wait for the file.
    var waiters: [Signal] = []
    /// What ends the copies that are being made.
    var copies: [UInt64: @Sendable () -> Void] = [:]
    var lastCopy: UInt64 = 0
  }

  /// Why the store takes no changes at present, after a fault of the disk; nil when it does.
  package var fault: StoreError? { state.withLock { $0.reopening.fault } }

  /// The file that is open; its caller is a user until `leave`. Waits for a moment while there is none, or none after the
  /// generation `panicked`.
  func enter(after panicked: UInt64? = nil) throws(StoreError) -> EnvironmentFile {
    enum Entry {
      case file(EnvironmentFile)
      case refused(StoreError)
      case later(Signal)
    }
    var deadline: ContinuousClock.Instant?
    while true {
      let entry = state.withLock { state -> Entry in
        if state.isClosing { return .refused(Self.closedError(path)) }
        if !state.isDraining, let file = state.file, state.generation > panicked ?? 0 {
          state.users += 1
          return .file(file)
        }
        if deadline != nil, !state.isDraining, state.file == nil, let fault = state.reopening.fault {
          return .refused(fault)
        }
        if let deadline, deadline <= .now { return .refused(state.reopening.fault ?? Self.reopeningError(path)) }
        let signal = Signal()
        state.reopening.waiters.append(signal)
        return .later(signal)
      }
      switch entry {
      case .file(let file): return file
      case .refused(let error): throw error
      case .later(let signal):
        wake.send()
        let end = deadline ?? .now + Self.readerWait
        deadline = signal.wait(atMost: end - .now) ? end : .now
      }
    }
  }

  // MARK: - On the writer's thread

  /// The file to write to. Where the last attempt to open it for writing failed, another is made.
  func writableFile() throws(StoreError) -> EnvironmentFile {
    if let file = state.withLock(\.file), !file.isReadOnly { return file }
    attemptToOpen()
    let (file, fault) = state.withLock { ($0.file, $0.reopening.fault) }
    guard let file, !file.isReadOnly else { throw fault ?? Self.reopeningError(path) }
    return file
  }

  /// After a commit that failed with `status`: opens the file anew where it must be.
  func recover(from status: Int32, _ file: EnvironmentFile) {
    // Not for what says nothing of the disk: a full map, no room, a file system that became read-only.
    guard status == EIO || file.isPanicked else { return }
    closeFile()
    open()
  }

  /// For readers who found no file.
  func openWhereMissing() {
    if state.withLock({ $0.file == nil }) { attemptToOpen() }
  }

  private func attemptToOpen() {
    let (isReadOnly, newest, lastAttempt) = state.withLock { state in
      (state.file != nil, state.reopening.newestCommit, state.reopening.lastAttempt)
    }
    // Those who ask for it wait, rather than being refused because others asked just before.
    if let lastAttempt {
      let pause = Self.attemptInterval - (.now - lastAttempt)
      if pause > .zero { poll(nil, 0, Int32(pause / .milliseconds(1)) + 1) }
    }
    if isReadOnly {
      // Readers are in it: it is closed only when what follows is likely to work.
      do {
        try MetaPages.settle(path, newest: newest, isSynchronous: options.isSynchronous)
      } catch {
        return state.withLock { state in
          state.reopening.fault = error
          state.reopening.lastAttempt = .now
        }
      }
      closeFile()
    }
    open()
  }

  /// Opens the file when it is closed: for writing, else for reading, else not at all.
  private func open() {
    let newest = state.withLock { $0.reopening.newestCommit }
    var opened: EnvironmentFile?
    var fault: StoreError?
    do {
      try FileCheck.verify(path)
      try MetaPages.settle(path, newest: newest, isSynchronous: options.isSynchronous)
      opened = try EnvironmentFile(path: path, tables: tables, options: options)
    } catch {
      fault = error
      opened = readOnlyFile(newest: newest)
    }
    let isNews = state.withLock { state in
      defer {
        state.file = opened
        state.generation += 1
        state.isDraining = false
        state.reopening.fault = fault
        state.reopening.lastAttempt = fault == nil ? nil : .now
      }
      return fault == nil || state.reopening.fault == nil
    }
    wakeWaiters()
    guard isNews else { return }
    options.notice(fault.map { .unwritable($0, isReadable: opened != nil) } ?? .reopened)
  }

  /// The file for reading, where it shows nothing of a commit that failed.
  private func readOnlyFile(newest: UInt64) -> EnvironmentFile? {
    do {
      let file = try EnvironmentFile(path: path, tables: tables, options: options, isReadOnly: true)
      if file.newestCommit <= newest { return file }
      file.close()
    } catch {
      // Why it cannot be written to is told, and is the more useful of the two.
    }
    return nil
  }

  private func wakeWaiters() {
    let waiters = state.withLock { state in
      defer { state.reopening.waiters = [] }
      return state.reopening.waiters
    }
    for waiter in waiters { waiter.send() }
  }

  private static func reopeningError(_ path: String) -> StoreError {
    StoreError(
      .reopening, "the store \(path) is being opened anew after a fault of the disk", hint: "try again in a moment")
  }
}
