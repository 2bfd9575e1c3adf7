import Model
import Posix
import Registry
import Selection
import StorageMessages
import Store
import Synchronization

/// Shows what a poll would do now, with the settings that are given, and queues nothing. What it learns of digests for good
/// is kept for the polls to come.
package struct Previewer: Sendable {
  /// Manifests that one preview reads to learn how many bytes there are to fetch.
  package static let manifestsMaximum = 5000

  /// A tag, and what a poll would do with it.
  package struct Image: Sendable {
    package let verdict: TagVerdict
    /// A poll would queue it.
    package let isQueued: Bool
    /// Bytes of layers that are not known, and that no image before had; nil where nobody looked.
    package let bytesToFetch: UInt64?
  }

  /// A repository, and how far it was looked into.
  package struct Repository: Sendable {
    package let name: String
    package let kind: RepositoryKind
    package let isSkipped: Bool
    /// Why it is skipped, or what went wrong with it; "" for nothing.
    package let reason: String
    package let tags: Int
  }

  package enum Finding: Sendable {
    case images([Image])
    /// Tags that are not there any more.
    case gone([(key: TagKey, record: TagRecord)])
    case repository(Repository)
  }

  /// What the listing as a whole was like.
  package struct Outcome: Sendable {
    package var isPartial = false
    package var errors: [String] = []
    package var requests: UInt64 = 0
    /// Images that a poll would queue, whose bytes are not known.
    package var unsized = 0
  }

  private let store: StateStore
  private let registries: RegistryClients
  private let clock: WallClock

  package init(store: StateStore, registries: RegistryClients, clock: WallClock) {
    self.store = store
    self.registries = registries
    self.clock = clock
  }

  /// Walks over the registry of an integration, deciding by `wanted` (as it is stored, or with other settings of selection),
  /// and hands what it finds to `take`, which is called once at a time. Throws `RegistryError` where there is nothing to show.
  package func run(
    _ wanted: IntegrationRecord, sizes: Bool, _ take: @escaping @Sendable (Finding) async throws -> Void
  ) async throws -> Outcome {
    let tally = RequestTally()
    let visit = PreviewVisit(
      integration: wanted, client: try registries.previewClient(for: wanted), criteria: try Criteria(wanted),
      store: store, now: Timestamp(nanosecondsSince1970: clock.now), sizes: sizes ? LayerSizes(store) : nil,
      take: take)
    return try await RequestTally.$current.withValue(tally) {
      var outcome = try await visit.run()
      outcome.requests = tally.requests
      return outcome
    }
  }
}

/// One preview on its way over a registry.
private struct PreviewVisit: RegistryWalk.Visitor {
  let integration: IntegrationRecord
  let client: RegistryClient
  let criteria: Criteria
  let store: StateStore
  let now: Timestamp
  /// Nil where nobody asks for bytes.
  let sizes: LayerSizes?
  let take: @Sendable (Previewer.Finding) async throws -> Void
  private let turns = Permits(1)
  private let outcome = Shared()

  init(
    integration: IntegrationRecord, client: RegistryClient, criteria: Criteria, store: StateStore, now: Timestamp,
    sizes: LayerSizes?, take: @escaping @Sendable (Previewer.Finding) async throws -> Void
  ) {
    self.integration = integration
    self.client = client
    self.criteria = criteria
    self.store = store
    self.now = now
    self.sizes = sizes
    self.take = take
  }

  private final class Shared: Sendable {
    private static let errorsMaximum = 100
    private let outcome = Mutex(Previewer.Outcome())
    var value: Previewer.Outcome { outcome.withLock { $0 } }
    func change(_ body: (inout Previewer.Outcome) -> Void) { outcome.withLock { body(&$0) } }
    func note(_ error: String, isPartial: Bool) {
      change { outcome in
        if outcome.errors.count < Self.errorsMaximum { outcome.errors.append(error) }
        outcome.isPartial = outcome.isPartial || isPartial
      }
    }
  }

  func run() async throws -> Previewer.Outcome {
    do {
      try await walk()
    } catch {
      guard let suspended = RegistryWalk.Suspended(error, client) else { throw error }
      outcome.note(suspended.reason.message, isPartial: true)
    }
    return outcome.value
  }

  private func walk() async throws {
    let walk = try await RegistryWalk(client: client, criteria: criteria).run(self)
    for passed in walk.summary.passedOverNames {
      try await hand(
        .repository(
          Previewer.Repository(
            name: passed.name, kind: passed.kind, isSkipped: true, reason: passed.kind.whyPassedOver, tags: 0)))
    }
    if let why = walk.summary.incomplete { outcome.note("the list of repositories: \(why)", isPartial: true) }
    if let closed = walk.closed {
      outcome.note(
        "only repositories that the criteria name in full were looked at: \(closed.message)", isPartial: true)
    }
    if walk.isComplete { try await lookForMissing(walk) }
  }

  private func hand(_ finding: Previewer.Finding) async throws {
    try await turns.withPermit { try await take(finding) }
  }

  func found(_ repository: ListedRepository) {}

