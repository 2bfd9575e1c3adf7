import API
import Model
import Pipeline
import RPC
import StorageMessages
import Store
import Synchronization

/// What a poll would do.
extension IntegrationsHandler {
  /// Images told in one message: some hundred kilobytes at the most.
  private static let previewBatch = 200

  func previewIntegration(
    _ request: PreviewIntegrationRequest, _ responses: ResponseStream<PreviewIntegrationResponse>,
    _ context: CallContext
  ) async throws {
    let stored = try store.integration(named: request.name)
    let wanted = try settings(of: request, instead: stored)
    let lastPoll = try await ledger.lastEndedPoll(of: stored.id)
    let summary = Mutex(PreviewSummary())
    let outcome = try await previewer.run(wanted, sizes: !request.skipSizes) { finding in
      let (images, repository) = Self.convert(finding, integration: stored.name)
      summary.withLock { summary in
        for image in images { summary.count(image) }
        if let repository { summary.count(repository) }
      }
      if let repository {
        var response = PreviewIntegrationResponse()
        response.repositories = [repository]
        try await responses.sendWhenReady(response)
      }
      for start in stride(from: 0, to: images.count, by: Self.previewBatch) {
        var response = PreviewIntegrationResponse()
        response.images = Array(images[start..<min(start + Self.previewBatch, images.count)])
        try await responses.sendWhenReady(response)
      }
    }
    var last = PreviewIntegrationResponse()
    last.summary = summary.withLock { summary in
      summary.conclude(outcome, lastPoll: lastPoll?.id ?? 0)
      return summary
    }
    try await responses.sendWhenReady(last)
  }

  /// The stored settings, with those that the request gives instead.
  private func settings(
    of request: PreviewIntegrationRequest, instead stored: IntegrationRecord
  ) throws -> IntegrationRecord {
    let paths = Set(request.settingsMask?.paths ?? [])
    guard let wanted = request.integration else {
      if paths.isEmpty { return stored }
      throw RPCError.invalidArgument([("integration", "is required: the settings that the mask names")])
    }
    guard !paths.isEmpty else {
      throw RPCError.invalidArgument([("settings_mask", "is required: the settings to use instead of the stored ones")])
    }
    var reader = IntegrationReader()
    let record = reader.trial(of: stored, as: wanted, paths: paths)
    guard reader.violations.isEmpty else { throw RPCError.invalidArgument(reader.violations) }
    return record
  }

  private static func convert(
    _ finding: Previewer.Finding, integration: String
  ) -> (images: [PreviewImage], repository: PreviewRepository?) {
    switch finding {
    case .images(let images): (images.map { PreviewImage($0, integration: integration) }, nil)
    case .gone(let tags):
      (tags.map { PreviewImage(gone: $0.key, $0.record, integration: integration) }, nil)
    case .repository(let repository): ([], PreviewRepository(repository))
    }
  }
}
