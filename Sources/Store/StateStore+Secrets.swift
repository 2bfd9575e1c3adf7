import Posix
import StorageMessages

/// A part of an integration's credential. Each is sealed in a cell of its own, under this name.
package enum SecretField: String, CaseIterable, Sendable {
  /// The password, key or token.
  case main = "secret"
  /// Goes with an access key that is valid for some hours.
  case sessionToken = "session-token"
  /// Of the client certificate, in PEM.
  case clientKey = "client-key"
  case proxyPassword = "proxy-password"
}

/// What an update does with a secret.
package enum SecretChange: Sendable, Equatable {
  case keep, drop
  case replace(Secret)
}

/// What sealing everything anew came to.
package struct KeyReplacement: Sendable, Equatable {
  /// Secrets that are now sealed with the new key.
  package var sealed = 0
  /// Secrets that none of the keys opens: they stay as they are, and their integrations need them anew.
  package var unreadable = 0
}

extension StateStore {
  /// A secret of an integration, nil when it has none.
  package func secret(_ field: SecretField, of integration: UInt64) throws -> Secret? {
    let known = keys.sealers
    let key = SecretKey(integration: integration, field: field.rawValue)
    guard let sealed = try read({ try $0.get(Self.secrets, key) }) else { return nil }
    return try keys.open(sealed, with: known, integration: integration, field: field.rawValue)
  }

  /// Seals, keeps or drops a secret, and notes in the record whether there is one.
  func change(
    _ field: SecretField, _ change: SecretChange, of record: inout IntegrationRecord, in transaction: WriteTransaction
  ) throws {
    let key = SecretKey(integration: record.id, field: field.rawValue)
    switch change {
    case .keep: return
    case .drop: try transaction.delete(Self.secrets, key)
    case .replace(let secret):
      try transaction.put(
        Self.secrets, key, try keys.seal(secret, integration: record.id, field: field.rawValue))
    }
    record[field] = change != .drop
  }

  /// Replaces the key that secrets are sealed with and seals all of them anew, in one transaction. Killed at any moment, the
  /// next start goes on with it.
  package func replaceKey(now: Int64, actor: String) async throws -> KeyReplacement {
    let outcome = try await write { [self] transaction in
      try keys.beginReplacement()
      let outcome = try sealAnew(in: transaction)
      var event = EventRecord(.keyRotated, time: now)
      event.actor = actor
      event.detail = "\(outcome.sealed) secrets sealed anew"
      try append(event, in: transaction)
      return outcome
    }
    // On the writer's thread, since it blocks.
    try await write { [self] _ in try keys.finishReplacement() }
    return outcome
  }

  /// Finishes what a process that is gone began, or seals with the key that the service's unit now passes.
  func settleKeys() async throws {
    guard keys.isUnsettled else { return }
    _ = try await write { [self] in try sealAnew(in: $0) }
    try await write { [self] _ in try keys.finishReplacement() }
  }

  private func sealAnew(in transaction: WriteTransaction) throws -> KeyReplacement {
    let known = keys.sealers
    var outcome = KeyReplacement()
    var sealed: [(SecretKey, SealedRecord)] = []
    try transaction.scan(Self.secrets) { key, record in
      guard record.keyId != known[0].key.id else { return true }
      do throws(StoreError) {
        let secret = try keys.open(record, with: known, integration: key.integration, field: key.field)
        sealed.append((key, try keys.seal(secret, integration: key.integration, field: key.field)))
      } catch {
        outcome.unreadable += 1
      }
      return true
    }
    for (key, record) in sealed { try transaction.put(Self.secrets, key, record) }
    outcome.sealed = sealed.count
    return outcome
  }
}

extension IntegrationRecord {
  /// Whether a secret is stored.
  package subscript(_ field: SecretField) -> Bool {
    get {
      switch field {
      case .main: hasSecret
      case .sessionToken: hasSessionToken
      case .clientKey: hasClientKey
      case .proxyPassword: hasProxyPassword
      }
    }
    set {
      switch field {
      case .main: hasSecret = newValue
      case .sessionToken: hasSessionToken = newValue
      case .clientKey: hasClientKey = newValue
      case .proxyPassword: hasProxyPassword = newValue
      }
    }
  }
}