  func visit(_ listed: ListedRepository) async throws {
    let name = listed.repository.path
    let examination = RepositoryExamination(
      integration: integration, client: client, criteria: criteria, store: store, now: now)
    if let reason = try examination.rejection(of: listed.repository) {
      return try await hand(
        .repository(
          Previewer.Repository(name: name, kind: listed.kind, isSkipped: true, reason: reason.text, tags: 0)))
    }
    let queued = QueuedDigests()
    let found = try await examination.examine(listed) { verdicts in
      let wanted = verdicts.map {
        $0.wanted($0.image, rescan: integration.rescan) != nil && queued.insert($0.digest)
      }
      let images = try await concurrentMap(
        Array(zip(verdicts, wanted)), limit: { client.endpoint.concurrentRequestsMax }
      ) { verdict, isQueued in
        Previewer.Image(
          verdict: verdict, isQueued: isQueued,
          bytesToFetch: isQueued ? try await bytes(of: verdict.digest, in: listed.repository) : 0)
      }
      try await hand(.images(images))
    }
    let absentees = try await examination.missing(from: found, of: listed.repository)
    if !absentees.gone.isEmpty { try await hand(.gone(absentees.gone)) }
    for note in found.notes { outcome.note(note, isPartial: false) }
    if let why = found.incomplete ?? absentees.whyIncomplete {
      outcome.note("\(name): the list of tags: \(why)", isPartial: true)
    }
    try await hand(
      .repository(
        Previewer.Repository(
          name: name, kind: listed.kind, isSkipped: false, reason: found.incomplete ?? "", tags: found.tags)))
  }

  /// Those of one repository that were counted.
  private final class QueuedDigests {
    private var digests: Set<String> = []
    func insert(_ digest: String) -> Bool { digests.insert(digest).inserted }
  }

  func left(_ listed: ListedRepository, _ failure: RegistryError?) async throws {
    guard let failure else { return }
    outcome.note("\(listed.repository): \(failure.message)", isPartial: true)
    try await hand(
      .repository(
        Previewer.Repository(
          name: listed.repository.path, kind: listed.kind, isSkipped: false, reason: failure.message, tags: 0)))
  }

  private func bytes(of digest: String, in repository: Model.Repository) async throws -> UInt64? {
    guard let sizes, let digest = Digest(digest), sizes.mayRead else {
      outcome.change { $0.unsized += 1 }
      return nil
    }
    do {
      return try await sizes.bytesToFetch(
        of: digest, in: repository, platforms: integration.platformSelection, client: client)
    } catch let error as RegistryError where !error.concernsRegistry {
      outcome.change { $0.unsized += 1 }
      outcome.note("\(repository)@\(digest): \(error.message)", isPartial: false)
      return nil
    }
  }

  private func lookForMissing(_ walk: RegistryWalk.Outcome) async throws {
    let missing = MissingRepositories(integration: integration, client: client, store: store, now: now)
    for (key, record, finding) in try await missing.found(names: walk.names, areas: walk.summary.passedOverNames) {
      guard case .gone = finding, record.state != .skipped else { continue }
      let gone = try store.presentTags(of: key)
      if !gone.isEmpty { try await hand(.gone(gone)) }
    }
  }
}

/// Sums up what there is to fetch, each layer once, without those that are known.
private final class LayerSizes: Sendable {
  private struct State {
    var counted: Set<Digest> = []
    var manifests = 0
  }

  private let store: StateStore
  private let state = Mutex(State())

  init(_ store: StateStore) { self.store = store }

  /// Whether another image may be looked into.
  var mayRead: Bool { state.withLock { $0.manifests < Previewer.manifestsMaximum } }

  /// Of layers that are not known. One that is to be looked into for malware again counts as known.
  func bytesToFetch(
    of digest: Digest, in repository: Repository, platforms: PlatformSelection, client: RegistryClient
  ) async throws -> UInt64 {
    let top = try await fetch(digest, in: repository, client)
    var sum: UInt64 = 0
    for child in try await client.images(of: top, in: repository, platforms: platforms).images {
      let manifest = child.digest == top.digest ? top : try await fetch(child.digest, in: repository, client)
      guard case .image(let image) = manifest.manifest else { continue }
      for layer in image.layers where !layer.isForeignLayer {
        guard state.withLock({ $0.counted.insert(layer.digest).inserted }),
          try !store.knowsLayer(LayerKey(layer.digest))
        else { continue }
        sum &+= UInt64(clamping: layer.size)
      }
    }
    return sum
  }

  private func fetch(_ digest: Digest, in repository: Repository, _ client: RegistryClient) async throws
    -> FetchedManifest
  {
    state.withLock { $0.manifests += 1 }
    return try await client.fetchManifest(.digest(digest), in: repository)
  }
}

extension RepositoryKind {
  /// Why nobody looks into repositories of this kind (D6).
  var whyPassedOver: String {
    switch self {
    case .local: "local"
    case .remote:
      "a remote repository: its images are another registry's (--include-remote polls those that are cached)"
    case .virtual: "a virtual repository: what is in it is listed where it really is"
    }
  }
}
