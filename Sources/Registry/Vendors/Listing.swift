import Model

/// Where a repository's contents come from (D6).
package enum RepositoryKind: String, Sendable, CaseIterable {
  /// Hosted by this registry.
  case local
  /// A proxy or pull-through cache of another registry.
  case remote
  /// A view of other repositories, such as Artifactory's virtual and Nexus's group.
  case virtual
}

/// A repository as a listing gives it.
package struct ListedRepository: Sendable, Hashable {
  /// As users write it (D9).
  package let repository: Repository
  package let kind: RepositoryKind
  /// What the driver needs to find it again in the vendor's API; nil for one that no listing gave.
  let handle: String?
  /// All its tags, where the listing of the repositories gave them too.
  let held: HeldTags?

  package init(_ repository: Repository, kind: RepositoryKind = .local, handle: String? = nil) {
    self.init(repository, kind, handle: handle, held: nil)
  }

  init(_ repository: Repository, _ kind: RepositoryKind, handle: String?, held: HeldTags?) {
    self.repository = repository
    self.kind = kind
    self.handle = handle
    self.held = held
  }
}

/// A tag as a listing gives it. What the vendor does not tell is nil and found out from the manifest.
package struct ListedTag: Sendable, Hashable {
  package let tag: Tag
  /// Of the top manifest.
  package let digest: Digest?
  package let pushedAt: Timestamp?
  /// The image config's `created`.
  package let createdAt: Timestamp?
  /// Whether the vendor itself says that it is an image, so that nobody needs to look.
  package let isImage: Bool
  /// Whether it is a chart, a signature or something else that is no image, as the vendor or the tag's own form says.
  package let isOther: Bool

  package init(
    _ tag: Tag, digest: Digest? = nil, pushedAt: Timestamp? = nil, createdAt: Timestamp? = nil,
    isImage: Bool = false, isOther: Bool = false
  ) {
    self.tag = tag
    self.digest = digest
    self.pushedAt = pushedAt
    self.createdAt = createdAt
    // A tag that only names what is attached to an image is no image's.
    self.isOther = isOther || tag.isAttachment
    self.isImage = isImage && !self.isOther
  }
}

/// How a listing went. What it gave was handed out on the way, page by page.
package struct ListingSummary: Sendable, Hashable {
  package init() {}

  package static let examplesMax = 10
  /// Names of what is passed over that are kept: some 10 MiB.
  static let passedOverMax = 100_000
  /// Parts in a row that a registry fails to list, before its listing is given up.
  static let failuresMax = 5

  package struct Rejected: Sendable, Hashable {
    /// Escaped and cut for display.
    package let name: String
    package let reason: String
  }

  /// Something that is there and not looked at (D6).
  package struct PassedOver: Sendable, Hashable {
    /// Escaped and cut for display.
    package let name: String
    package let kind: RepositoryKind
    /// Repositories that it stands for: an area is passed over whole.
    package let count: Int
  }

  package internal(set) var pages = 0
  /// Names handed out; one may come twice when the registry changes between two pages.
  package internal(set) var accepted = 0
  /// Entries that cannot be read, and names that no reference can hold: left out.
  package internal(set) var rejected = 0
  /// The first few of them.
  package internal(set) var rejectedExamples: [Rejected] = []
  /// Remote and virtual repositories that were not handed out; a whole area may count as one.
  package internal(set) var passedOver: [RepositoryKind: Int] = [:]
  /// Their names.
  package internal(set) var passedOverNames: [PassedOver] = []
  /// Repositories of something else than images, as the vendor calls it: left out.
  package internal(set) var notImages = 0
  /// Parts that the registry failed to list one after the other.
  var failuresInARow = 0
  /// Why there may be more than was listed, the first few reasons; empty when the registry came to its end.
  package private(set) var incompleteReasons: [String] = []

  package var incomplete: String? { incompleteReasons.isEmpty ? nil : incompleteReasons.joined(separator: "; ") }

  mutating func reject(_ name: String, _ reason: String) {
    rejected += 1
    guard rejectedExamples.count < Self.examplesMax else { return }
    rejectedExamples.append(Rejected(name: ForeignText.escaped(name, lengthMax: 80), reason: reason))
  }

  mutating func passOver(_ name: String, _ kind: RepositoryKind, count: Int) {
    passedOver[kind, default: 0] += count
    guard passedOverNames.count < Self.passedOverMax else { return }
    passedOverNames.append(PassedOver(name: ForeignText.escaped(name, lengthMax: 255), kind: kind, count: count))
  }

  mutating func setIncomplete(_ reason: String) {
    guard incompleteReasons.count < Self.examplesMax, !incompleteReasons.contains(reason) else { return }
    incompleteReasons.append(reason)
  }
}

