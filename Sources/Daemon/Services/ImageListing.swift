import API
import Pipeline
import Posix
import StorageMessages
import Store

/// One page of `ListImages`: first the images; then, where a status is asked for that tags have which never became images,
/// these, each as an image of its own.
struct ImageListing {
  /// Tags shown with an image; one that has more is still found by each.
  static let tagsMaximum = 100
  private static let tagStatuses: [StorageMessages.ImageStatus] = [.rejected, .skipped, .failed, .gone]

  let store: StateStore
  let ledger: Ledger
  let reader: SerialThread
  let filter: Ledger.Filter
  let minSeverity: API.Severity
  let size: Int

  func page(after position: ImagePosition?) async throws -> ListImagesResponse {
    var response = ListImagesResponse()
    var lastTag: TagKey?
    switch position {
    case .tag(let key): lastTag = key
    case .image, nil:
      var lastImage: ImageKey?
      if case .image(let key) = position { lastImage = key }
      let found = try await ledger.images(filter, after: lastImage, limit: size + 1) { [minSeverity] image in
        Self.reaches(minSeverity, image.counts)
      }
      response.images = try await convert(Array(found.prefix(size)))
      if found.count > size {
        response.nextPageToken = Paging.token(ImagePosition.image(found[size - 1].key).text)
        return response
      }
    }
    guard let status = filter.status, Self.tagStatuses.contains(status), minSeverity == .unknown else {
      return response
    }
    let room = size - response.images.count
    let rows = try await ledger.tags(filter, after: lastTag, limit: room + 1) { !$0.isListedAsImage }
    response.images += try await convert(Array(rows.prefix(room)))
    if rows.count > room {
      // With no room at all the tags begin anew with the next page.
      response.nextPageToken = Paging.token(
        room == 0 ? ImagePosition.firstTag.text : ImagePosition.tag(rows[room - 1].key).text)
    }
    return response
  }

  private func convert(_ images: [(key: ImageKey, image: ImageRecord)]) async throws -> [API.Image] {
    if images.isEmpty { return [] }
    return try await reader.run { [store, queue = ledger.queue] in
      try store.read { transaction in
        let shown = try ShownImages(queue, in: transaction)
        let tags = try store.tags(of: images.map(\.key), limit: Self.tagsMaximum, in: transaction)
        return try images.map { key, image in
          API.Image(
            try shown.naming(image), integration: try store.integrationName(key.integration, in: transaction),
            tags: tags[key] ?? [])
        }
      }
    }
  }

  private func convert(_ rows: [Ledger.Row]) async throws -> [API.Image] {
    let names = try await IntegrationNames(rows.map(\.key.integration), store, reader)
    return rows.map { API.Image($0, integration: names[$0.key.integration]) }
  }

  private static func reaches(_ minimum: API.Severity, _ counts: StorageMessages.SeverityCounts?) -> Bool {
    let counts = counts ?? StorageMessages.SeverityCounts()
    let atLeast: [UInt32] =
      switch minimum {
      case .critical: [counts.critical]
      case .high: [counts.critical, counts.high]
      case .medium: [counts.critical, counts.high, counts.medium]
      case .low: [counts.critical, counts.high, counts.medium, counts.low]
      default: [1]
      }
    return atLeast.contains { $0 > 0 }
  }
}

extension Ledger.Row {
  /// Whether a listing of images of this status has it already: by its own image, or one that another tag points to.
  fileprivate var isListedAsImage: Bool { state.isOfImage || (state.status == .gone && image != nil) }
}

/// Where a page of images ends.
enum ImagePosition {
  case image(ImageKey)
  case tag(TagKey)

  /// Before all tags: no integration has the number 0.
  static let firstTag = ImagePosition.tag(TagKey(integration: 0, repository: "-", tag: "-"))

  init(_ text: String) throws {
    let parts = text.split(separator: " ")
    switch parts.count {
    case 3:
      guard let integration = UInt64(parts[0]) else { throw Paging.malformed() }
      self = .image(ImageKey(integration: integration, repository: String(parts[1]), digest: String(parts[2])))
    case 4:
      guard parts[0] == "tag", let integration = UInt64(parts[1]) else { throw Paging.malformed() }
      self = .tag(TagKey(integration: integration, repository: String(parts[2]), tag: String(parts[3])))
    default: throw Paging.malformed()
    }
  }

  var text: String {
    switch self {
    case .image(let key): "\(key.integration) \(key.repository) \(key.digest)"
    case .tag(let key): "tag \(key.integration) \(key.repository) \(key.tag)"
    }
  }
}

/// The names of integrations, each looked up once.
struct IntegrationNames {
  private let names: [UInt64: String]

  init(_ ids: [UInt64], _ store: StateStore, _ reader: SerialThread) async throws {
    let wanted = Set(ids)
    names = try await reader.run {
      try store.read { transaction in
        var names: [UInt64: String] = [:]
        for id in wanted { names[id] = try store.integrationName(id, in: transaction) }
        return names
      }
    }
  }

  subscript(id: UInt64) -> String { names[id] ?? "" }
}
