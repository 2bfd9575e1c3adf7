import Inventory
import Model
import Posix
import Registry
import StorageMessages
import Store

/// Has layers analysed, and gives their analyses: from the store when it is known and this repository confirms the blob
/// (D15), else by fetching it into a worker process (D14).
///
/// Where malware is looked for, a layer whose files were looked into with other signatures than those in force counts as
/// not known: its bytes are needed again. Not so while nobody can look into them.
final class LayerAnalyses: Sendable {
  /// What came of a layer. Its analysis lies in the store: those of all layers of an image at once may be more than there
  /// is memory.
  struct Outcome: Sendable {
    /// What is in its files; nil where none was looked into.
    var malware: LayerMalware?
    /// Known before, and not fetched.
    let cached: Bool
    /// One that is not kept, as the worker failed: a fault, and nothing else.
    var failure: LayerAnalysis?
  }

  /// Where a layer is asked for, and with which credential.
  struct Source: Sendable {
    let client: RegistryClient
    let integration: IntegrationRecord
    let repository: Repository
    let malware: MalwareScan

    func confirmation(of digest: Digest) -> ConfirmationKey {
      ConfirmationKey(
        integration: integration.id, generation: integration.credentialGeneration, repository: repository.path,
        digest: digest.description)
    }
  }

  /// The blob and who asks: a slow registry must not hold up another integration that has the same blob.
  private struct FlightKey: Hashable {
    let integration: UInt64
    let digest: Digest
  }

  private let store: StateStore
  private let workerProgram: String
  private let workerArguments: [WorkerProtocol.Argument]
  private let patience: WorkerPatience.Limits
  /// One whose blob does not come is lent to another layer.
  private let workers: LendingSlots
  /// An integration has all workers but one, stalled or not, so that a registry that hands out bytes slowly leaves room
  /// for another.
  private let shares: KeyedPermits<UInt64>
  private let flights = KeyedPermits<FlightKey>(1)
  /// Windows of zstd over 8 MiB are memory that layers do not have otherwise: a budget of the daemon. An integration has one of
  /// them at a time, so that one slow registry does not hold up all others.
  private let largeWindows = Permits(LayerAnalyses.largeWindowsMaximum)
  private let largeWindowShares = KeyedPermits<UInt64>(1)
  private let clamd: Clamd?
  private let clock: WallClock

  static let largeWindowsMaximum = 2

  init(store: StateStore, settings: Scanner.Settings, clock: WallClock) {
    self.store = store
    workerProgram = settings.workerProgram
    workerArguments = settings.workerArguments
    patience = settings.workerPatience
    workers = LendingSlots(settings.workers, patience: settings.patience, clock: settings.clock)
    shares = KeyedPermits(max(1, settings.workers - 1))
    clamd = settings.malware.map(Clamd.init)
    self.clock = clock
  }

  /// Whether the files of a scan that begins are looked into for malware, and with what.
  func malwareScan() async -> MalwareScan {
    let beganAt = clock.now
    let search: MalwareSearch =
      switch await clamd?.state() {
      case nil: .off
      case .answers(let version): .on(signatures: version)
      case .fails(let reason): .fails(reason)
      }
    return MalwareScan(search, clamd?.settings, beganAt: beganAt)
  }

  /// Whether the store knows the layer, so that it will not have to be fetched if the registry confirms it.
  func isKnown(_ digest: Digest, _ malware: MalwareScan) throws -> Bool {
    guard try store.knowsLayer(LayerKey(digest)) else { return false }
    if malware.search == .off { return true }
    return malware.isSatisfied(by: try store.layerMalware(LayerKey(digest)), now: clock.now)
  }

  /// The analysis that an outcome stands for. Throws where the store has lost it meanwhile.
  func analysis(of digest: Digest, _ outcome: Outcome) throws -> LayerAnalysis {
    if let failure = outcome.failure { return failure }
    guard let analysis = try store.layerAnalysis(LayerKey(digest)) else { throw Lost(digest: digest) }
    return analysis
  }