/// What a driver's listing hands its findings to.
protocol Listing: AnyObject {
  var client: RegistryClient { get }
  var summary: ListingSummary { get set }
  /// Knows what the page being handed out may echo.
  var redactor: Redactor { get set }
}

extension Listing {
  /// An entry is left out.
  func reject(_ name: String, _ reason: String) { summary.reject(redactor.redactForeign(name), reason) }

  /// Runs the listing of one part, such as a project. What the registry says against that part alone leaves the listing
  /// incomplete and does not end it; a registry that fails for one part after the other is going down.
  func tolerating(_ part: String, _ body: () async throws -> Void) async throws {
    do {
      try await body()
      summary.failuresInARow = 0
    } catch let error as RegistryError where !error.concernsRegistry {
      summary.failuresInARow = error.isTransient ? summary.failuresInARow + 1 : 0
      guard summary.failuresInARow < ListingSummary.failuresMax else { throw error }
      summary.setIncomplete("\(ForeignText.escaped(part, lengthMax: 80)): \(error.message)")
    }
  }
}

/// Takes a registry's repositories from its driver and hands on those that are wanted.
package final class RepositoryListing: Listing {
  /// For what the distribution API gives.
  let client: RegistryClient
  var summary = ListingSummary()
  var redactor: Redactor
  private let body: (ListedRepository) async throws -> Void

  init(_ client: RegistryClient, _ body: @escaping (ListedRepository) async throws -> Void) {
    self.client = client
    self.body = body
    redactor = Redactor(client.endpoint.credential.secrets)
  }

  /// Whether repositories of this kind are handed on: remote ones where the integration includes them, virtual ones
  /// never, because what is in them is listed where it really is.
  func wants(_ kind: RepositoryKind) -> Bool {
    switch kind {
    case .local: true
    case .remote: client.endpoint.vendor.includesRemote
    case .virtual: false
    }
  }

  /// What was found is no repository of images.
  func foundOther() { summary.notImages += 1 }

  /// Whether to list what is in an area of the registry (a project, a repository key). One of an unwanted kind is noted
  /// with the number of its repositories, where that is known.
  func enters(_ area: String, _ kind: RepositoryKind, repositories count: Int? = nil) -> Bool {
    if wants(kind) { return true }
    summary.passOver(area, kind, count: max(1, count ?? 1))
    return false
  }

  /// A repository was found. Its path is as users write it (D9); one that no reference can hold is rejected.
  func found(
    _ path: String, _ kind: RepositoryKind = .local, handle: String? = nil, held: HeldTags? = nil
  ) async throws {
    guard let repository = Repository(path) else { return reject(path, "not a repository name") }
    guard enters(path, kind) else { return }
    summary.accepted += 1
    try await body(ListedRepository(repository, kind, handle: handle, held: held))
  }
}

/// Takes a repository's tags from its driver and hands them on.
package final class TagListing: Listing {
  let client: RegistryClient
  var summary = ListingSummary()
  var redactor: Redactor
  private let body: (ListedTag) async throws -> Void

  init(_ client: RegistryClient, _ body: @escaping (ListedTag) async throws -> Void) {
    self.client = client
    self.body = body
    redactor = Redactor(client.endpoint.credential.secrets)
  }

  /// A tag was found. A digest that cannot be read counts as not told.
  func found(
    _ name: String, digest: String? = nil, pushedAt: Timestamp? = nil, createdAt: Timestamp? = nil,
    isImage: Bool = false, isOther: Bool = false
  ) async throws {
    guard let tag = Tag(name) else { return reject(name, "not a tag") }
    try await found(
      ListedTag(
        tag, digest: digest.flatMap { Digest($0) }, pushedAt: pushedAt, createdAt: createdAt, isImage: isImage,
        isOther: isOther))
  }

  /// A tag was found whose parts are read already.
  func found(_ tag: ListedTag) async throws {
    summary.accepted += 1
    try await body(tag)
  }

  /// The tags that came with the listing of the repositories.
  func found(_ held: HeldTags) async throws {
    try await held.forEach { try await found($0) }
  }
}
