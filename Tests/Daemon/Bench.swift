import API
import Advisories
import Model
import Posix
import Queue
import RPC
import Registry
import StorageMessages
import Store
import Synchronization
import TestSupport
import Testing
import Zones

@testable import Daemon
@testable import Pipeline

/// What the daemon is made of, without its socket.
final class Bench: Sendable {
  let directory: TemporaryDirectory
  let store: StateStore
  let queue: JobQueue
  let advisories: AdvisoryDatabase
  let intake: Intake
  let scanner: Scanner
  let poller: Poller
  let scheduler: Scheduler
  let removals: Removals
  let control: QueueControl
  let uploads: Uploads
  let imports: Imports
  let integrations: IntegrationsHandler
  let images: ImagesHandler
  let jobs: QueueHandler
  let system: SystemHandler
  let watchers: EventReader
  let progress: ScanProgress
  let events = Events()
  private let matcher: ReportMatcher
  private let transport: HTTPTransport
  private let thread: SerialThread

  init(eventsMaximum: Int = StateStore.eventsKept) async throws {
    directory = try TemporaryDirectory()
    var options = Environment.Options()
    options.isSynchronous = false
    options.mapSizeBytes = 1 << 28
    let state = try StateDirectory(opening: directory.path + "/state")
    store = try await StateStore(
      directory: state, tables: QueueTables.all, migrations: QueueTables.migrations, options: options,
      eventsMaximum: eventsMaximum)
    queue = JobQueue(store: store, readPattern: QueueControl.readPattern) { [store] in
      try store.noteEnd(of: $0, $1, in: $2)
    }
    let catalogue = Catalogue()
    transport = HTTPTransport()
    thread = SerialThread(named: "test")
    progress = ScanProgress()
    let registries = RegistryClients(store: store, transport: transport)
    advisories = try AdvisoryDatabase(directory: state.advisoriesDirectory, mapSizeBytes: 1 << 28)
    matcher = ReportMatcher(advisories: advisories, clock: .system)
    intake = Intake(store: store, queue: queue, clock: .system) {}
    scanner = Scanner(
      store: store, queue: queue, registries: registries, matcher: matcher, progress: progress,
      settings: Scanner.Settings(slots: 1, workers: 1, workerProgram: "/nowhere"), clock: .system, log: events.logger)
    poller = try Poller(store: store, registries: registries, intake: intake, clock: .system, log: events.logger)
    scheduler = Scheduler(
      store: store, polls: Scheduler.Polls(poller), zones: .system, clock: .system, log: events.logger)
    control = QueueControl(queue: queue, scanner: scanner, log: events.logger)
    removals = Removals(
      store: store, queue: queue, control: control, scanner: scanner, poller: poller, registries: registries,
      clock: .system,
      log: events.logger)
    uploads = try Uploads(directory: state.uploadsDirectory, bytesMaximum: 1 << 20, thread: thread)
    imports = Imports(
      store: store, advisories: advisories, uploads: uploads, rematcher: Rematcher(store: store, matcher: matcher),
      clock: .system, log: events.logger)
    watchers = EventReader(store: store, thread: thread)
    let ledger = Ledger(store: store, queue: queue, reader: thread)
    integrations = IntegrationsHandler(
      store: store, registries: registries, poller: poller, scheduler: scheduler, scanner: scanner,
      removals: removals, ledger: ledger, previewer: Previewer(store: store, registries: registries, clock: .system),
      clock: .system)
    images = ImagesHandler(
      store: store, registries: registries, intake: intake, rescanner: Rescanner(store: store, intake: intake),
      ledger: ledger, clock: .system, reader: thread)
    let describer = JobDescriber(
      store: store, queue: queue, progress: progress, scanner: scanner, clock: .system)
    jobs = QueueHandler(
      store: store, queue: queue, poller: poller, control: control, scanner: scanner, describer: describer,
      events: watchers, reader: thread)
    system = SystemHandler(
      store: store, queue: queue, describer: describer,
      retention: Retention(
        RetentionSettings(), store: store, queue: queue, reader: thread, clock: .system, log: events.logger),
      advisories: advisories, metrics: Metrics(),
      configuration: try Configuration(flags: .init(), environment: [:]), startedAt: 0, clock: .system,
      events: watchers,
      catalogue: catalogue, files: thread, log: events.logger)
    catalogue.publish(methods)
  }

  deinit {
    transport.shutDown()
    matcher.close()
    thread.close()
    store.close()
  }

  /// All that the daemon serves.
  var methods: [RPCMethod] {
    system.systemMethods + integrations.integrationsMethods + images.imagesMethods + jobs.queueMethods
      + AdvisoriesHandler(uploads: uploads, imports: imports, advisories: advisories).advisoriesMethods
      + HealthHandler(health: health, services: ["tidewaiter.v1.System"]).healthMethods
  }

  let health = Health()
  let context = CallContext(peer: Peer(uid: 7, gid: 7, pid: 7, groups: []), deadline: nil, metadata: [])

  func create(_ name: String) async throws -> API.Integration {
    var request = CreateIntegrationRequest()
    request.integration = API.Integration()
    request.integration?.name = name
    request.integration?.type = "docker-registry"
    request.integration?.url = "https://registry.invalid"
    return try await integrations.createIntegration(request, context)
  }

  func key(_ integration: String, _ repository: String, _ number: Int) throws -> ImageKey {
    let digits = String(number)
    return ImageKey(
      integration: try store.integration(named: integration).id, repository: repository,
      digest: "sha256:" + String(repeating: "0", count: 64 - digits.count) + digits)
  }

  func upload(_ name: String, _ bytes: [UInt8]) async throws -> String {
    let id = try await uploads.create(name: name, size: UInt64(bytes.count), owner: 7).id
    _ = try await uploads.write(id, offset: 0, bytes, owner: 7)
    return id
  }
}