  /// A layer's analysis was removed between reading the layer and reporting on it: to be tried again.
  private struct Lost: Error, CustomStringConvertible {
    let digest: Digest

    var description: String { "the analysis of the layer \(digest) is not in the store any more" }
  }

  /// Sees to it that the layer is analysed. `attempt` is told of fetched bytes. Throws `RegistryError`, and `PosixError`
  /// when no worker can be started.
  func analyse(
    _ layer: Descriptor, from source: Source, for attempt: AttemptProgress
  ) async throws -> Outcome {
    let known = try await knownAnalysis(of: layer.digest, source)
    if case .confirmed(let outcome) = known { return outcome }
    return try await flights.withPermit(
      for: FlightKey(integration: source.integration.id, digest: layer.digest)
    ) {
      // Another scan may have fetched it while this one waited. A registry that has refused to confirm is not asked
      // again.
      if case .unknown = known, case .confirmed(let outcome) = try await knownAnalysis(of: layer.digest, source) {
        return outcome
      }
      var fetched = try await fetchAsItNeeds(layer, from: source, attempt)
      if !fetched.analysis.secrets.isEmpty {
        try fetched.analysis.replaceSecrets(by: try await store.fingerprints())
      }
      let malware = try malware(of: layer.digest, fetched.malware, source.malware.search)
      guard fetched.isLasting else { return Outcome(malware: malware, cached: false, failure: fetched.analysis) }
      try await store.putLayerAnalysis(
        fetched.analysis, LayerKey(layer.digest), malware: fetched.malware?.isLasting == true ? malware : nil,
        confirmed: source.confirmation(of: layer.digest), now: clock.now)
      return Outcome(malware: malware, cached: false)
    }
  }

  /// Where files were not looked into now, what was found in them before still holds.
  private func malware(
    of digest: Digest, _ now: MalwareRelay.Outcome?, _ search: MalwareSearch
  ) throws -> LayerMalware? {
    if search == .off || now?.isComplete == true { return now?.layer }
    let before = try store.layerMalware(LayerKey(digest))
    guard var malware = now?.layer else { return before }
    if let before { malware.add(before) }
    return malware
  }

  private enum Known { case unknown, refused, confirmed(Outcome) }

  private func knownAnalysis(of digest: Digest, _ source: Source) async throws -> Known {
    guard try await store.useLayer(LayerKey(digest), now: clock.now) else { return .unknown }
    let malware = source.malware.search == .off ? nil : try store.layerMalware(LayerKey(digest))
    guard source.malware.isSatisfied(by: malware, now: clock.now) else { return .unknown }
    return try await isConfirmed(digest, by: source) ? .confirmed(Outcome(malware: malware, cached: true)) : .refused
  }

  private func isConfirmed(_ digest: Digest, by source: Source) async throws -> Bool {
    let key = source.confirmation(of: digest)
    if try store.isConfirmed(key) { return true }
    guard try await source.client.confirmBlob(digest, in: source.repository) else { return false }
    try await store.confirm(key, now: clock.now)
    return true
  }

  // MARK: - Fetching

  private struct Fetched: Sendable {
    var analysis: LayerAnalysis
    /// Made by a worker that ended well, and of the bytes alone: the same bytes give the same again.
    let isLasting: Bool
    /// Nil where it was not looked for.
    var malware: MalwareRelay.Outcome?
    var needsLargeWindow = false
  }

  private func fetchAsItNeeds(
    _ layer: Descriptor, from source: Source, _ attempt: AttemptProgress
  ) async throws -> Fetched {
    let fetched = try await fetch(layer, from: source, attempt)
    guard fetched.needsLargeWindow else { return fetched }
    return try await largeWindowShares.withPermit(for: source.integration.id) {
      try await fetch(layer, from: source, attempt, largeWindow: true)
    }
  }

