import API
import Model
import Pipeline
import Posix
import RPC
import StorageMessages
import Store

/// Tags, why their images were taken or not, and what is scanned once more.
extension ImagesHandler {
  /// References that one request may name.
  private static let referencesMaximum = 1000

  func listTags(_ request: ListTagsRequest, _ context: CallContext) async throws -> ListTagsResponse {
    var filter = try filter(request.integration, request.repository, request.status)
    filter.reasonCode = request.reasonCode.isEmpty ? nil : request.reasonCode
    var after: TagKey?
    if !request.pageToken.isEmpty {
      guard case .tag(let key) = try ImagePosition(Paging.position(request.pageToken)) else { throw Paging.malformed() }
      after = key
    }
    let size = Paging.size(request.pageSize)
    let rows = try await ledger.tags(filter, after: after, limit: size + 1)
    let names = try await IntegrationNames(rows.map(\.key.integration), store, reader)
    var response = ListTagsResponse()
    response.tags = rows.prefix(size).map { TagEntry($0, integration: names[$0.key.integration]) }
    if rows.count > size { response.nextPageToken = Paging.token(ImagePosition.tag(rows[size - 1].key).text) }
    return response
  }

  func explainImage(_ request: ExplainImageRequest, _ context: CallContext) async throws -> ImageExplanation {
    let reference = try ImageReference(parsing: request.reference)
    let integration = try store.integration(named: reference.integration.text)
    let explanation = try await ledger.explain(reference, of: integration, now: clock.now)
    return ImageExplanation(explanation, reference: reference)
  }

  func listTagHistory(_ request: ListTagHistoryRequest, _ context: CallContext) async throws -> ListTagHistoryResponse {
    let reference = try ImageReference(parsing: request.reference)
    guard let tag = reference.tag, reference.digest == nil else {
      throw RPCError.invalidArgument([("reference", "must name a tag, and no digest")])
    }
    let integration = try store.integration(named: reference.integration.text)
    var before: UInt64?
    if !request.pageToken.isEmpty {
      guard let position = UInt64(try Paging.position(request.pageToken)) else { throw Paging.malformed() }
      before = position
    }
    let key = TagKey(integration: integration.id, repository: reference.repository.path, tag: tag.name)
    let found = try await ledger.history(of: key, before: before, limit: Paging.size(request.pageSize))
    guard let found else {
      throw RPCError(
        .notFound, reason: "UNKNOWN_TAG", "the tag \(reference) was never listed",
        hint: "ask why with: tidewaiter image explain \(reference)")
    }
    var response = ListTagHistoryResponse()
    response.entries = found.entries.map(TagHistoryEntry.init)
    if let next = found.next { response.nextPageToken = Paging.token(String(next)) }
    return response
  }

  func rescanImages(_ request: RescanImagesRequest, _ context: CallContext) async throws -> RescanImagesResponse {
    guard request.all != !request.references.isEmpty else {
      throw RPCError.invalidArgument([("references", "are required, or all; not both")])
    }
    guard request.all || request.integration.isEmpty else {
      throw RPCError.invalidArgument([("integration", "goes with all only: references name theirs")])
    }
    if request.all {
      let integration = request.integration.isEmpty ? nil : try store.integration(named: request.integration).id
      return RescanImagesResponse(
        try await rescanner.queueAll(of: integration, actor: context.peer.actor))
    }
    guard request.references.count <= Self.referencesMaximum else {
      throw RPCError.invalidArgument([
        ("references", "are \(request.references.count); at most \(Self.referencesMaximum)")
      ])
    }
    return try await rescan(request.references, context)
  }

  private func rescan(_ references: [String], _ context: CallContext) async throws -> RescanImagesResponse {
    var images: [(key: ImageKey, tag: String)] = []
    var names: [UInt64: String] = [:]
    for text in references {
      let (key, integration) = try find(text)
      guard let image = try store.image(key) else { throw Self.unknown(text) }
      guard image.status != .gone else {
        throw RPCError(
          .failedPrecondition, reason: "IMAGE_GONE", "\(text) is gone from its registry",
          hint: "its last report is kept: tidewaiter image report \(text)")
      }
      let reference = try ImageReference(parsing: text)
      images.append((key, reference.digest == nil ? reference.tag?.name ?? "" : ""))
      names[key.integration] = integration
    }
    let outcomes = try await rescanner.queue(images, actor: context.peer.actor)
    var summary = Rescanner.Summary()
    for outcome in outcomes { summary.count(outcome) }
    var response = RescanImagesResponse(summary)
    response.jobs = outcomes.map { outcome in
      API.Job(outcome.job, integration: names[outcome.job.integrationId] ?? "", progress: nil)
    }
    return response
  }
}
