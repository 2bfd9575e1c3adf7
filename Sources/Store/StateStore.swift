import Glibc
import Posix
import StorageMessages

/// The daemon's state: one environment, its schema version, and the sealed secrets. Rooms add their typed operations in
/// extensions and declare their tables as constants.
package final class StateStore: Sendable {
  /// Version of the on-disk format. A change of any table raises it and adds a migration (see SCHEMA.md).
  package static let schemaVersion: UInt64 = 1

  package let environment: Environment
  /// Rises to the number of each event that is on disk.
  package let feed: Broadcast
  let keys: KeyRing

  /// Events that are kept, apart from a batch.
  let eventsMaximum: Int

  /// Opens the state of `directory`. `tables` lists those of all rooms; `credentials` is systemd's directory of them.
  package init(
    directory: StateDirectory, tables: [TableDescription], options: Environment.Options = .init(),
    credentials: String? = nil, eventsMaximum: Int = StateStore.eventsKept
  ) async throws {
    let feed = Broadcast()
    let environment = try Environment(
      path: directory.stateFile, tables: Self.ownTables + tables, options: options,
      announce: { feed.raise(to: $0) },
      admit: { transaction throws(StoreError) in try Self.admit(transaction, path: directory.stateFile) })
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
    } catch {
      environment.close()
      throw error
    }
  }

  /// Writes the schema version into a new store; refuses one that this version does not know.
  static func admit(_ transaction: WriteTransaction, path: String) throws(StoreError) {
    switch try transaction.get(meta, "schema_version") {
    case schemaVersion?: return
    case .some(let found):
      throw StoreError(
        .schemaUnknown, "\(path) has schema version \(found); this daemon knows \(schemaVersion)",
        hint: "start a daemon of the version that wrote it, or restore a backup of this version")
    case nil:
      guard try transaction.count(meta) == 0 else {
        throw StoreError(
          .damaged, "\(path) holds data, but no schema version", hint: "keep a copy of the file and restore a backup")
      }
      try transaction.put(meta, "schema_version", schemaVersion)
    }
  }

  package func close() { environment.close() }

  package func read<R>(_ body: (ReadTransaction) throws -> R) throws -> R { try environment.read(body) }

  package func write<R: Sendable>(_ body: @escaping @Sendable (WriteTransaction) throws -> R) async throws -> R {
    try await environment.write(body)
  }
}
