import API
import Model
import Pipeline
import Posix
import Queue
import RPC
import Registry
import Selection
import StorageMessages
import Store

/// `tidewaiter.v1.Images`.
struct ImagesHandler: ImagesService {
  /// Tags shown with an image; one that has more is still found by each.
  private static let tagsMaximum = 100

  let store: StateStore
  let registries: RegistryClients
  let intake: Intake
  let rescanner: Rescanner
  let ledger: Ledger
  let clock: WallClock
  /// Long scans of tables run here, not on the RPC loop.
  let reader: SerialThread

  func addImage(_ request: AddImageRequest, _ context: CallContext) async throws -> AddImageResponse {
    let reference = try ImageReference(parsing: request.reference)
    let integration = try store.integration(named: reference.integration.text)
    let client = try registries.client(for: integration)
    // The manifest itself, not its headers: what is no image is refused here, and the digest is that of the bytes.
    let digest = try await client.fetchManifest(Self.target(of: reference), in: reference.repository).digest
    let image = ImageKey(
      integration: integration.id, repository: reference.repository.path, digest: digest.description)
    // A tag beside a digest is the asker's word, not the registry's.
    let tag = reference.digest == nil ? reference.tag?.name ?? "" : ""
    let outcomes = try await intake.queue(
      [Intake.Item(image: image, tag: tag)], priority: .person, actor: context.peer.actor)
    guard let outcome = outcomes.first else { throw RPCError(.internal, "no job was made") }
    var response = AddImageResponse()
    response.job = API.Job(outcome.job, integration: integration.name, progress: nil)
    response.existed = outcome.existed
    return response
  }

  func getImage(_ request: GetImageRequest, _ context: CallContext) async throws -> API.Image {
    let (key, name) = try find(request.reference)
    return try await reader.run { [store, queue = ledger.queue] in
      try store.read { transaction in
        let shown = try ShownImages(queue, in: transaction)
        guard let image = try shown.image(key).map(shown.naming) else { throw Self.unknown(request.reference) }
        let tags = try store.tags(of: key, limit: Self.tagsMaximum, in: transaction)
        return API.Image(image, integration: name, tags: tags)
      }
    }
  }

  func listImages(_ request: ListImagesRequest, _ context: CallContext) async throws -> ListImagesResponse {
    guard API.Severity.known.contains(request.minSeverity) else {
      throw RPCError.invalidArgument([("min_severity", "\(request.minSeverity.rawValue) is no severity")])
    }
    let filter = try filter(request.integration, request.repository, request.status)
    let position = request.pageToken.isEmpty ? nil : try ImagePosition(Paging.position(request.pageToken))
    return try await ImageListing(
      store: store, ledger: ledger, reader: reader, filter: filter, minSeverity: request.minSeverity,
      size: Paging.size(request.pageSize)
    ).page(after: position)
  }

  /// What is asked for of images or tags: "" and unspecified stand for all.
  func filter(_ integration: String, _ repository: String, _ status: API.ImageStatus) throws -> Ledger.Filter {
    guard API.ImageStatus.known.contains(status) else {
      throw RPCError.invalidArgument([("status", "\(status.rawValue) is no status of an image")])
    }
    var filter = Ledger.Filter()
    filter.repository = try Self.repositoryPattern(repository)
    filter.integration = integration.isEmpty ? nil : try store.integration(named: integration).id
    filter.status = status == .unspecified ? nil : StorageMessages.ImageStatus(rawValue: status.rawValue)
    return filter
  }

  func getReport(_ request: GetReportRequest, _ context: CallContext) async throws -> API.Report {
    let (key, name) = try find(request.reference)
    return try await reader.run { [store, queue = ledger.queue] in
      try store.read { transaction in
        let shown = try ShownImages(queue, in: transaction)
        guard let image = try shown.image(key).map(shown.naming) else { throw Self.unknown(request.reference) }
        let reports = try store.reports(of: key, in: transaction)
        let report = try Self.choose(reports, platform: request.platform, of: image, reference: request.reference)
        let tags = try store.tags(of: key, limit: 1, in: transaction)
        let reference = ImageConversion.reference(
          integration: name, repository: key.repository, tag: tags.first ?? "", digest: key.digest)
        return try ReportSlices.slice(report, reference: reference, digest: key.digest, token: request.pageToken)
      }
    }
  }