  private func fetch(
    _ layer: Descriptor, from source: Source, _ attempt: AttemptProgress,
    largeWindow: Bool = false
  ) async throws -> Fetched {
    // Its share first: who waits there must not keep a worker from others.
    try await shares.withPermit(for: source.integration.id) {
      // All are busy then: that is not the registry's fault.
      let slot = try await attempt.working { try await workers.acquire(for: source.integration.id) }
      defer { slot.release() }
      // Last of all, so that nobody has one and waits for something else. Who waits for it lends its slots meanwhile.
      if largeWindow { try await largeWindows.acquire() }
      defer { if largeWindow { largeWindows.release() } }
      let blob = try await source.client.openBlob(layer, in: source.repository)
      let relay =
        try source.malware.search.isOn
        ? clamd.map { clamd throws(PosixError) in
          try MalwareRelay(clamd, source.malware.budget, clock: clock)
        } : nil
      let worker = WorkerProcess(
        program: workerProgram, arguments: workerArguments + (largeWindow ? [.largeWindow] : []), relay: relay,
        answerBytesMaximum: WorkerProtocol.headerBytes + WorkerProtocol.answerBytesMax, patience: patience)
      return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
          // A thread a layer, bounded by `workers`: starting the worker, reading the blob, writing to the worker and
          // waiting for it all block.
          do throws(PosixError) {
            try startThreadIfPossible(named: "layer") {
              continuation.resume(with: Result { try Self.run(worker, relay, blob, slot, attempt) })
            }
          } catch {
            blob.cancel()
            continuation.resume(throwing: error)
          }
        }
      } onCancel: {
        blob.cancel()
        worker.kill()
      }
    }
  }

  private static func run(
    _ worker: WorkerProcess, _ relay: MalwareRelay?, _ blob: BlobReader, _ slot: LendingSlots.Slot,
    _ attempt: AttemptProgress
  ) throws -> Fetched {
    // However the worker ends, the connection is not kept for a blob that nobody reads on.
    defer { blob.cancel() }
    func beginWork() {
      slot.beginWork()
      attempt.beginWork()
    }
    func endWork() {
      slot.endWork()
      attempt.endWork()
    }
    // All but reading the blob is the worker's and ours.
    beginWork()
    defer { endWork() }
    let answer = try worker.run {
      endWork()
      defer { beginWork() }
      let bytes = try blob.read()
      if let bytes {
        slot.received(bytes.count)
        attempt.received(bytes.count)
      }
      return bytes
    }
    switch answer {
    case .success(let bytes):
      do {
        let analysis = try WorkerProtocol.decodeAnswer(bytes)
        return Fetched(analysis: analysis, isLasting: analysis.isLasting, malware: relay?.result)
      } catch {
        return failed("WORKER_ANSWER", "\(error)", relay)
      }
    case .failure(let end):
      if worker.isKilled && !end.isVerdict { throw CancellationError() }
      var fetched = failed("WORKER_ENDED", end.description, relay)
      fetched.needsLargeWindow = end == .exited(WorkerProtocol.exitNeedsLargeWindow)
      return fetched
    }
  }

  /// What was found in the files that it handed back counts all the same.
  private static func failed(_ code: String, _ reason: String, _ relay: MalwareRelay?) -> Fetched {
    var fault = LayerFault()
    fault.code = code
    fault.message = "layer could not be analysed: \(reason)"
    var analysis = LayerAnalysis()
    analysis.analyserVersion = analyserVersion
    analysis.faults = [fault]
    return Fetched(analysis: analysis, isLasting: false, malware: relay?.result)
  }
}

extension LayerAnalysis {
  /// What was found in the layer is not kept: a fingerprint takes its place.
  fileprivate mutating func replaceSecrets(by fingerprints: Fingerprints) throws {
    for index in secrets.indices {
      secrets[index].fingerprint = try fingerprints.of(secrets[index].value)
      secrets[index].value = []
    }
  }
}

extension LayerKey {
  /// Of the analysis that this version makes of a layer.
  init(_ digest: Digest) { self.init(analyserVersion: UInt64(Inventory.analyserVersion), digest: digest.description) }
}
