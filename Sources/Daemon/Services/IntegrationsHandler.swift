import API
import Model
import Pipeline
import Posix
import RPC
import Registry
import StorageMessages
import Store

/// `tidewaiter.v1.Integrations`.
struct IntegrationsHandler: IntegrationsService {
  let store: StateStore
  let registries: RegistryClients
  let poller: Poller
  let scheduler: Scheduler
  let scanner: Scanner
  let removals: Removals
  let ledger: Ledger
  let previewer: Previewer
  let clock: WallClock

  func createIntegration(_ request: CreateIntegrationRequest, _ context: CallContext) async throws -> API.Integration {
    guard let wanted = request.integration else { throw RPCError.invalidArgument([("integration", "is required")]) }
    var reader = IntegrationReader()
    let secrets = Self.secrets(
      request.secret, sessionToken: request.sessionToken, clientKey: request.clientKeyPem,
      proxyPassword: request.proxyPassword)
    let record = reader.create(wanted, secrets: secrets)
    guard reader.violations.isEmpty else { throw RPCError.invalidArgument(reader.violations) }
    if request.validateOnly { return try shown(try store.preview(record, secrets: Set(secrets.keys))) }
    let created = try await store.createIntegration(
      record, secrets: secrets, now: clock.now, actor: context.peer.actor)
    if created.isAutomatic { scheduler.changed() }
    return try shown(created)
  }

  /// What a request gives: the one place where its bytes become secrets.
  private static func secrets(
    _ main: [UInt8], sessionToken: [UInt8], clientKey: [UInt8], proxyPassword: [UInt8]
  ) -> [SecretField: Secret] {
    let given: [(SecretField, [UInt8])] = [
      (.main, main), (.sessionToken, sessionToken), (.clientKey, clientKey), (.proxyPassword, proxyPassword),
    ]
    return given.reduce(into: [:]) { if !$1.1.isEmpty { $0[$1.0] = Secret($1.1) } }
  }

  /// As it is stored, when it is polled next and what keeps it from that, and what its registry told since the daemon
  /// started.
  private func shown(_ record: IntegrationRecord) throws -> API.Integration {
    var integration = API.Integration(record)
    integration.budget = registries.budget(of: record.id).map(Budget.init)
    let next = try scheduler.next(of: record)
    integration.schedule?.next = next.flatMap { API.Timestamp(nanoseconds: $0.nanosecondsSince1970) }
    if let problem = scheduler.problem(of: record.id) { integration.warnings.append(problem) }
    return integration
  }

  func getIntegration(_ request: GetIntegrationRequest, _ context: CallContext) throws -> API.Integration {
    try shown(try store.integration(named: request.name))
  }

  func listIntegrations(
    _ request: ListIntegrationsRequest, _ context: CallContext
  ) async throws -> ListIntegrationsResponse {
    let after = request.pageToken.isEmpty ? "" : try Paging.position(request.pageToken)
    let size = Paging.size(request.pageSize)
    let found = try store.integrations(after: after, limit: size + 1)
    var response = ListIntegrationsResponse()
    response.integrations = try found.prefix(size).map(shown)
    if found.count > size { response.nextPageToken = Paging.token(found[size - 1].name) }
    return response
  }

  func updateIntegration(_ request: UpdateIntegrationRequest, _ context: CallContext) async throws -> API.Integration {
    guard let wanted = request.integration else { throw RPCError.invalidArgument([("integration", "is required")]) }
    let paths = Set(request.updateMask?.paths ?? [])
    guard !paths.isEmpty else {
      throw RPCError.invalidArgument([("update_mask", "is required: the fields to change")])
    }
    let current = try store.integration(named: wanted.name)
    var reader = IntegrationReader()
    let secrets = Self.secrets(
      request.secret, sessionToken: request.sessionToken, clientKey: request.clientKeyPem,
      proxyPassword: request.proxyPassword)
    let update = reader.update(current, as: wanted, paths: paths, secrets: secrets, known: known(secrets, of: current))
    var revision = current.revision
    if !wanted.etag.isEmpty {
      guard let parsed = UInt64(wanted.etag), parsed > 0 else {
        throw RPCError.invalidArgument([("etag", "is not one that an answer gave")] + reader.violations)
      }
      revision = parsed
    }
    guard reader.violations.isEmpty else { throw RPCError.invalidArgument(reader.violations) }
    guard current.revision == revision else { throw IntegrationError.changed(wanted.name) }
    // An update that changes nothing is none: neither the revision rises nor is anything forgotten.
    let isDone = request.validateOnly || (update.changed.isEmpty && update.dropped.isEmpty)
    let updated = isDone ? update.preview : try await perform(update, on: current, context)
    var answer = try shown(updated)
    answer.droppedSecrets = update.dropped.map(\.path)
    answer.changedFields = update.changed
    return answer
  }

  private func perform(
    _ update: IntegrationReader.Update, on current: IntegrationRecord, _ context: CallContext
  ) async throws -> IntegrationRecord {
    let updated = try await store.updateIntegration(
      named: current.name, revision: current.revision, secrets: update.secrets, now: clock.now,
      actor: context.peer.actor
    ) { record in
      // Removed and made anew since it was read.
      guard record.id == current.id else { throw IntegrationError.changed(record.name) }
      record = update.record
    }
    registries.forget(updated.id)
    if current.isAutomatic || updated.isAutomatic { scheduler.changed() }
    // More scans at a time, or other quiet hours.
    scanner.poke()
    return updated
  }

  /// Those of the secrets given that are stored already. One that cannot be opened any more is not.
  private func known(_ given: [SecretField: Secret], of current: IntegrationRecord) -> Set<SecretField> {
    Set(
      given.filter { field, secret in
        guard current[field] else { return false }
        do {
          return try store.secret(field, of: current.id) == secret
        } catch {
          return false
        }
      }.keys)
  }

  func deleteIntegration(
    _ request: DeleteIntegrationRequest, _ context: CallContext
  ) async throws -> DeleteIntegrationResponse {
    try await removals.begin(request.name, actor: context.peer.actor)
    return DeleteIntegrationResponse()
  }

  func testIntegration(_ request: TestIntegrationRequest, _ context: CallContext) async throws
    -> TestIntegrationResponse
  {
    let record = try store.integration(named: request.name)
    var response = TestIntegrationResponse()
    response.steps = try await registries.client(for: record).test().map(TestStep.init)
    return response
  }
}

extension Budget {
  fileprivate init(_ told: RateBudget) {
    self.init()
    limit = UInt64(clamping: told.limit ?? 0)
    remaining = UInt64(clamping: told.remaining ?? 0)
    window = told.window.map { ProtoDuration(seconds: $0.components.seconds) }
    resetsAt = told.resetsAt.flatMap { API.Timestamp(nanoseconds: $0.nanosecondsSince1970) }
    throttledUntil = told.throttledUntil.flatMap { API.Timestamp(nanoseconds: $0.nanosecondsSince1970) }
    observedAt = told.observedAt.flatMap { API.Timestamp(nanoseconds: $0.nanosecondsSince1970) }
    refusals = told.refusals
  }
}

extension TestStep {
  fileprivate init(_ step: ConnectionStep) {
    self.init()
    name = step.name.rawValue
    outcome =
      switch step.outcome {
      case .ok: .ok
      case .failed: .failed
      case .skipped: .skipped
      }
    detail = step.detail
    hint = step.hint ?? ""
  }
}