  // MARK: - Rules

  private static func target(of reference: ImageReference) throws -> ManifestReference {
    if let digest = reference.digest { return .digest(digest) }
    guard let tag = reference.tag else {
      throw RPCError.invalidArgument([("reference", "names neither a tag nor a digest")])
    }
    return .tag(tag)
  }

  /// The image a reference names, among those the daemon knows.
  func find(_ text: String) throws -> (key: ImageKey, integration: String) {
    let reference = try ImageReference(parsing: text)
    let integration = try store.integration(named: reference.integration.text)
    let repository = reference.repository.path
    if let digest = reference.digest {
      let key = ImageKey(integration: integration.id, repository: repository, digest: digest.description)
      return (key, integration.name)
    }
    let tag = TagKey(integration: integration.id, repository: repository, tag: reference.tag?.name ?? "")
    let (record, image) = try store.read { transaction in
      let record = try transaction.get(StateStore.tags, tag)
      return (record, try record.flatMap { try Ledger.image(of: tag, $0, in: transaction) })
    }
    guard let record else { throw Self.unknown(text) }
    guard image != nil else { throw Self.noImage(text, TagState(record, image: nil)) }
    return (ImageKey(integration: integration.id, repository: repository, digest: record.digest), integration.name)
  }

  static func repositoryPattern(_ text: String) throws -> Selection.Pattern? {
    if text.isEmpty { return nil }
    if let problem = repositoryProblem(text) { throw RPCError.invalidArgument([("repository", problem)]) }
    return try Selection.Pattern(parsing: text)
  }

  /// Why a text is no pattern for repositories; nil for one that is, and for none.
  static func repositoryProblem(_ text: String) -> String? {
    if text.isEmpty { return nil }
    do throws(PatternError) {
      let pattern = try Selection.Pattern(parsing: text)
      return pattern.tag == nil ? nil : "\"\(text.excerpt())\" names a tag; give a repository pattern"
    } catch {
      return "\(error)"
    }
  }

  private static func choose(
    _ reports: [ReportRecord], platform: String, of image: ImageRecord, reference: String
  ) throws -> ReportRecord {
    guard !reports.isEmpty else {
      throw RPCError(
        .notFound, reason: "NO_REPORT",
        "no report of \(reference) yet"
          + (image.statusReason.isEmpty ? "" : ": \(image.statusReason)"),
        hint: image.lastJobId == 0
          ? "see all that is known of it with: tidewaiter image explain \(reference)"
          : "see its job with: tidewaiter queue show \(image.lastJobId)")
    }
    let available = reports.map(\.platform).joined(separator: ", ")
    if platform.isEmpty {
      let node = Platform.node
      if let own = reports.first(where: { Platform($0.platform)?.satisfies(node) ?? false }) { return own }
      if reports.count == 1 { return reports[0] }
      throw RPCError(
        .failedPrecondition, reason: "PLATFORM_NEEDED", "\(reference) has reports for \(available)",
        hint: "choose one with --platform")
    }
    guard let wanted = Platform(platform) else {
      throw RPCError.invalidArgument([("platform", "\"\(platform.excerpt())\" is no platform such as linux/amd64")])
    }
    if let exact = reports.first(where: { $0.platform == wanted.description }) { return exact }
    if let near = reports.first(where: { Platform($0.platform)?.satisfies(wanted) ?? false }) { return near }
    throw RPCError(
      .notFound, reason: "NO_REPORT", "no report of \(reference) for \(platform)", hint: "there are: \(available)")
  }

  static func unknown(_ reference: String) -> RPCError {
    RPCError(
      .notFound, reason: "UNKNOWN_IMAGE", "no image \(reference) is known here",
      hint: "ask why with: tidewaiter image explain \(reference), or add it with: tidewaiter image add \(reference)")
  }

  /// A tag that was listed and never became an image.
  private static func noImage(_ reference: String, _ state: TagState) -> RPCError {
    RPCError(
      .notFound, reason: "NO_IMAGE",
      "\(reference) has no image here: \(state.status.name)" + (state.reason.isEmpty ? "" : ": \(state.reason)"),
      hint: "see all that is known of it with: tidewaiter image explain \(reference)")
  }
}
