import Posix
import StorageMessages
import Store
import Synchronization

/// An uploaded archive and the name of the set it becomes.
package struct AdvisoryUpload: Sendable {
  package let name: String
  package let file: String

  package init(name: String, file: String) {
    self.name = name
    self.file = file
  }
}

/// What the database holds.
package struct AdvisoryStatus: Sendable, Equatable {
  package var generation: UInt64 = 0
  /// Withdrawn ones included.
  package var advisories: UInt64 = 0
  package var ecosystems: [EcosystemRecord] = []
  package var sets: [AdvisorySetRecord] = []
}

/// The advisory database: a directory with one LMDB file for each generation of it.
///
/// An import builds the next generation aside and swaps it in whole: whatever ends it before (a bad archive, a full disk,
/// the death of the process), the old one stays in force, and what was half built is removed at the next open. Readers
/// take a snapshot and are never disturbed by an import.
package final class AdvisoryDatabase: Sendable {
  /// Address space for one generation; the file itself grows as needed.
  package static let mapSizeBytes = 16 << 30
  /// Bytes of a set's name.
  package static let nameMaximum = 200

  private struct State {
    var current: Generation?
    var isImporting = false
  }

  private let files: GenerationFiles
  private let clock: WallClock
  private let state: Mutex<State>

  /// Opens the database in `directory` (made if it is missing), and removes what a killed import left there.
  package init(
    directory: String, clock: WallClock = .system, mapSizeBytes: Int = AdvisoryDatabase.mapSizeBytes
  ) throws {
    files = GenerationFiles(directory: directory, mapSizeBytes: mapSizeBytes)
    self.clock = clock
    do {
      try File.createDirectories(directory, mode: 0o700)
      let number = try files.current()
      try files.removeLeftovers(keeping: number)
      state = Mutex(State(current: try number.map { [files] in try Generation(files, number: $0) }))
    } catch let error as PosixError {
      throw AdvisoryError(error)
    }
  }

  /// The number of the generation in force; 0 before the first import. It rises with every import.
  package var generation: UInt64 { state.withLock { $0.current?.number ?? 0 } }

  /// What is in force now, for as many reads as needed; later imports do not change it.
  package func snapshot() -> AdvisorySnapshot { AdvisorySnapshot(state.withLock { $0.current }) }

  package func status() throws -> AdvisoryStatus { try snapshot().status() }

  package func advisory(id: String) throws -> AdvisoryRecord? { try snapshot().advisory(id: id) }

  /// Imports all uploads, or none of them. A set replaces the earlier one of its name whole; other sets stay.
  ///
  /// Throws `AdvisoryError` for archives that are refused and files that cannot be written, `StoreError` when the store
  /// fails, `CancellationError` when the task is cancelled; nothing has changed then. `progress` is called now and then on another thread.
  package func importSets(
    _ uploads: [AdvisoryUpload], progress: @escaping @Sendable (ImportSummary) -> Void = { _ in }
  ) async throws -> ImportSummary {
    for upload in uploads { try Self.check(upload.name) }
    let previous = try state.withLock { state throws(AdvisoryError) -> Generation? in
      guard !state.isImporting else {
        throw AdvisoryError(.importRunning, "another import of advisories runs", hint: "wait until it has ended")
      }
      state.isImporting = true
      return state.current
    }
    defer { state.withLock { $0.isImporting = false } }
    return try await ImportThread.run { [self] in try await build(uploads, after: previous, progress) }
  }

  private func build(
    _ uploads: [AdvisoryUpload], after previous: Generation?, _ progress: @escaping @Sendable (ImportSummary) -> Void
  ) async throws -> ImportSummary {
    // The pointer may name a later one than is in force here: an import that failed after the rename.
    let number: UInt64
    do {
      number = max(previous?.number ?? 0, try files.current() ?? 0) + 1
    } catch let error as PosixError {
      throw AdvisoryError(error)
    }
    files.remove(number)
    do {
      let environment = try files.openEnvironment(number, isSynchronous: false)
      let summary: ImportSummary
      do {
        summary = try await fill(environment, uploads, after: previous, progress)
        try environment.sync()
      } catch {
        environment.close()
        throw error
      }
      environment.close()
      let next = try Generation(files, number: number)
      try files.makeCurrent(number)
      state.withLock { $0.current = next }
      previous?.supersede()
      return summary
    } catch {
      files.removeUnlessCurrent(number)
      throw (error as? PosixError).map(AdvisoryError.init) ?? error
    }
  }

  private func fill(
    _ environment: Environment, _ uploads: [AdvisoryUpload], after previous: Generation?,
    _ progress: @escaping @Sendable (ImportSummary) -> Void
  ) async throws -> ImportSummary {
    let work = AdvisoryImport(environment: environment, importedAt: clock.now, progress: progress)
    if let previous {
      try await work.keepSets(of: previous.environment, except: Set(uploads.map(\.name)))
    }
    var summary = ImportSummary()
    for upload in uploads {
      do {
        try await work.readUpload(upload.file, set: upload.name, into: &summary)
      } catch let error as AdvisoryError {
        throw error.of(set: upload.name)
      }
    }
    return summary
  }

  /// A name becomes part of a key and of messages.
  package static func check(_ name: String) throws(AdvisoryError) {
    let isPlain = !name.utf8.contains { $0 < 0x20 || $0 == 0x7F }
    guard !name.isEmpty, name.utf8.count <= nameMaximum, isPlain else {
      throw AdvisoryError(
        .badName, "the name of an import set is empty, too long, or holds a control character",
        hint: "name it after what it holds, like \"Debian\", in at most \(nameMaximum) bytes")
    }
  }
}
