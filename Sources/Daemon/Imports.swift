import API
import Advisories
import Logging
import Pipeline
import Posix
import RPC
import StorageMessages
import Store
import Synchronization

/// Imports of advisories: each runs in the background, is followed by a new match of every stored report, and can be
/// asked for until the daemon stops.
final class Imports: Sendable {
  /// How many are remembered.
  private static let rememberedMaximum = 32

  private struct State {
    var imports: [(id: String, status: API.Import)] = []
    var tasks: [String: Task<Void, Never>] = [:]
    /// How often one of them has changed.
    var changes: UInt64 = 0
    /// The advisories are being changed; the new match that follows does not count.
    var isImporting = false
    var isStopping = false
  }

  private let store: StateStore
  private let advisories: AdvisoryDatabase
  private let uploads: Uploads
  private let rematcher: Rematcher
  private let clock: WallClock
  private let log: Logger
  private let state = Mutex(State())

  /// Rises with each change of an import.
  let feed = Broadcast()

  init(
    store: StateStore, advisories: AdvisoryDatabase, uploads: Uploads, rematcher: Rematcher, clock: WallClock,
    log: Logger
  ) {
    self.store = store
    self.clock = clock
    self.advisories = advisories
    self.uploads = uploads
    self.rematcher = rematcher
    self.log = log
  }

  func status(_ id: String) -> API.Import? { state.withLock { $0.imports.first { $0.id == id }?.status } }

  /// Starts an import of complete uploads, which are gone at its end. Refused while another one runs, and the uploads stay.
  func start(_ uploadIDs: [String], owner: UInt32, actor: String = "") throws -> API.Import {
    let taken = try uploads.take(uploadIDs, owner: owner)
    do {
      return try begin(taken, actor)
    } catch {
      uploads.giveBack(taken)
      throw error
    }
  }

  private func begin(_ taken: [Uploads.Upload], _ actor: String) throws -> API.Import {
    try state.withLock { state in
      if state.isStopping {
        throw RPCError(.unavailable, reason: "STOPPING", "the daemon is stopping", hint: "try again when it runs")
      }
      if state.isImporting {
        throw RPCError(
          .aborted, reason: "IMPORT_RUNNING", "another import of advisories runs", hint: "wait until it has ended")
      }
      state.isImporting = true
      // None that another daemon on the same socket has given, or will give.
      let id = String(UInt64.random(in: .min ... .max), radix: 36)
      var status = API.Import()
      status.id = id
      status.state = .running
      if state.imports.count >= Self.rememberedMaximum,
        let index = state.imports.firstIndex(where: { $0.status.state != .running })
      {
        state.imports.remove(at: index)
      }
      state.imports.append((id, status))
      state.tasks[id] = Task { await run(id, taken, actor) }
      return status
    }
  }

  private func change(_ id: String, _ change: (inout API.Import) -> Void) {
    let changes = state.withLock { state in
      if let index = state.imports.firstIndex(where: { $0.id == id }) { change(&state.imports[index].status) }
      state.changes += 1
      return state.changes
    }
    feed.raise(to: changes)
  }

  private func run(_ id: String, _ taken: [Uploads.Upload], _ actor: String) async {
    var log = log
    log[metadataKey: "import"] = "\(id)"
    log.info("import begins", metadata: ["sets": "\(taken.map(\.name).joined(separator: ", "))"])
    let summary: Result<ImportSummary, any Error>
    do {
      summary = .success(
        try await advisories.importSets(taken.map { AdvisoryUpload(name: $0.name, file: $0.path) }) { summary in
          self.change(id) { $0.take(summary) }
        })
    } catch {
      summary = .failure(error)
    }
    state.withLock { $0.isImporting = false }
    do {
      try await uploads.remove(taken)
    } catch {
      log.error("uploads cannot be removed", metadata: ["error": "\(error)"])
    }
    var failure: ErrorDetail?
    switch summary {
    case .success(let summary):
      change(id) { $0.take(summary) }
      log.info(
        "advisories are in force", metadata: ["records": "\(summary.kept)", "skipped": "\(summary.skipped)"])
      await announce("\(taken.map(\.name).joined(separator: ", ")): \(summary.kept) records", actor, log)
      failure = await rematch(log) { images in change(id) { $0.imagesRematched = UInt64(images) } }
    case .failure(let error):
      failure = Self.detail(error)
      log.error("import failed", metadata: ["error": "\(error)"])
    }
    change(id) { status in
      status.state = failure == nil ? .finished : .failed
      status.error = failure
    }
    state.withLock { _ = $0.tasks.removeValue(forKey: id) }
  }

