import Glibc
import Posix
import StorageMessages

/// The daemon's state: one environment, its schema version, and the sealed secrets. Rooms add their typed operations in
/// extensions and declare their tables as constants.
package final class StateStore: Sendable {
  /// Version of the on-disk format. A change of any table raises it and adds a migration (see SCHEMA.md).
  package static let schemaVersion: UInt64 = 2

  package let environment: Environment
  /// Rises to the number of each event that is on disk.
  package let feed: Broadcast
  let keys: KeyRing

  /// Events that are kept, apart from a batch.
  let eventsMaximum: Int

  /// A step from the version before to `version`, in the transaction that opens the store.
  package struct Migration: Sendable {
    let version: UInt64
    let run: @Sendable (WriteTransaction) throws -> Void
    package init(to version: UInt64, _ run: @escaping @Sendable (WriteTransaction) throws -> Void) {
      self.version = version
      self.run = run
    }
  }

  /// Opens the state of `directory`. `tables` and `migrations` are those of all rooms; `credentials` is systemd's
  /// directory of them.
  package init(
    directory: StateDirectory, tables: [TableDescription], migrations: [Migration] = [],
    options: Environment.Options = .init(),
    credentials: String? = nil, eventsMaximum: Int = StateStore.eventsKept
  ) async throws {
    let feed = Broadcast()
    let environment = try Environment(
      path: directory.stateFile, tables: Self.ownTables + tables, options: options,
      announce: { feed.raise(to: $0) },
      admit: { transaction throws(StoreError) in
        try Self.admit(transaction, migrations, path: directory.stateFile)
      })
    do {
      let hasSecrets = try environment.read { try $0.count(Self.secrets) > 0 }
      keys = try KeyRing(file: directory.keyFile, credentials: credentials, hasSecrets: hasSecrets)
      feed.raise(to: try environment.read { try Self.eventRange(in: $0) }.newest)
    } catch {
      environment.close()
      throw error
    }
    self.environment = environment
    self.feed = feed
    self.eventsMaximum = eventsMaximum
    do {
      try await settleKeys()
      try await countLayersOnce(now: WallClock.system.now)
    } catch {
      environment.close()
      throw error
    }
  }

  /// Writes the schema version into a new store and brings an older one up to it; refuses one that this version does not
  /// know.
  private static func admit(
    _ transaction: WriteTransaction, _ migrations: [Migration], path: String
  ) throws(StoreError) {
    guard let found = try transaction.get(meta, "schema_version") else {
      guard try transaction.count(meta) == 0 else {
        throw StoreError(
          .damaged, "\(path) holds data, but no schema version", hint: "keep a copy of the file and restore a backup")
      }
      return try transaction.put(meta, "schema_version", schemaVersion)
    }
    if found == schemaVersion { return }
    let steps = migrations.filter { $0.version > found && $0.version <= schemaVersion }.sorted {
      $0.version < $1.version
    }
    guard found > 0, found < schemaVersion, steps.map(\.version) == Array(found + 1...schemaVersion) else {
      throw StoreError(
        .schemaUnknown, "\(path) has schema version \(found); this daemon knows \(schemaVersion)",
        hint: "start a daemon of the version that wrote it, or restore a backup of this version")
    }
    do {
      for step in steps { try step.run(transaction) }
    } catch let error as StoreError {
      throw error
    } catch {
      throw StoreError(
        .damaged, "\(path) cannot be brought from schema version \(found) to \(schemaVersion): \(error)",
        hint: "keep a copy of the file, and start a daemon of the version that wrote it")
    }
    try transaction.put(meta, "schema_version", schemaVersion)
  }

  package func close() { environment.close() }

  package func read<R>(_ body: (ReadTransaction) throws -> R) throws -> R { try environment.read(body) }

  package func write<R: Sendable>(_ body: @escaping @Sendable (WriteTransaction) throws -> R) async throws -> R {
    try await environment.write(body)
  }
}
