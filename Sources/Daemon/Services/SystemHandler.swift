import API
import Advisories
import Inventory
import Logging
import Model
import Pipeline
import Posix
import Queue
import RPC
import Registry
import StorageMessages
import Store

/// `tidewaiter.v1.System`.
struct SystemHandler: SystemService {
  let store: StateStore
  let queue: JobQueue
  let describer: JobDescriber
  let retention: Retention
  let advisories: AdvisoryDatabase
  let metrics: Metrics
  let configuration: Configuration
  let sandbox: SandboxState
  let startedAt: Int64
  let clock: WallClock
  let events: EventReader
  let catalogue: Catalogue
  /// What blocks on the disk for long runs here.
  let files: SerialThread
  let log: Logger

  func ping(_ request: PingRequest, _ context: CallContext) throws -> PingResponse {
    var response = PingResponse()
    response.payload = request.payload
    return response
  }

  func getVersion(_ request: GetVersionRequest, _ context: CallContext) throws -> API.Version {
    var version = API.Version()
    version.version = Build.version
    version.commit = Build.commit
    version.protocol = "ttrpc 1.1, tidewaiter.v1"
    version.schemaVersion = UInt32(StateStore.schemaVersion)
    version.analyserVersion = analyserVersion
    return version
  }

  func rotateKey(_ request: RotateKeyRequest, _ context: CallContext) async throws -> RotateKeyResponse {
    let outcome = try await store.replaceKey(now: clock.now, actor: context.peer.actor)
    var response = RotateKeyResponse()
    response.sealed = UInt64(outcome.sealed)
    response.unreadable = UInt64(outcome.unreadable)
    return response
  }

  func collectGarbage(
    _ request: CollectGarbageRequest, _ context: CallContext
  ) async throws -> CollectGarbageResponse {
    CollectGarbageResponse(try await retention.collect(dryRun: request.dryRun, actor: context.peer.actor))
  }

  func getStatus(_ request: GetStatusRequest, _ context: CallContext) async throws -> Status {
    var status = Status()
    status.version = Build.version
    status.startedAt = API.Timestamp(nanoseconds: startedAt)
    status.stateDirectory = configuration.stateDirectory
    status.integrations = UInt64(try store.integrationCount())
    status.images = UInt64(try store.imageCount())
    status.jobs = API.StateCount.all(
      of: try queue.counts(), cancelling: try queue.cancelling().values.reduce(0, +))
    status.pauses = try describer.pauses()
    let ecosystems = try advisories.status().ecosystems
    status.advisories = ecosystems.reduce(0) { $0 + $1.advisories }
    status.advisoriesUpdatedAt = API.Timestamp(nanoseconds: ecosystems.map(\.updatedAt).max() ?? 0)
    let size = try store.size()
    status.storeBytesUsed = UInt64(size.usedBytes)
    status.storeBytesLimit = UInt64(size.limitBytes)
    status.storeFileBytes = UInt64(size.fileBytes)
    status.resolve = configuration.resolve.map(\.description)
    status.scannerSlots = UInt32(configuration.scannerSlots)
    status.sandbox = API.Sandbox(sandbox)
    status.methods = metrics.snapshot.map { name, counts in
      var method = MethodMetrics()
      method.method = name
      method.calls = counts.calls
      method.errors = counts.failures
      method.seconds = counts.time / .seconds(1)
      return method
    }
    if var settings = configuration.malware {
      // Whoever asks how things are waits for it.
      settings.connectTime = .seconds(2)
      status.malware = API.Clamd(socket: settings.socket, await Pipeline.Clamd(settings).state())
    }
    status.problems = Problems.all(of: status, store: size, environment: store.environment, sandbox: sandbox)
    return status
  }
}
