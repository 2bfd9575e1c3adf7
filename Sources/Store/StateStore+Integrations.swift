import Posix
import StorageMessages

/// What can be wrong with an operation on an integration.
package enum IntegrationError: Error, Equatable, Sendable {
  case nameTaken(String)
  case unknown(String)
  /// It is being removed: its name is free again when its images are gone.
  case beingRemoved(String)
  /// Somebody changed it meanwhile.
  case changed(String)
}

extension StateStore {
  /// Rows that one transaction of a background removal deletes, so that writers never wait long for it.
  private static let removalBatch = 500

  // MARK: - Reading

  package func integration(named name: String) throws -> IntegrationRecord {
    try read { transaction in
      guard let id = try transaction.get(Self.integrationNames, name),
        let record = try transaction.get(Self.integrations, id)
      else { throw IntegrationError.unknown(name) }
      guard !record.deleting else { throw IntegrationError.beingRemoved(name) }
      return record
    }
  }

  /// Nil for one that is unknown or being removed.
  package func integration(id: UInt64) throws -> IntegrationRecord? {
    try read { try $0.get(Self.integrations, id) }.flatMap { $0.deleting ? nil : $0 }
  }

  /// Integrations in order of name from `after` on, at most `limit`.
  package func integrations(after name: String, limit: Int) throws -> [IntegrationRecord] {
    try read { transaction in
      var found: [IntegrationRecord] = []
      try transaction.scan(Self.integrationNames, from: name.isEmpty ? nil : name) { key, id in
        if key != name, let record = try transaction.get(Self.integrations, id), !record.deleting {
          found.append(record)
        }
        return found.count < limit
      }
      return found
    }
  }

  /// Names by id, for references.
  package func integrationName(_ id: UInt64, in transaction: ReadTransaction) throws -> String {
    if let known = transaction.integrationNames[id] { return known }
    guard let name = try transaction.get(Self.integrations, id)?.name else { return "" }
    transaction.integrationNames[id] = name
    return name
  }

  package func integrationCount() throws -> Int { try read { try $0.count(Self.integrationNames) } }

  // MARK: - Changing

  /// Stores a new integration; id, times and revision are set here. `actor` is who wants it, for the event log.
  package func createIntegration(
    _ wanted: IntegrationRecord, secrets: [SecretField: Secret] = [:], now: Int64, actor: String = ""
  ) async throws -> IntegrationRecord {
    try await write { [self] transaction in
      guard try transaction.get(Self.integrationNames, wanted.name) == nil else {
        throw IntegrationError.nameTaken(wanted.name)
      }
      var record = wanted
      record.id = try transaction.take("next_integration")
      record.createdAt = now
      record.updatedAt = now
      record.revision = 1
      record.credentialGeneration = 1
      try transaction.put(Self.integrationNames, record.name, record.id)
      for (field, secret) in secrets { try change(field, .replace(secret), of: &record, in: transaction) }
      try transaction.put(Self.integrations, record.id, record)
      try begin(record, after: nil, now: now, in: transaction)
      try append(EventRecord(.integrationCreated, record, time: now, actor: actor), in: transaction)
      return record
    }
  }

  /// A new integration as it would be stored with these secrets; throws what storing it would.
  package func preview(_ wanted: IntegrationRecord, secrets: Set<SecretField>) throws -> IntegrationRecord {
    guard try read({ try $0.get(Self.integrationNames, wanted.name) }) == nil else {
      throw IntegrationError.nameTaken(wanted.name)
    }
    var record = wanted
    for field in secrets { record[field] = true }
    return record
  }

  /// Changes the integration `name` as `change` says, if its revision still is `revision` (0: whatever it is). Secrets that
  /// `secrets` does not name are kept.
  package func updateIntegration(
    named name: String, revision: UInt64, secrets: [SecretField: SecretChange] = [:], now: Int64, actor: String = "",
    _ body: @escaping @Sendable (inout IntegrationRecord) throws -> Void
  ) async throws -> IntegrationRecord {
    try await write { [self] transaction in
      guard let id = try transaction.get(Self.integrationNames, name),
        let old = try transaction.get(Self.integrations, id)
      else { throw IntegrationError.unknown(name) }
      var record = old
      guard !record.deleting else { throw IntegrationError.beingRemoved(name) }
      guard revision == 0 || record.revision == revision else { throw IntegrationError.changed(name) }
      try body(&record)
      record.updatedAt = now
      record.revision += 1
      if secrets.values.contains(where: { $0 != .keep }) { record.credentialGeneration += 1 }
      for (field, wanted) in secrets { try change(field, wanted, of: &record, in: transaction) }
      try transaction.put(Self.integrations, record.id, record)
      try begin(record, after: old, now: now, in: transaction)
      try append(EventRecord(.integrationUpdated, record, time: now, actor: actor), in: transaction)
      return record
    }
  }

  // MARK: - Removing

  /// First step of a removal: the secrets are gone and nothing finds the integration any more. `also` runs in the same
  /// transaction (the queue cancels its jobs there). What is left goes with `removeRemains`.
  package func beginRemoval(
    named name: String, now: Int64, actor: String = "",
    also: @escaping @Sendable (UInt64, WriteTransaction) throws -> Void
  ) async throws -> UInt64 {
    try await write { [self] transaction in
      guard let id = try transaction.get(Self.integrationNames, name),
        var record = try transaction.get(Self.integrations, id)
      else { throw IntegrationError.unknown(name) }
      guard !record.deleting else { throw IntegrationError.beingRemoved(name) }
      record.deleting = true
      record.credentialGeneration += 1
      for field in SecretField.allCases { try change(field, .drop, of: &record, in: transaction) }
      try transaction.put(Self.integrations, id, record)
      try append(EventRecord(.integrationRemoved, record, time: now, actor: actor), in: transaction)
      try also(id, transaction)
      return id
    }
  }

  /// Integrations whose removal has begun and not ended: to be gone on with at start.
  package func removalsBegun() throws -> [UInt64] {
    try read { transaction in
      var found: [UInt64] = []
      try transaction.scan(Self.integrations) { id, record in
        if record.deleting { found.append(id) }
        return true
      }
      return found
    }
  }

  /// Deletes a batch of what belongs to a removed integration, and at last its record and name. Returns whether more is
  /// left. Other rooms' rows must be gone already.
  package func removeRemains(of id: UInt64, now: Int64) async throws -> Bool {
    try await write { [self] transaction in
      func prefix(_ key: inout KeyWriter) { key.append(id) }
      var left = try removeReports(prefix: prefix, limit: Self.removalBatch, now: now, in: transaction)
      left = try transaction.deleteAll(Self.tags, prefix: prefix, limit: Self.removalBatch) || left
      left = try transaction.deleteAll(Self.tagHistory, prefix: prefix, limit: Self.removalBatch) || left
      left = try transaction.deleteAll(Self.repositories, prefix: prefix, limit: Self.removalBatch) || left
      left = try transaction.deleteAll(Self.imageFacts, prefix: prefix, limit: Self.removalBatch) || left
      left = try transaction.deleteAll(Self.images, prefix: prefix, limit: Self.removalBatch) || left
      left = try transaction.deleteAll(Self.confirmations, prefix: prefix, limit: Self.removalBatch) || left
      left = try transaction.deleteAll(Self.polls, prefix: prefix, limit: Self.removalBatch) || left
      if left { return true }
      if let record = try transaction.get(Self.integrations, id) {
        try transaction.delete(Self.integrationNames, record.name)
      }
      try transaction.delete(Self.scheduleStates, id)
      try transaction.delete(Self.integrations, id)
      return false
    }
  }
}
