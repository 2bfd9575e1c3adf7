import API
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
  let removals: Removals
  let clock: WallClock

  func createIntegration(_ request: CreateIntegrationRequest, _ context: CallContext) async throws -> API.Integration {
    guard let wanted = request.integration else { throw RPCError.invalidArgument([("integration", "is required")]) }
    var reader = IntegrationReader()
    let record = reader.create(wanted, secret: request.secret)
    guard reader.violations.isEmpty else { throw RPCError.invalidArgument(reader.violations) }
    let secret = request.secret.isEmpty ? nil : request.secret
    return API.Integration(
      try await store.createIntegration(record, secret: secret, now: clock.now, actor: context.peer.actor))
  }

  func getIntegration(_ request: GetIntegrationRequest, _ context: CallContext) throws -> API.Integration {
    API.Integration(try store.integration(named: request.name))
  }

  func listIntegrations(
    _ request: ListIntegrationsRequest, _ context: CallContext
  ) async throws -> ListIntegrationsResponse {
    let after = request.pageToken.isEmpty ? "" : try Paging.position(request.pageToken)
    let size = Paging.size(request.pageSize)
    let found = try store.integrations(after: after, limit: size + 1)
    var response = ListIntegrationsResponse()
    response.integrations = found.prefix(size).map { API.Integration($0) }
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
    let update = reader.update(current, as: wanted, paths: paths, secret: request.secret)
    var revision = current.revision
    if !wanted.etag.isEmpty {
      guard let parsed = UInt64(wanted.etag), parsed > 0 else {
        throw RPCError.invalidArgument([("etag", "is not one that an answer gave")] + reader.violations)
      }
      revision = parsed
    }
    guard reader.violations.isEmpty else { throw RPCError.invalidArgument(reader.violations) }
    let updated = try await store.updateIntegration(
      named: wanted.name, revision: revision, secret: update.secret, now: clock.now, actor: context.peer.actor
    ) { record in
      // Removed and made anew since it was read.
      guard record.id == current.id else { throw IntegrationError.changed(record.name) }
      record = update.record
    }
    registries.forget(updated.id)
    return API.Integration(updated)
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

  func pollIntegration(_ request: PollIntegrationRequest, _ context: CallContext) async throws -> API.Poll {
    let record = try store.integration(named: request.name)
    return API.Poll(try await poller.start(record, actor: context.peer.actor), integration: record.name)
  }

  func getPoll(_ request: GetPollRequest, _ context: CallContext) throws -> API.Poll {
    let record = try store.integration(named: request.integration)
    guard let poll = try poller.poll(PollKey(integration: record.id, poll: request.id)) else {
      throw RPCError(
        .notFound, reason: "UNKNOWN_POLL", "no poll \(request.id) of \(record.name)",
        hint: "start one with: tidewaiter integration poll \(record.name)")
    }
    return API.Poll(poll, integration: record.name)
  }
}

extension API.Poll {
  init(_ poll: PollRecord, integration: String) {
    self.init()
    id = poll.id
    self.integration = integration
    state = API.PollState(rawValue: poll.state.rawValue)
    startedAt = API.Timestamp(nanoseconds: poll.startedAt)
    finishedAt = API.Timestamp(nanoseconds: poll.finishedAt)
    repositories = poll.repositories
    repositoriesDone = poll.repositoriesDone
    tags = poll.tags
    selected = poll.selected
    queued = poll.queued
    alreadyKnown = poll.alreadyKnown
    skipped = poll.skipped
    rejected = poll.rejected
    errors = poll.errors
    errorCount = poll.errorCount
    error = ErrorDetail(code: poll.errorCode, message: poll.errorMessage, hint: poll.errorHint)
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