  /// At start: matches the reports that a stop or a crash left unmatched after an import.
  func resume() {
    state.withLock { state in
      if state.isStopping { return }
      state.tasks[""] = Task {
        await announce("imported before this start", "", log)
        _ = await rematch(log) { _ in }
        self.state.withLock { _ = $0.tasks.removeValue(forKey: "") }
      }
    }
  }

  /// Writes the event of the advisories in force, unless it was written. They are an environment of their own, so that it
  /// cannot be done in the transaction that brings them in; what a death comes between is made up for at the next start.
  private func announce(_ detail: String, _ actor: String, _ log: Logger) async {
    let generation = advisories.generation
    var event = EventRecord(.advisoriesImported, time: clock.now)
    event.detail = detail
    event.actor = actor
    do {
      try await store.write { [store, event] transaction in
        let told = try transaction.get(StateStore.meta, "announced_advisories") ?? 0
        guard generation > 0 && generation != told else { return }
        try transaction.put(StateStore.meta, "announced_advisories", generation)
        try store.append(event, in: transaction)
      }
    } catch {
      log.error("the import could not be recorded as an event", metadata: ["error": "\(error)"])
    }
  }

  /// Returns why not every report could be matched anew; the rest follows at the next start.
  private func rematch(_ log: Logger, _ done: (Int) -> Void) async -> ErrorDetail? {
    do {
      let images = try await rematcher.run()
      done(images)
      if images > 0 { log.info("stored reports are matched anew", metadata: ["images": "\(images)"]) }
      return nil
    } catch is CancellationError {
      return ErrorDetail(
        code: "INTERRUPTED",
        message:
          "the daemon stopped; the advisories are in force, and not every stored report is matched with them yet",
        hint: "nothing: the next start goes on")
    } catch {
      log.error("not every stored report could be matched anew", metadata: ["error": "\(error)"])
      return Self.detail(error)
    }
  }

  private static func detail(_ error: any Error) -> ErrorDetail? {
    switch error {
    case let error as AdvisoryError:
      ErrorDetail(code: error.code.rawValue, message: error.message, hint: error.hint)
    case let error as StoreError:
      ErrorDetail(code: error.code.rawValue, message: error.message, hint: error.hint)
    case is CancellationError:
      ErrorDetail(
        code: "INTERRUPTED", message: "the daemon stopped; the advisories in force are unchanged", hint: "import again")
    default: ErrorDetail(code: "INTERNAL", message: "\(error)", hint: "see the daemon's log")
    }
  }

  /// Ends imports that run; what was in force before stays.
  func stop() async {
    let tasks = state.withLock { state in
      state.isStopping = true
      return Array(state.tasks.values)
    }
    for task in tasks { task.cancel() }
    await end()
  }

  /// Returns when the imports that run now have ended.
  func end() async {
    for task in state.withLock({ Array($0.tasks.values) }) { await task.value }
  }
}

extension API.Import {
  fileprivate mutating func take(_ summary: ImportSummary) {
    recordsRead = summary.read
    recordsKept = summary.kept
    recordsSkipped = summary.skipped
    skipped = summary.skippedNames
  }
}
